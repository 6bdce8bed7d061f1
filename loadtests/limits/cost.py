"""cost: CPU µs per request with and without a limit per address, gwd and peers in turns.

What a limit costs is the difference between two rows of one proxy. With a million addresses
tracked, one client is served as before; to see what a crowd costs, requests speak for clients at
random by X-Forwarded-For, beside the same for one client.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.compare.running import Running, program
from loadtests.limits import crowd, decisions, peers, wrk
from loadtests.limits.gateway import Gateway
from loadtests.limits.report import Show

TABLE = 1 << 20
RECENT = 500_000
"""Of those that came last nearly all are in the table."""
_LIMIT = '[limits.per_ip]\nrate = "1000000/s"\nburst = 1000000\n'
_ROUTES = """
[upstreams.service]
endpoints = ["127.0.0.1:{port}"]
[[routes]]
name = "service"
path = "/*"
upstream = "service"
"""


def _segment(max_ips: int) -> str:
    return f"[segment]\nmax_workers = 1\nmax_ips = {max_ips}\n"


@dataclass(slots=True)
class Subject:
    name: str
    port: int
    cpu: Callable[[], float]
    memory: Callable[[], float]
    script: str = wrk.PLAIN
    costs: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def measure(self, seconds: float, room: Path) -> None:
        before = self.cpu()
        load = wrk.run(self.script, self.port, seconds, room)
        spent = self.cpu() - before
        if load.bad or load.broken:
            self.failures.append(f"{load.bad} not 2xx {load.broken}")
        else:
            self.costs.append(spent * 1e6 / load.requests)
            self.rates.append(load.rate)


def show(room: Path, seconds: float, rounds: int, tracked: int = 1_000_000) -> Show:
    table = Show(
        "cost",
        "What the limit costs",
        f"CPU µs per request (user and system, whole process tree), one worker each, all started, "
        f"then in turns: {rounds} rounds of {seconds:g} s, wrk with 64 connections, lowest and "
        "highest round. Limits are so high that nobody meets them. MiB: of the processes; gwd's "
        "with the shared memory.",
        ("proxy", "CPU µs/request", "requests/s", "MiB"),
    )
    with ExitStack() as stack:
        subjects = _start(stack, room, table, tracked)
        for _ in range(rounds):
            for subject in subjects:
                subject.measure(seconds, room)
        for subject in subjects:
            if subject.costs:
                cost = f"{min(subject.costs):.1f}-{max(subject.costs):.1f}"
                best = f"{max(subject.rates):.0f}"
            else:
                cost, best = "failed", "-"
            if subject.failures:
                cost += f" ({len(subject.failures)} rounds failed: {subject.failures[0]})"
            table.add(subject.name, cost, best, f"{subject.memory():.0f}")
    return table


def _start(stack: ExitStack, room: Path, table: Show, tracked: int) -> list[Subject]:
    service = peers.start_service(room / "cost-service")
    stack.callback(service.stop)
    routes = _ROUTES.format(port=service.port)
    subjects: list[Subject] = []

    def add_gateway(name: str, place: str, config: str, server: str = "") -> None:
        running = stack.enter_context(
            Gateway(room / place, config, workers=1, server=server, routes=routes)
        )

        def memory() -> float:
            return running.memory() + running.shared_memory()

        subjects.append(Subject(name, running.port, running.cpu, memory))
        if server:
            begin = time.monotonic()
            there, came = crowd.fill(running, tracked)
            table.note(
                f"The table of {TABLE:,} rows was filled with {there:,} addresses, of {came:,} "
                f"that came, in {time.monotonic() - begin:.0f} s."
            )
            for text, addresses in (("one client by XFF", 1), ("any of 500,000 by XFF", RECENT)):
                script = wrk.forwarded(min(addresses, came))
                full = f"{name}, {text}"
                subjects.append(Subject(full, running.port, running.cpu, memory, script))

    add_gateway("gwd, no limit", "cost-off", _segment(TABLE))
    add_gateway("gwd, per_ip", "cost-on", _LIMIT + _segment(TABLE))
    add_gateway(
        f"gwd, per_ip, {tracked:,} tracked",
        "cost-crowd",
        _LIMIT + _segment(TABLE),
        'trusted_proxies = ["127.0.0.1/32"]',
    )
    starters: tuple[tuple[str, str, Callable[..., Running]], ...] = (
        ("nginx", "limit_req", peers.start_nginx),
        ("haproxy", "stick table", peers.start_haproxy),
    )
    for name, what, start in starters:
        if program(name) is None:
            table.note(f"{name} is not installed and was left out.")
            continue
        for limit, text in ((False, "no limit"), (True, what)):
            peer = start(room / f"cost-{name}-{limit}", service.port, limit=limit)
            stack.callback(peer.stop)
            subjects.append(Subject(f"{name}, {text}", peer.port, peer.cpu, _mib(peer)))
    return subjects


def _mib(peer: Running) -> Callable[[], float]:
    return lambda: peer.memory() / 2**20


def show_decisions(room: Path, seconds: float, rounds: int) -> Show:
    table = Show(
        "decisions",
        "What one decision costs",
        f"CPU µs per decision, lowest and highest of {rounds} rounds of {seconds:g} s in turns. "
        "Redis: a token bucket as a Lua script by EVALSHA over a Unix socket, spoken to by 20 "
        "lines on uvloop, 8 addresses; the client's share and the server's. Traffic between "
        "machines would come on top, and so would a client library.",
        ("how", "CPU µs/decision", "client", "server"),
    )
    own: dict[int, list[float]] = {1: [], 64: [], 10_000: [], 100_000: []}
    others: dict[int, list[tuple[float, float]]] = {1: [], 64: []}
    missing = False
    for number in range(rounds):
        for addresses, costs in own.items():
            costs.append(decisions.in_process(addresses, seconds))
        for at_once, pairs in others.items():
            spent = decisions.in_redis(room / f"redis-{number}-{at_once}", at_once, seconds)
            if spent is None:
                missing = True
            else:
                pairs.append(spent)
    for addresses, costs in own.items():
        span = _span(costs)
        table.add(f"gwd's limiter, {addresses:,} addresses in turn", span, span, "-")
    for at_once, pairs in others.items():
        if pairs:
            sums = [mine + theirs for mine, theirs in pairs]
            mine, theirs = zip(*pairs, strict=True)
            table.add(
                f"Redis, {at_once} at a time", _span(sums), _span(list(mine)), _span(list(theirs))
            )
    if missing:
        table.note("redis-server is not installed, so there is no row for Redis.")
    return table


def _span(values: list[float]) -> str:
    return f"{min(values):.1f}-{max(values):.1f}"
