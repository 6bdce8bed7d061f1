from __future__ import annotations

import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gwd.cli import exits
from gwd.cli.explain import command, written
from gwd.policies import signing

CONFIG = """[server]
trusted_proxies = ["10.0.0.0/8"]
ready_path = "/-/ready"

[limits]
exempt = ["192.0.2.0/24"]
deny = ["198.51.100.0/24"]
[limits.per_ip]
rate = "100/s"
burst = 50
[limits.ban]
after = 3
for = "60s"

[upstreams.orders]
endpoints = ["127.0.0.1:9101", "127.0.0.1:9102"]
[upstreams.profile]
endpoints = ["127.0.0.1:9103"]
balance = "round_robin"
retries = 2

[[routes]]
name = "orders"
host = "api.company.com"
path = "/orders/*"
upstream = "orders"
rewrite = "/v2/orders/{*}"

[[routes]]
name = "home"
path = "/home/{user}"
methods = ["GET"]
[[routes.parts]]
name = "profile"
upstream = "profile"
path = "/users/{user}"
required = true
[[routes.parts]]
name = "orders"
upstream = "orders"
path = "/orders?user={user}"
timeout = "300ms"
default = []

[[routes]]
name = "old"
path = "/old/*"
respond = { redirect = "/new/{*}", status = 308 }

[[routes]]
name = "fallback"
path = "/*"
methods = ["GET", "POST"]
upstream = "profile"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gwd.toml"
    file.write_text(CONFIG)
    return file


def explain(config: Path, *args: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(
        command, ["--config", str(config), *args], standalone_mode=False, catch_exceptions=False
    )
    if isinstance(result.exception, Exception):
        raise result.exception
    return result.return_value, result.stdout.splitlines()


def test_the_example_of_the_contract(config: Path) -> None:
    code, lines = explain(
        config, "--from", "203.0.113.7", "GET", "http://api.company.com/orders/7?x=1"
    )
    assert code == exits.GOOD
    assert lines == [
        f'route "orders"  {config}:22  exact host, prefix /orders/*',
        '  not "fallback"  matches, but routes without host come last',
        '  not "home"      /home/{user} differs at segment 1',
        '  not "old"       /old/* differs at segment 1',
        "steps  deny > per_ip 100/s burst 50 > ban 60s drop",
        "call   GET /v2/orders/7?x=1 on orders (least_requests, 2 endpoints, 1 retry)",
    ]


def test_the_line_is_that_of_the_route_in_the_file(config: Path) -> None:
    _, lines = explain(config, "GET", "api.company.com/orders")
    number = int(lines[0].split(":")[1].split()[0])
    assert CONFIG.splitlines()[number - 1] == "[[routes]]"
    assert CONFIG.splitlines()[number] == 'name = "orders"'


def test_every_part_of_an_aggregate_is_a_call(config: Path) -> None:
    code, lines = explain(config, "GET", "localhost:8080/home/a&b")
    assert code == exits.GOOD
    assert lines[-2:] == [
        "call   profile: GET /users/a&b on profile (round_robin, 1 endpoint, 2 retries), required",
        "       orders: GET /orders?user=a%26b on orders (least_requests, 2 endpoints, 1 retry),"
        " within 0.3 s, else []",
    ]


def test_a_redirect_shows_where_to(config: Path) -> None:
    assert explain(config, "GET", "/old/a")[1][-1] == (
        "answer 308 Location: /new/a, by the gateway itself"
    )


def test_the_path_is_matched_and_sent_in_normal_form(config: Path) -> None:
    code, lines = explain(config, "GET", "http://API.company.com:80/x/%2e%2e//%6frders/%c3%a9")
    assert code == exits.GOOD
    assert lines[-1].startswith("call   GET /v2/orders/%C3%A9 on ")


def test_no_route_is_exit_1_and_says_why_each_did_not(config: Path) -> None:
    code, lines = explain(config, "DELETE", "/home/ada")
    assert code == exits.FAILED
    assert lines[0].startswith("no route  405 method_not_allowed: ")
    assert '  not "home"      takes GET, HEAD only' in lines
    assert len(lines) == 5


def test_what_the_gateway_would_not_even_read_is_refused(config: Path) -> None:
    code, lines = explain(config, "GET", "http://h/a%00b")
    assert code == exits.FAILED
    assert len(lines) == 1
    assert lines[0].startswith("refused  400 ")


def test_a_kept_out_slash_is_said(config: Path) -> None:
    code, lines = explain(config, "GET", "/x%2Fy")
    assert code == exits.GOOD
    assert lines[-1] == '       400: the path holds %2F or %5C, and encoded_slash is "reject"'


def test_a_denied_address_is_said_first(config: Path) -> None:
    _, lines = explain(config, "--from", "198.51.100.9", "GET", "/x")
    assert lines[0].startswith("from   198.51.100.9: 403 ")


def test_an_exempt_client_behind_a_trusted_proxy_is_recognised(config: Path) -> None:
    header = "X-Forwarded-For: 203.0.113.1, 192.0.2.7"
    _, lines = explain(config, "--from", "10.0.0.1", "--header", header, "GET", "/x")
    assert lines[0] == "from   192.0.2.7, through the trusted proxy 10.0.0.1"
    assert "per_ip 100/s burst 50 (exempt)" in "\n".join(lines)


def test_a_forged_address_is_not_believed(config: Path) -> None:
    _, lines = explain(
        config, "--from", "203.0.113.1", "--header", "X-Forwarded-For: 192.0.2.7", "GET", "/x"
    )
    assert lines[0].startswith("route ")
    assert "(exempt)" not in "\n".join(lines)


def test_readiness_is_the_gateways_own(config: Path) -> None:
    assert explain(config, "GET", "/-/ready") == (
        exits.GOOD,
        ["answer readiness, by the gateway itself (server.ready_path)"],
    )


def test_far_off_routes_are_counted_unless_all_are_wanted(config: Path) -> None:
    more = "".join(
        f'[[routes]]\nname = "r{i}"\npath = "/r{i}"\nupstream = "orders"\n' for i in range(20)
    )
    config.write_text(CONFIG + more)
    _, lines = explain(config, "GET", "/x")
    assert "  not 15 more, farther off (--all shows them)" in lines
    _, lines = explain(config, "--all", "GET", "/x")
    assert sum(line.startswith("  not ") for line in lines) == 23


@pytest.mark.parametrize(
    ("args", "request_"),
    [
        (("GET", "http://h.io/a/../b?c#d", []), b"GET /a/../b?c HTTP/1.1\r\nHost: h.io\r\n\r\n"),
        (("GET", "h.io:80", []), b"GET / HTTP/1.1\r\nHost: h.io:80\r\n\r\n"),
        (("GET", "h.io?a=/b", []), b"GET /?a=/b HTTP/1.1\r\nHost: h.io\r\n\r\n"),
        (("GET", "/a", []), b"GET /a HTTP/1.0\r\n\r\n"),
        (("GET", "/a", ["host: x"]), b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (("PUT", "/é", ["A:b: c"]), b"PUT /\xc3\xa9 HTTP/1.0\r\nA: b: c\r\n\r\n"),
        (("OPTIONS", "*", ["host: x"]), b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
        (("GET", "/go?to=http://x/", []), b"GET /go?to=http://x/ HTTP/1.0\r\n\r\n"),
        (("GET", "h/go?to=http://x/", []), b"GET /go?to=http://x/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    ],
)
def test_the_request_is_written_as_a_client_writes_it(
    args: tuple[str, str, list[str]], request_: bytes
) -> None:
    assert written(*args) == request_


@pytest.mark.parametrize(
    "args",
    [
        ("GET", "ftp://h/a", []),
        ("GET", "http:///a", []),
        ("GET", "http://me@h/a", []),
        ("GET", "/a", ["no colon"]),
        ("GET", "/a", [": x"]),
        ("GET", "/a", ["A: b\nC: d"]),
        ("GET", "/a\r\nB: c", []),
    ],
)
def test_what_cannot_be_written_is_a_usage_error(args: tuple[str, str, list[str]]) -> None:
    with pytest.raises(click.UsageError):
        written(*args)


def guard(config: Path, *more: str) -> bytes:
    """Put a verifier before the route "orders", and the lines `more` into it; the key's PEM."""
    private_pem, key_set = signing.make_key_set()
    (config.parent / "jwks.json").write_bytes(key_set)
    rewrite = 'rewrite = "/v2/orders/{*}"'
    guarded = CONFIG.replace(
        rewrite,
        "\n".join((rewrite, 'auth = "main"', 'require = { scope = ["orders:read"] }', *more)),
    )
    config.write_text(
        f"""[auth.main]
type = "jwt"
issuer = "https://issuer.example"
audience = "api"
algorithms = ["EdDSA"]
jwks_file = "{config.parent}/jwks.json"
{guarded}"""
    )
    return private_pem


