from __future__ import annotations

from typing import Any

import pytest


def one(errors: list[str]) -> str:
    (error,) = errors
    return error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("sever = {}", '1: sever: unknown key; did you mean "server"?'),
        ("[server]\nmax-head = 1", '2: server.max-head: unknown key; did you mean "max_head"?'),
        ('[limits]\n"x y" = 1', '2: limits."x y": unknown key; known here: allow, '),
        ("[server]\nworkers = 0", '2: server.workers: 0 is out of range; use "auto" or 1 to 512'),
        ("[server]\nworkers = true", "2: server.workers: true is a boolean; use"),
        ('[server]\nworkers = "many"', '2: server.workers: "many" is not allowed; use "auto"'),
        ("[server]\nforwarded = 1", "2: server.forwarded: 1 is an integer; use true or false"),
        ('[server]\nmax_fields = "9"', '2: server.max_fields: "9" is a string; use an integer'),
        ("[server]\nmax_fields = 0", "2: server.max_fields: 0 is too small; use 1 or more"),
        ("[server]\nbind = []", "2: server.bind: this array is empty; use one item or more"),
        ("[server]\nbind = [7]", "2: server.bind[0]: 7 is an integer; use a table"),
        (
            '[server]\nodd_names = "dorp"',
            '2: server.odd_names: "dorp" is not allowed; did you mean "drop"',
        ),
        ('[server]\nodd_names = "x"', 'use "drop" or "reject" or "forward"'),
        ("server = 3", "1: server: 3 is an integer; use a table"),
        ("[upstreams.a]", "1: upstreams.a.endpoints: missing; add it: Instances"),
        ("routes = {}", "1: routes: this table is a table; use an array"),
        ('[server]\naccess_log = "stdot"', '"stdot" is not allowed; use "stdout", "off" or a file'),
        (
            '[server]\nidle_timeout = "a\\u0000\\u202e\\nb"',
            '"a\\u0000\\u202e\\nb" is not a duration',
        ),
        ('[upstreams."a b"]\nendpoints = ["127.0.0.1:1"]', "this key is not a name; use up to 64"),
    ],
)
def test_what_was_found_and_what_is_allowed(wrong: Any, text: str, error: str) -> None:
    assert error in one(wrong(text + "\n"))


def test_a_key_deep_inside_is_guessed_too(wrong: Any) -> None:
    text = '[upstreams.a]\nendpoints = [{ adress = "127.0.0.1:1" }]\n'
    assert wrong(text) == [
        '2: upstreams.a.endpoints[0].adress: unknown key; did you mean "address"?',
    ]


def test_a_long_value_is_cut(wrong: Any) -> None:
    assert len(one(wrong(f'[server]\nidle_timeout = "{"x" * 5000}"\n'))) < 250


def test_a_name_that_is_also_a_key_is_looked_up_as_a_name(wrong: Any) -> None:
    error = one(wrong('[upstreams.health]\nendpoints = ["127.0.0.1:1"]\nbalence = "random"\n'))
    assert error == '3: upstreams.health.balence: unknown key; did you mean "balance"?'
