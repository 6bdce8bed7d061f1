"""A route's own limits, over all workers: how often, by what, and from which networks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from rig.client import Client, Response
from rig.configs import config
from rig.gateway import Gateway
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.tokens import Issuer

EXEMPT = """
[limits]
exempt = ["127.0.0.9/32"]
"""
SLOW = """
[limits.per_ip]
rate = "1/h"
burst = 3
"""
"""Admits four: three are its burst, and as time has passed since the first of them the bucket is
not quite full (DESIGN §3: a level below the burst admits). Nothing comes back within a test."""
PROXY = ('trusted_proxies = ["127.0.0.1/32"]',)


def route(name: str, *lines: str) -> str:
    return "\n".join(
        ("\n[[routes]]", f'name = "{name}"', f'path = "/{name}/*"', 'upstream = "app"', *lines, "")
    )


def rated(name: str, *lines: str) -> str:
    """A route that admits four, as `SLOW` does."""
    return route(name, 'rate = "1/h"', "burst = 3", *lines)


def asked(
    running: Gateway, count: int, target: str, *fields: str, source: str = "127.0.0.5"
) -> Counter[int]:
    """The statuses of so many requests, on a connection each: the kernel spreads them over the
    workers."""
    found: Counter[int] = Counter()
    for _ in range(count):
        found[once(running, target, *fields, source=source).status] += 1
    return found


def once(running: Gateway, target: str, *fields: str, source: str = "127.0.0.5") -> Response:
    with Client(running.address, source=source) as client:
        return client.get(target, "Connection: close", *fields)


def test_a_route_is_limited_by_address_over_all_workers(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    routes = rated("orders") + rated("cart") + route("free")
    running = gateway(config(upstream().address, more=EXEMPT, routes=routes), workers=2)
    assert asked(running, 20, "/orders/1") == {200: 4, 429: 16}
    assert asked(running, 6, "/orders/1", source="127.0.0.6") == {200: 4, 429: 2}
    assert asked(running, 6, "/cart/1") == {200: 4, 429: 2}
    assert asked(running, 8, "/free/1") == {200: 8}
    assert asked(running, 8, "/orders/1", source="127.0.0.9") == {200: 8}

    refused = once(running, "/orders/2")
    assert refused.status == 429
    problem = json.loads(refused.body)
    assert problem["violated-policies"] == ["orders"]
    assert problem["type"].endswith("#quota-exceeded")
    assert refused.get("ratelimit-policy") == '"orders";q=1;w=3600;gwd-burst=3'
    assert (refused.get("ratelimit") or "").startswith('"orders";r=0;t=3')
    assert int(refused.get("retry-after") or "") <= 3600
    (line,) = running.logged(1, request_id=refused.get("x-request-id"))
    assert (line["route"], line["reason"]) == ("orders", "rate_limited")


def test_a_route_is_limited_by_header_and_by_address_without_it(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    routes = rated("orders", 'rate_key = "header:X-Api-Key"')
    running = gateway(config(upstream().address, routes=routes), workers=2)
    assert asked(running, 10, "/orders/1", "X-Api-Key: one") == {200: 4, 429: 6}
    assert asked(running, 6, "/orders/1", "x-API-key: two") == {200: 4, 429: 2}
    assert asked(running, 2, "/orders/1", "X-Api-Key: one", source="127.0.0.6") == {429: 2}
    assert asked(running, 6, "/orders/1") == {200: 4, 429: 2}
    assert asked(running, 2, "/orders/1", "Connection: X-Api-Key", "X-Api-Key: one") == {429: 2}
    long = f"X-Api-Key: {'k' * 8000}"
    assert asked(running, 5, "/orders/1", long + "1") == {200: 4, 429: 1}
    assert asked(running, 5, "/orders/1", long + "2") == {200: 4, 429: 1}


def test_two_subjects_do_not_disturb_each_other(
    gateway: StartGateway, upstream: StartUpstream, tmp_path: Path
) -> None:
    issuer = Issuer(tmp_path)
    routes = rated("orders", 'auth = "main"', 'rate_key = "claim:sub"')
    running = gateway(
        config(upstream().address, more=EXEMPT + issuer.table, routes=routes), workers=2
    )
    ada, bob = issuer.bearer(sub="ada"), issuer.bearer(sub="bob")
    assert asked(running, 10, "/orders/1", ada) == {200: 4, 429: 6}
    assert asked(running, 5, "/orders/1", bob) == {200: 4, 429: 1}
    # The subject, not the token and not the address; the exempt address all the same.
    again = issuer.bearer(sub="ada", jti="another token")
    assert asked(running, 2, "/orders/1", again, source="127.0.0.6") == {429: 2}
    assert asked(running, 2, "/orders/1", ada, source="127.0.0.9") == {200: 2}
    # Who is over it learns of a bad token first: without a good one nobody is a subject.
    assert asked(running, 2, "/orders/1", ada + "x") == {401: 2}
    nobody = issuer.bearer(sub=None)
    assert asked(running, 6, "/orders/1", nobody) == {200: 4, 429: 2}
    assert asked(running, 1, "/orders/1", nobody, source="127.0.0.6") == {200: 1}


def test_a_rate_by_address_holds_before_any_token_is_looked_at(
    gateway: StartGateway, upstream: StartUpstream, tmp_path: Path
) -> None:
    issuer = Issuer(tmp_path)
    routes = rated("orders", 'auth = "main"')
    running = gateway(config(upstream().address, more=issuer.table, routes=routes))
    bad = "Authorization: Bearer a.b.c"
    assert asked(running, 6, "/orders/1", bad) == {401: 4, 429: 2}
    assert asked(running, 2, "/orders/1", issuer.bearer()) == {429: 2}


def test_a_route_lets_in_networks_of_its_own_before_any_token_is_looked_at(
    gateway: StartGateway, upstream: StartUpstream, tmp_path: Path
) -> None:
    issuer = Issuer(tmp_path)
    guards = ('auth = "main"', 'allow = ["127.0.0.0/29"]', 'deny = ["127.0.0.6"]')
    routes = rated("admin", *guards) + route("free")
    running = gateway(config(upstream().address, more=issuer.table, routes=routes))
    good = issuer.bearer()
    for source in ("127.0.0.6", "127.0.0.8"):
        assert asked(running, 6, "/admin/1", good, source=source) == {403: 6}
        assert asked(running, 2, "/admin/1", source=source) == {403: 2}
        assert asked(running, 1, "/free/1", source=source) == {200: 1}
    assert asked(running, 1, "/admin/1") == {401: 1}
    assert asked(running, 4, "/admin/1", good) == {200: 3, 429: 1}


def test_behind_a_trusted_proxy_its_clients_are_told_apart(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    routes = rated("orders", 'deny = ["203.0.113.66", "127.0.0.6"]')
    running = gateway(config(upstream().address, server=PROXY, routes=routes), workers=2)

    def behind(address: str, count: int, source: str = "127.0.0.1") -> Counter[int]:
        field = f"X-Forwarded-For: {address}"
        return asked(running, count, "/orders/1", field, source=source)

    assert behind("203.0.113.1", 6) == {200: 4, 429: 2}
    assert behind("203.0.113.2", 6) == {200: 4, 429: 2}
    # One host has one bucket, however it is written.
    for same in ("::ffff:203.0.113.1", "[64:ff9b::203.0.113.1]:80", "198.51.100.1, 203.0.113.1"):
        assert behind(same, 1) == {429: 1}
    for same in ("203.0.113.66", "::ffff:203.0.113.66", "64:ff9b::cb00:7142"):
        assert behind(same, 1) == {403: 1}
    # From anybody else the field is nothing.
    assert behind("203.0.113.66", 6, source="127.0.0.5") == {200: 4, 429: 2}
    assert behind("203.0.113.9", 1, source="127.0.0.6") == {403: 1}


def test_mapped_and_translated_addresses_are_one_client_to_per_ip(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address, server=PROXY, more=SLOW), workers=2)
    spellings = ("203.0.113.1", "::ffff:203.0.113.1", "64:ff9b::203.0.113.1", "64:ff9b::cb00:7101")
    found = [
        once(running, "/x", f"X-Forwarded-For: {spellings[n % 4]}", source="127.0.0.1").status
        for n in range(8)
    ]
    assert found == [200] * 4 + [429] * 4
    # IPv6 counts by /64, and so do the routes.
    hosts = [f"X-Forwarded-For: 2001:db8::{n:x}" for n in range(6)]
    found = [once(running, "/x", host, source="127.0.0.1").status for host in hosts]
    assert found == [200] * 4 + [429] * 2
    other = once(running, "/x", "X-Forwarded-For: 2001:db8:0:1::1", source="127.0.0.1")
    assert other.status == 200


def test_observing_concerns_the_limit_per_address_only(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    observed = SLOW + 'mode = "observe"\n'
    routes = rated("orders") + route("free")
    running = gateway(config(upstream().address, more=observed, routes=routes), workers=2)

    def limited() -> int:
        found: int = json.loads(running.command("status", "--json").stdout)["limits"]["limited"]
        return found

    assert asked(running, 10, "/free/1") == {200: 10}
    assert limited() == 6
    assert asked(running, 6, "/orders/1", source="127.0.0.6") == {200: 4, 429: 2}
    assert limited() == 6 + 2 + 2  # the last two are told by both


def test_readiness_is_told_to_who_is_over_the_limit(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    server = ('ready_path = "/-/ready"',)
    running = gateway(config(upstream().address, server=server, more=SLOW))
    client = connect(running, source="127.0.0.5")
    assert [client.get("/x").status for _ in range(6)] == [200] * 4 + [429] * 2
    for _ in range(3):
        ready = client.get("/-/ready")
        assert (ready.status, ready.body) == (200, b"ready\n")
    assert client.get("/x").status == 429


def test_counts_outlive_a_reload_and_a_new_rate_counts_anew(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    text = config(upstream().address, routes=rated("orders"))
    running = gateway(text, workers=2)
    assert asked(running, 5, "/orders/1") == {200: 4, 429: 1}
    assert running.reload(text + rated("cart")).returncode == 0
    assert asked(running, 3, "/orders/1") == {429: 3}
    assert asked(running, 5, "/cart/1") == {200: 4, 429: 1}
    assert running.reload(text.replace("burst = 3", "burst = 5")).returncode == 0
    assert asked(running, 8, "/orders/1") == {200: 6, 429: 2}
    assert running.reload(text.replace('rate = "1/h"\nburst = 3', "")).returncode == 0
    assert asked(running, 9, "/orders/1") == {200: 9}