def test_steps_name_the_verifier_and_scope_and_a_token_is_judged(config: Path) -> None:
    private_pem = guard(config)
    claims = {"iss": "https://issuer.example", "aud": "api", "sub": "ada", "scope": "orders:read"}
    url = "api.company.com/orders/7"

    def verdict(**changes: object) -> list[str]:
        token = signing.sign(private_pem, claims | {"exp": time.time() + 60} | changes)
        return explain(config, "--header", f"Authorization: Bearer {token}", "GET", url)[1]

    steps = 'steps  deny > per_ip 100/s burst 50 > ban 60s drop > jwt "main" > scope orders:read'
    assert steps in explain(config, "GET", url)[1]
    assert verdict()[-2] == '       this token: accepted, subject "ada"'
    assert verdict(scope="x")[-2].startswith("       this token: 403 insufficient_scope: ")
    assert verdict(aud="x")[-2].startswith("       this token: 401 ")


@pytest.mark.parametrize(
    ("lines", "steps"),
    [
        (
            ['allow = ["10.0.0.0/8"]', 'rate = "20/s"'],
            'allow > 20/s > jwt "main" > scope orders:read',
        ),
        (
            ['rate = "20/s"', "burst = 40", 'rate_key = "header:X-Api-Key"'],
            '20/s burst 40 by header X-Api-Key > jwt "main" > scope orders:read',
        ),
        (
            ['deny = ["10.0.0.0/8"]', 'rate = "30/m"', 'rate_key = "claim:org.id"'],
            'deny > jwt "main" > scope orders:read > 30/m by claim org.id',
        ),
    ],
)
def test_a_routes_own_limits_stand_where_they_act(
    config: Path, lines: list[str], steps: str
) -> None:
    guard(config, *lines)
    _, said = explain(config, "GET", "api.company.com/orders/7")
    assert said[-2] == f"steps  deny > per_ip 100/s burst 50 > ban 60s drop > {steps}"


