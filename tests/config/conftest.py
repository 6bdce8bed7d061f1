"""Judging a config given as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gwd.config.load import Loaded, load
from gwd.config.problems import ConfigError

UPSTREAM = '[upstreams.app]\nendpoints = ["127.0.0.1:9000"]\n'
ROUTE = '[[routes]]\nname = "app"\npath = "/*"\nupstream = "app"\n'

Good = Callable[..., Loaded]
Wrong = Callable[..., list[str]]


@pytest.fixture
def good(tmp_path: Path) -> Good:
    """Loads a text that must be good."""

    def call(text: str, environ: Mapping[str, str] | None = None) -> Loaded:
        file = tmp_path / "gwd.toml"
        file.write_text(text)
        return load(str(file), environ or {})

    return call


@pytest.fixture
def wrong(tmp_path: Path) -> Wrong:
    """Loads a text that must be refused; its errors as "LINE: key: message"."""

    def call(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        file = tmp_path / "gwd.toml"
        file.write_text(text)
        with pytest.raises(ConfigError) as refused:
            load(str(file), environ or {})
        errors = [p for p in refused.value.problems if p.severity == "error"]
        assert errors
        return [str(problem).removeprefix(f"{file}:") for problem in errors]

    return call
