from __future__ import annotations

import json
import pickle

from gwd.config.problems import ConfigError, Problem, as_github, as_json, in_order

PROBLEM = Problem("a,b.toml", "100% wrong", "server.x", 3, 5, 9, "error", "    wrong")


def test_one_line_says_where_what_and_why() -> None:
    assert str(PROBLEM) == "a,b.toml:3: server.x: 100% wrong"
    assert str(Problem("f", "gone")) == "f: gone"
    assert str(Problem("f", "later", "k", 1, severity="warning")) == "f:1: k: warning: later"


def test_the_frame_underlines() -> None:
    assert PROBLEM.frame() == "  3 |     wrong\n    |     ^^^^"
    assert Problem("f", "gone").frame() == ""


def test_github_gets_an_annotation() -> None:
    assert as_github(PROBLEM) == (
        "::error file=a%2Cb.toml,line=3,col=5,endColumn=9,title=server.x"
        "::a,b.toml:3: server.x: 100%25 wrong"
    )


def test_json_has_every_field_but_the_line_of_the_file() -> None:
    found = json.loads(as_json([PROBLEM]))
    assert found["ok"] is False
    assert found["problems"][0]["line"] == 3
    assert "source" not in found["problems"][0]
    assert json.loads(as_json([]))["ok"] is True


def test_problems_are_told_once_and_in_order() -> None:
    first, second = Problem("f", "a", line=1), Problem("f", "b", line=2)
    assert in_order([second, first, second]) == [first, second]


def test_the_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(ConfigError([PROBLEM])))
    assert error.problems == [PROBLEM]