def test_an_address_that_the_route_refuses_is_told(config: Path) -> None:
    private_pem = guard(config, 'allow = ["203.0.113.0/24"]')
    claims = {"iss": "https://issuer.example", "aud": "api", "scope": "orders:read"}
    token = signing.sign(private_pem, claims | {"exp": time.time() + 60})
    args = ("--header", f"Authorization: Bearer {token}", "GET", "api.company.com/orders/7")
    for address in (("--from", "203.0.113.7"), ()):
        _, lines = explain(config, *address, *args)
        assert lines[-2] == '       this token: accepted, subject ""'
        assert lines[-3].startswith("steps ")
    _, lines = explain(config, "--from", "192.0.2.1", *args)
    assert lines[-3].startswith("       192.0.2.1: 403 address_denied: ")


def test_an_exempt_address_is_limited_by_no_step(config: Path) -> None:
    guard(config, 'rate = "20/s"')
    _, lines = explain(config, "--from", "::ffff:192.0.2.1", "GET", "api.company.com/orders/7")
    assert lines[-2] == (
        'steps  deny > per_ip 100/s burst 50 (exempt) > 20/s (exempt) > jwt "main"'
        " > scope orders:read"
    )


def test_what_is_only_observed_bans_nobody(config: Path) -> None:
    config.write_text(CONFIG.replace("burst = 50", 'burst = 50\nmode = "observe"'))
    _, lines = explain(config, "GET", "/old/a")
    assert "steps  deny > per_ip 100/s burst 50 (only observed)" in lines


def test_a_token_for_a_route_without_a_verifier_is_not_judged(config: Path) -> None:
    config.write_text(CONFIG.replace('path = "/old/*"', 'path = "/old/*"\nrate = "5/s"'))
    _, lines = explain(config, "--header", "Authorization: Bearer x", "GET", "/old/a")
    assert lines[-2].endswith(" > 5/s")
