from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

UPSTREAM = '[upstreams.orders]\nendpoints = ["127.0.0.1:9000"]\n'
ROUTE = '[[routes]]\nname = "r"\npath = "/users/{id}/*"\n'
TO = 'upstream = "orders"\n'
AUTH = '[auth.main]\ntype = "jwt"\nissuer = "i"\naudience = "a"\n'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            ROUTE + 'upstream = "oders"\n',
            'upstream: "oders" is not an upstream; did you mean "orders"',
        ),
        (ROUTE + 'upstream = "zzz"\n', '"zzz" is not an upstream; known: orders'),
        (ROUTE + TO + 'auth = "x"\n', 'auth: "x" is not a verifier; there is no [auth.NAME] table'),
        (ROUTE + TO + 'auth = ["x"]\n', 'routes[0].auth[0]: "x" is not a verifier'),
        (ROUTE, "routes[0]: goes nowhere; add exactly one of upstream, parts, respond"),
        (
            ROUTE + TO + "respond = { status = 204 }\n",
            'respond: stands beside "upstream"; use exactly one',
        ),
        (
            ROUTE + 'rewrite = "/"\nrespond = { status = 204 }\n',
            'rewrite: has no meaning with "respond"',
        ),
        (ROUTE + TO + ROUTE + TO, 'routes[1].name: "r" is the name of a route on line 4 already'),
        (
            ROUTE + TO + 'rewrite = "/{user}"\n',
            'uses "{user}", which the route\'s path does not capture; use {id} or {*}',
        ),
        (
            '[[routes]]\nname = "r"\npath = "/a"\n' + TO + 'rewrite = "/{*}"\n',
            "the path captures nothing",
        ),
        (ROUTE + 'respond = { redirect = "/{x}" }\n', 'respond.redirect: "/{x}" uses "{x}"'),
        (ROUTE + TO + 'require = { scope = "a" }\n', "require: has no token to look at; add auth"),
        (ROUTE + TO + "auth_optional = true\n", "auth_optional: has no verifier to use; add auth"),
        (ROUTE + TO + "burst = 5\n", 'burst: has no rate to go with; add rate = "20/s"'),
        (ROUTE + TO + 'rate_key = "ip"\n', 'rate_key: has no rate to go with; add rate = "20/s"'),
        (
            ROUTE + TO + 'rate = "1/s"\nrate_key = "claim:sub"\n',
            'rate_key: "claim:sub" has no token to look at; add auth',
        ),
        (
            ROUTE + TO + 'rate = "1/s"\nrate_key = "user"\n',
            'rate_key: "user" is not allowed; use "ip", "claim:sub" or "header:X-Api-Key"',
        ),
        (
            ROUTE + TO + 'rate = "1/s"\nrate_key = "header:x-forwarded-for"\n',
            'has a name that is believed from trusted proxies only; use "ip"',
        ),
        (
            ROUTE + TO + 'rate = "1/s"\nrate_key = "header:Host"\n',
            "has a name that is not passed on as it came; use a header of your clients' own",
        ),
        (ROUTE + TO + 'rate = "0/s"\n', 'rate: "0/s" admits nothing; use "100/s"'),
        (ROUTE + TO + 'rate = "1/s"\nburst = 0\n', "burst: 0 is too small; use 1 or more"),
        (ROUTE + TO + 'allow = ["10.1.0.0/8"]\n', "10.1.0.0/8"),
        (ROUTE + TO + 'deny = ["here"]\n', "here"),
        (ROUTE + "respond = {}\n", "respond: says nothing; add redirect, status or body"),
        (ROUTE + 'respond = { redirect = "/", body = "" }\n', "body: stands beside redirect"),
        (
            ROUTE + 'respond = { redirect = "/", status = 200 }\n',
            "status: 200 is not the status of a redirect; use 301",
        ),
        (ROUTE + 'respond = { status = 204, body = "x" }\n', "body: cannot go with status 204"),
        (
            ROUTE + 'respond = { headers = { X-A = "1", x-a = "2" } }\n',
            "x-a: is there already in another spelling",
        ),
        (
            '[server]\nbind = ["127.0.0.1:1", "127.0.0.1:1"]\n',
            'server.bind[1]: "127.0.0.1:1" is there twice',
        ),
        ("[server]\nworkers = 33\n", "server.workers: 33 is more than segment.max_workers"),
        (
            "[segment]\nmax_routes = 1\n" + ROUTE + TO + ROUTE.replace('"r"', '"s"') + TO,
            "routes: more than segment.max_routes",
        ),
        (
            '[upstreams.b]\nendpoints = ["127.0.0.1:1", { address = "127.0.0.1:1" }]\n',
            "endpoints[1]: this table is there twice",
        ),
    ],
)
def test_what_does_not_fit_together(wrong: Any, text: str, error: str) -> None:
    (found,) = wrong(UPSTREAM + text)
    assert error in found


def test_parts_are_judged_like_routes(wrong: Any) -> None:
    part = '[[routes.parts]]\nname = "p"\nupstream = "order"\npath = "/{user}"\n'
    assert wrong(UPSTREAM + ROUTE + part + part) == [
        '8: routes[0].parts[0].upstream: "order" is not an upstream; did you mean "orders"?',
        '9: routes[0].parts[0].path: "/{user}" uses "{user}", which the route\'s path does not '
        "capture; use {id} or {*}",
        '11: routes[0].parts[1].name: "p" is the name of a part of this route on line 7 already; '
        "choose another",
        '12: routes[0].parts[1].upstream: "order" is not an upstream; did you mean "orders"?',
        '13: routes[0].parts[1].path: "/{user}" uses "{user}", which the route\'s path does not '
        "capture; use {id} or {*}",
    ]


