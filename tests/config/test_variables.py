from __future__ import annotations

from typing import Any

import pytest

from gwd.config.places import Path
from gwd.config.variables import FromVariable, shown, substitute


def replaced(tree: Any, **environ: str) -> Any:
    refused: list[tuple[Path, str]] = []
    found, _, _ = substitute(tree, environ, lambda path, why: refused.append((path, why)))
    assert not refused
    return found


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "one"),
        ("x-${A}-${A}", "x-one-one"),
        ("${NONE:-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}", ""),
        ("${NONE:-}", ""),
        ("${A:-two}", "one"),
        ("$A $ {A}", "$A $ {A}"),
        ("$${A}", "${A}"),
        ("/users/{id}", "/users/{id}"),
    ],
)
def test_references_are_replaced(text: str, result: str) -> None:
    assert replaced({"k": [text]}, A="one", EMPTY="") == {"k": [result]}


def test_a_value_is_not_read_for_references_again() -> None:
    assert replaced("${A}", A="${B}", B="no") == "${B}"


def test_only_what_came_from_a_variable_is_marked() -> None:
    found = replaced({"a": "${A}", "b": "plain", "c": 1}, A="x")
    assert isinstance(found["a"], FromVariable)
    assert type(found["b"]) is str


@pytest.mark.parametrize("text", ["${NONE}", "${}", "${1X}", "${A", "${A:-${B}}"])
def test_what_cannot_be_replaced_is_refused_at_its_path(text: str) -> None:
    refused: list[Path] = []
    substitute({"a": [text]}, {"A": "x", "B": "y"}, lambda path, why: refused.append(path))
    assert set(refused) <= {("a", 0)}
    assert refused or text == "${A:-${B}}"


def test_a_missing_variable_is_named(wrong: Any) -> None:
    assert wrong('[server]\nbind = ["${BIND}"]\naccess_log = "${LOG_DIR}/x"\n') == [
        "2: server.bind[0]: the value names the environment variable BIND, which is not set; "
        "set it or use ${BIND:-default}",
        "3: server.access_log: the value names the environment variable LOG_DIR, which is not "
        "set; set it or use ${LOG_DIR:-default}",
    ]


def test_numbers_and_booleans_may_come_from_variables(good: Any) -> None:
    text = '[server]\nworkers = "${W}"\nmax_fields = "${F}"\nforwarded = "${Y}"\n'
    server = good(text, {"W": "3", "F": "7", "Y": "true"}).snapshot.server
    assert (server.workers, server.max_fields, server.forwarded) == (3, 7, True)


def test_the_value_of_a_variable_is_never_shown(wrong: Any) -> None:
    text = """
[server]
workers = "${V}"
idle_timeout = "${V}"
bind = ["${V}"]
odd_names = "${V}"
[upstreams.app]
endpoints = ["127.0.0.1:${V}"]
[[routes]]
name = "${V}"
path = "/${V}/*"
upstream = "${V}"
rewrite = "/{${V}}"
"""
    errors = wrong(text, {"V": "hunter2 {x}"})
    assert len(errors) >= 7
    assert "hunter2" not in "\n".join(errors)
    assert any('"${V}"' in error for error in errors)


def test_the_default_of_a_variable_is_not_shown() -> None:
    assert shown("a ${PW:-hunter2} b ${X}") == "a ${PW:-…} b ${X}"
