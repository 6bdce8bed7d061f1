"""Whatever a file holds, it is loaded or refused in words; nothing else ever happens."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwd.config import load as loading
from gwd.config.load import load
from gwd.config.problems import ConfigError, Problem
from gwd.config.snapshot import pack, unpack

TREE = tomllib.loads("""
[server]
bind = ["127.0.0.1:8080", { address = "[::1]:0" }]
workers = "${W:-2}"
ready_path = "/-/ready"
[segment]
max_ips = 1024
[limits]
exempt = ["10.0.0.0/8"]
per_ip = { rate = "100/s", burst = 5 }
[auth.main]
type = "jwt"
issuer = "i"
audience = ["a"]
algorithms = ["HS256"]
secret_env = "S"
leeway = "10s"
forward_claims = { sub = "X-User" }
[upstreams.a]
endpoints = ["127.0.0.1:1", { address = "127.0.0.1:2", weight = 2 }]
retry_on = [502]
health = { path = "/h", interval = "1s" }
[[routes]]
name = "r"
host = "*.example.com"
path = "/u/{id}/*"
methods = ["GET"]
auth = ["main"]
require = { scope = ["x"] }
upstream = "a"
rewrite = "/{id}/{*}"
[[routes]]
name = "p"
path = "/p/{id}"
parts = [{ name = "one", upstream = "a", path = "/{id}", pick = ["a.b"], default = { x = 1 } }]
[[routes]]
name = "x"
path = "/x/*"
respond = { redirect = "/y/{*}", status = 301, headers = { X-A = "b" } }
""")

SCALARS = st.one_of(
    st.integers(),
    st.booleans(),
    st.floats(),
    st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=8),
    st.sampled_from(
        ["", "${W}", "${", "0s", "1s", "/{a}", "/*", "a", "unix:/x", "1/s", "jwt", "HS256"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


PLACES = sorted(places(TREE), key=repr)


def inline(value: Any) -> str:
    match value:
        case bool() | int():
            return str(value).lower()
        case float():
            return repr(value) if any(c in repr(value) for c in ".einf") else f"{value}.0"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return "[" + ", ".join(map(inline, value)) + "]"
        case _:
            return "{" + ", ".join(f"{inline(k)} = {inline(v)}" for k, v in value.items()) + "}"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "gwd.toml"


def test_the_tree_itself_is_good(file: Path) -> None:
    file.write_text("\n".join(f"{inline(k)} = {inline(v)}" for k, v in TREE.items()))
    assert load(str(file), {"S": "s" * 32}).warnings == []


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES | st.none()), min_size=1, max_size=4))
def test_any_change_is_loaded_or_refused_in_words(
    file: Path, monkeypatch: pytest.MonkeyPatch, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    # A name drawn by chance must not ask a resolver.
    monkeypatch.setattr(loading, "resolve", lambda names: dict.fromkeys(names, "192.0.2.1"))
    tree = copy.deepcopy(TREE)
    for path, value in changes:
        holder: Any = tree
        try:
            for step in path[:-1]:
                holder = holder[step]
            if value is None:
                del holder[path[-1]]
            else:
                holder[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    file.write_text("\n".join(f"{inline(k)} = {inline(v)}" for k, v in tree.items()))
    problems: list[Problem] = []
    try:
        loaded = load(str(file), {"S": "s" * 32})
    except ConfigError as refused:
        problems = refused.problems
    else:
        assert unpack(pack(loaded.snapshot)) == loaded.snapshot
        return
    assert problems
    for problem in problems:
        assert problem.line > 0
        assert "\n" not in str(problem)
        assert "docs/configuration.md" not in problem.message