def test_a_required_part_with_a_default_is_warned_of(good: Any) -> None:
    part = '[[routes.parts]]\nname = "p"\nupstream = "orders"\npath = "/"\nrequired = true\n'
    warnings = good(UPSTREAM + ROUTE + part + "default = 1\n").warnings
    assert [w.message for w in warnings] == ["is never used, the part is required"]


def test_a_ban_without_a_limit_is_warned_of(good: Any) -> None:
    table = '[limits.ban]\nfor = "60s"\n'
    (warning,) = good(UPSTREAM + ROUTE + TO + table).warnings
    assert warning.key == "limits.ban"
    assert "bans nobody by itself without [limits.per_ip]" in warning.message
    per_ip = '[limits.per_ip]\nrate = "100/s"\n'
    assert good(UPSTREAM + ROUTE + TO + table + per_ip).warnings == []


@pytest.mark.parametrize(
    ("keys", "key", "words"),
    [
        (
            'buffer_budget = "16KiB"',
            "buffer_budget",
            "is less than max_head, by default 32KiB, so a client may be cut off",
        ),
        ('max_head = "65MiB"', "max_head", "is more than buffer_budget"),
        ('max_head = "${SIZE}"', "max_head", "is more than buffer_budget"),
        (
            "max_handshakes = 63",
            "max_handshakes",
            "is less than max_handshakes_per_ip, by default 64, so one address may take every",
        ),
        (
            "max_handshakes = 4\nmax_handshakes_per_ip = 5",
            "max_handshakes_per_ip",
            "is more than max_handshakes, so one address may take every place; lower it or raise",
        ),
        ('max_handshakes_per_ip = "${COUNT}"', "max_handshakes_per_ip", "is more than"),
    ],
)
def test_a_part_above_the_whole_is_warned_of(good: Any, keys: str, key: str, words: str) -> None:
    environ = {"SIZE": "1GiB", "COUNT": "600"}
    (warning,) = good(f"[server]\n{keys}\n{UPSTREAM}{ROUTE}{TO}", environ).warnings
    assert warning.key == f"server.{key}"
    assert words in warning.message


@pytest.mark.parametrize(
    "keys",
    [
        'buffer_budget = "1MiB"\nmax_head = "1MiB"',
        "max_handshakes = 2\nmax_handshakes_per_ip = 2",
        "max_handshakes = 64",
    ],
)
def test_a_part_as_large_as_the_whole_is_good(good: Any, keys: str) -> None:
    assert good(f"[server]\n{keys}\n{UPSTREAM}{ROUTE}{TO}").warnings == []


@pytest.mark.parametrize("name", ["X-Api-Key", "Cookie", "User-Agent", "authorization"])
def test_a_rate_may_count_by_any_header_that_clients_write(good: Any, name: str) -> None:
    text = UPSTREAM + ROUTE + TO + f'rate = "30/m"\nrate_key = "header:{name}"\n'
    (route,) = good(text).snapshot.routes
    assert route.rate_key == f"header:{name}"
    assert (route.rate.per_second, route.rate.burst) == (0.5, 1)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ('algorithms = ["RS256"]\n', "auth.main: has no key; add exactly one of jwks_file"),
        ('algorithms = ["HS256", "RS256"]\nsecret_env = "S"\n', "algorithms: this array mixes HS*"),
        ('algorithms = ["RS256"]\nsecret_env = "S"\n', "does not go with secret_env; use HS256"),
        ('algorithms = ["HS256"]\njwks_file = "KEYS"\n', "does not go with jwks_file; use RS256"),
        (
            'algorithms = ["HS256"]\nsecret_env = "S"\nsecret_file = "KEYS"\n',
            'secret_file: stands beside "secret_env"; use exactly one of',
        ),
        (
            'algorithms = ["HS256"]\nsecret_env = "S"\nforward_claims = { a = "X-A", b = "x-a" }\n',
            'forward_claims.b: "x-a" carries another claim already',
        ),
        ('algorithms = ["HS256"]\nsecret_env = "S"\nleeway = "1h"\n', 'leeway: "1h" is too long'),
        (
            'algorithms = ["HS256"]\nsecret_env = "S"\nforward_claims = { a = "Host" }\n',
            'forward_claims.a: "Host" is a header with another meaning',
        ),
        (
            'algorithms = ["HS256"]\nsecret_env = "S"\nforward_claims = { sub = "X-User-Id" }\n'
            '[[routes]]\nname = "r"\npath = "/"\nauth = "main"\nrespond = { status = 204 }\n'
            'rate = "1/s"\nrate_key = "header:x-user-id"\n',
            'is written by gwd alone, from a claim; use "claim:sub"',
        ),
        ('algorithms = ["none"]\nsecret_env = "S"\n', 'algorithms[0]: "none" is not allowed; use'),
    ],
)
def test_verifiers_that_cannot_be_right(wrong: Any, tmp_path: Path, keys: str, error: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"keys": [{"kty": "EC"}] }' + " " * 64)
    file.chmod(0o600)
    found = wrong(AUTH + keys.replace("KEYS", str(file)), {"S": "x" * 64})
    assert len([e for e in found if error in e]) == 1, found
    assert len(found) <= 2
