"""Active health checks of all endpoints: one task each, which probes, judges and writes down.

Strategy. `wanted` says, purely, which checks a config asks for; `Checks.replace` makes the running
ones equal to that: what is the same goes on undisturbed, what has changed goes on from the health
it had, what is gone is cancelled. Health lives in the segment's endpoint table, whose only writer
for it is this process, so it survives reloads and the controller itself: a new controller begins
with what the last one found.

The first check of an endpoint is at once, later ones every `interval` from start to start, give or
take a tenth, so that checks of many endpoints and of many gateways do not fall into step.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from gwd.config.snapshot import Endpoint, Health, Snapshot, Upstream
from gwd.controller.probe import Finding, Target, probe
from gwd.controller.state import HealthState
from gwd.segment.endpoints import UNHEALTHY, UNKNOWN, EndpointTable
from gwd.upstream.endpoint import table_name

JITTER = 0.1
"""Share of `interval` by which a check may come early or late."""

Key = tuple[str, str]
"""(upstream, address)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One endpoint to be checked. `row` is its row in the endpoint table; seconds."""

    upstream: str
    address: str
    row: int
    target: Target
    interval: float
    rise: int
    fall: int

    @property
    def key(self) -> Key:
        return self.upstream, self.address


@dataclass(frozen=True, slots=True)
class Change:
    """An endpoint went down or came up; `left` of the `total` endpoints of its upstream may be
    used now."""

    upstream: str
    address: str
    up: bool
    reason: str
    left: int
    total: int

    def __str__(self) -> str:
        name = f"{self.upstream} {self.address}"
        if self.up:
            return f"{name} up, {self.left} of {self.total}"
        return f"{name} down ({self.reason}), {self.left} of {self.total} left"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a config asks for: endpoints to check, and rows of those that nobody checks."""

    checks: tuple[Check, ...]
    unchecked: tuple[int, ...]


def plan(snapshot: Snapshot, find: Callable[[bytes], int]) -> Plan:
    """The plan of `snapshot`. `find` is the endpoint table's, and raises KeyError."""
    checks: dict[Key, Check] = {}
    unchecked: list[int] = []
    for upstream in snapshot.upstreams:
        for endpoint in upstream.endpoints:
            row = find(table_name(upstream.name, endpoint.address))
            if upstream.health is None:
                unchecked.append(row)
            else:
                check = _check(upstream, upstream.health, endpoint, row)
                checks[check.key] = check
    return Plan(tuple(checks.values()), tuple(unchecked))


def _check(upstream: Upstream, health: Health, endpoint: Endpoint, row: int) -> Check:
    # Without a client there is no Host to preserve.
    literal = upstream.host_header not in ("preserve", "endpoint")
    host = upstream.host_header if literal else endpoint.address
    return Check(
        upstream=upstream.name,
        address=endpoint.address,
        row=row,
        target=Target(endpoint.host, endpoint.port, health.path, host, health.timeout),
        interval=health.interval,
        rise=health.rise,
        fall=health.fall,
    )


class Checks:
    """The running checks. `changed` is told of every change; `broken` when a check itself fails,
    which is a fault of ours and must not go unnoticed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        table: EndpointTable,
        changed: Callable[[Change], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._table = table
        self._changed = changed
        self._broken = broken
        self._running: dict[Key, tuple[Check, HealthState, asyncio.Task[None]]] = {}

    def replace(self, wanted: Plan) -> None:
        """Check what `wanted` says from now on."""
        for row in wanted.unchecked:
            # Nobody would ever lift an old verdict.
            self._write(row, UNKNOWN, "")
        new = {check.key: check for check in wanted.checks}
        for key, (check, _, task) in list(self._running.items()):
            if new.get(key) != check:
                task.cancel()
                del self._running[key]
        for key, check in new.items():
            if key not in self._running:
                self._start(check)

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel all checks. The tasks are to be awaited."""
        tasks = [task for _, _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        self._running.clear()
        return tasks

    def _start(self, check: Check) -> None:
        state = HealthState(check.rise, check.fall, self._table.state(check.row))
        task = self._loop.create_task(self._watch(check, state))
        task.add_done_callback(self._ended)
        self._running[check.key] = (check, state, task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken(error)

    async def _watch(self, check: Check, state: HealthState) -> None:
        while True:
            began = time.monotonic()
            self._take(check, state, await probe(check.target))
            pause = check.interval * random.uniform(1 - JITTER, 1 + JITTER)
            await asyncio.sleep(began + pause - time.monotonic())

    def _take(self, check: Check, state: HealthState, finding: Finding) -> None:
        before = state.state
        if finding.good is None or not state.observe(finding.good):
            return
        self._write(check.row, state.state, finding.reason)
        if before == UNKNOWN and finding.good:
            return  # it was in use already: nothing has changed for anybody
        usable, total = self._count(check.upstream)
        self._changed(
            Change(check.upstream, check.address, finding.good, finding.reason, usable, total)
        )

    def _count(self, upstream: str) -> tuple[int, int]:
        states = [
            state.state for (name, _), (_, state, _) in self._running.items() if name == upstream
        ]
        return sum(state != UNHEALTHY for state in states), len(states)

    def _write(self, row: int, state: int, reason: str) -> None:
        self._table.set_health(row, state, time.monotonic_ns(), reason)
