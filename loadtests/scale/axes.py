"""The four axes: what grows, how such a gateway is configured, what it is asked.

Everything but the one thing that grows is the same: 64 connections, one route, one endpoint, no
limit per address, requests whose path differs every time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtests.scale.service import addresses

CONNECTIONS = 64
BIG_TABLE = 1 << 21
"""Rows for a million addresses: they fall into buckets of eight, so a table just large enough would
already have to push some out."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One gateway to be started, and its load. `tracked`: addresses its table is filled with."""

    size: int
    config: str
    routes: str
    script: str
    names: tuple[bytes, ...] = (b"service",)
    server: str = ""
    connections: int = CONNECTIONS
    tracked: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    name: str
    title: str
    about: str
    sizes: tuple[int, ...]
    subject: Callable[[int, int], Subject] = field(repr=False)
    """Of a size, with the service at a port."""


def _upstream(port: int, endpoints: int = 1) -> str:
    return f"[upstreams.service]\nendpoints = {json.dumps(addresses(endpoints, port))}\n"


def _route(name: str = "service", path: str = "/*") -> str:
    return f'[[routes]]\nname = "{name}"\npath = "{path}"\nupstream = "service"\n'


def _script(path: str, fields: str = "", more: str = "") -> str:
    return f"""
local fields = {{ ["Host"] = "gw.test", ["User-Agent"] = "load", ["Accept"] = "*/*" }}
local n = 0
math.randomseed(7)
request = function()
  n = n + 1
  {fields}
  return wrk.format("GET", {path}, fields)
end
{more}"""


_PLAIN = _script('"/items/" .. n')


def _connections(size: int, port: int) -> Subject:
    # All of them ask at once, and 256 connections to the service take them one after another.
    waiting = 'max_pending = 20000\npending_timeout = "30s"\n'
    return Subject(size, "", _upstream(port) + waiting + _route(), _PLAIN, connections=size)


def routes_config(size: int, port: int) -> str:
    return _upstream(port) + "".join(
        _route(f"r{number}", f"/r{number}/*") for number in range(size)
    )


def _routes(size: int, port: int) -> Subject:
    return Subject(
        size,
        f"[segment]\nmax_routes = {max(64, size + 8)}\n",
        routes_config(size, port),
        _script(f'"/r" .. math.random(0, {size - 1}) .. "/items/" .. n'),
        tuple(b"r%d" % number for number in range(size)),
    )


def _endpoints(size: int, port: int) -> Subject:
    return Subject(size, "", _upstream(port, size) + _route(), _PLAIN)


def _tracked(size: int, port: int) -> Subject:
    address = f"""local a = math.random(0, {size - 1})
  fields["X-Forwarded-For"] = string.format("10.%d.%d.%d", a / 65536, a / 256 % 256, a % 256)"""
    return Subject(
        size,
        f'[segment]\nmax_ips = {BIG_TABLE}\n[limits.per_ip]\nrate = "1000000/s"\nburst = 1000000\n',
        _upstream(port) + _route(),
        _script('"/items/" .. n', address),
        server='trusted_proxies = ["127.0.0.1/32"]',
        tracked=size,
    )


AXES = (
    Axis(
        "connections",
        "Connections",
        "Open connections of clients, all busy.",
        (10, 100, 1_000, 10_000),
        _connections,
    ),
    Axis(
        "routes",
        "Routes",
        "Routes in the config; every request takes one at random.",
        (10, 100, 1_000, 10_000),
        _routes,
    ),
    Axis(
        "endpoints",
        "Endpoints",
        "Endpoints of the one upstream, chosen by `least_requests`; each has its own address.",
        (1, 10, 100, 500),
        _endpoints,
    ),
    Axis(
        "addresses",
        "Tracked addresses",
        "Addresses in the limiter's table. They were put there by gwd's own limiter, run by this "
        "program on the gateway's shared memory in a column nobody has; every request then speaks "
        "for one of them at random, by X-Forwarded-For from a trusted proxy.",
        (10, 1_000, 100_000, 1_000_000),
        _tracked,
    ),
)
