from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gwd.aggregate.plan import Plan
from gwd.config.snapshot import Part, Route


def _make_plan(*parts: dict[str, Any], path: str = "/home/{user}") -> Plan:
    made = tuple(
        Part(
            **{
                "upstream": "u",
                "path": "/x",
                "required": False,
                "timeout": None,
                "pick": (),
                "default": None,
                **part,
            }
        )
        for part in parts
    )
    return Plan(
        Route(
            name="home",
            host=None,
            path=path,
            methods=("GET", "HEAD"),
            auth=(),
            auth_optional=False,
            scopes=(),
            timeout=None,
            max_body=None,
            encoded_slash="reject",
            upstream=None,
            rewrite=None,
            parts=made,
            respond=None,
            line=0,
        )
    )


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    """A plan of parts given as the fields that matter: make_plan({"name": "a"}, path="/x")."""
    return _make_plan
