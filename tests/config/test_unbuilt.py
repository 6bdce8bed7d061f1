from __future__ import annotations

import tomllib
from typing import Any

import pytest

from gwd.config.unbuilt import UNBUILT, Unbuilt


def text_with(row: Unbuilt) -> str:
    """A file that uses the key of `row` and nothing else out of the ordinary."""
    value = f'"{row.values[0].replace("*", "/x")}"' if row.values else "{}"
    top, *rest = row.keys
    upstream = '[upstreams.app]\nendpoints = ["127.0.0.1:9000"]\n'
    route = '[[routes]]\nname = "app"\npath = "/*"\nupstream = "app"\n'
    match (top, rest):
        case ("auth", ["*", "type"]):
            head = f"[auth.main]\ntype = {value}\nanything = 1\n"
        case ("auth", ["*", key]):
            head = '[auth.main]\ntype = "jwt"\nissuer = "i"\naudience = "a"\n'
            head += f'algorithms = ["RS256"]\n{key} = {value}\n'
        case ("upstreams", ["*", "endpoints", "*"]):
            head = f"[upstreams.b]\nendpoints = [{value}]\n"
        case ("upstreams", ["*", "endpoints", "*", "address"]):
            head = f"[upstreams.b]\nendpoints = [{{ address = {value} }}]\n"
        case ("upstreams", ["*", "dns" | "srv" | "file" as key]):
            head = f"[upstreams.b]\n{key} = {value}\n"
        case ("upstreams", ["*", key]):
            head = f'[upstreams.b]\nendpoints = ["127.0.0.1:1"]\n{key} = {value}\n'
        case ("routes", ["*", key]):
            route += f"{key} = {value}\n"
            head = ""
        case (_, []):
            head = f"[{top}]\n"
        case _:
            head = f"[{top}]\n{rest[0]} = {value}\n"
    tomllib.loads(head + upstream + route)
    return head + upstream + route


@pytest.mark.parametrize("row", UNBUILT, ids=lambda row: row.path)
def test_a_known_key_is_told_to_be_not_built_and_nothing_else(
    good: Any, wrong: Any, row: Unbuilt
) -> None:
    text = text_with(row)
    if row.error:
        (error,) = wrong(text)
        assert "not built yet" in error
    else:
        (warning,) = good(text).warnings
        assert "warning: " in str(warning)
        assert "not built yet" in warning.message


def test_what_guards_is_refused() -> None:
    guarding = {row.path for row in UNBUILT if row.error}
    assert guarding >= {
        "upstreams.*.tls",
        "routes.*.policies",
        "auth.*.type",
        "auth.*.jwks_url",
        "admin.token_file",
    }


def test_a_key_that_is_off_is_not_mentioned(good: Any) -> None:
    row = next(row for row in UNBUILT if row.path == "upstreams.*.tls")
    text = text_with(row).replace("tls = {}", "tls = false")
    assert good(text).warnings == []


def test_an_unbuilt_balance_falls_back_to_the_default(good: Any) -> None:
    text = '[upstreams.a]\nendpoints = ["127.0.0.1:1"]\nbalance = "ewma"\n'
    assert good(text).snapshot.upstreams[0].balance == "least_requests"
