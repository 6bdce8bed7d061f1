"""A worker process: one event loop that accepts, serves and obeys the supervisor.

Strategy. The worker is the `Actor` of its control channel: `prepare` builds tables beside the
living ones, `commit` swaps them in between two requests. Upstreams outlive tables, so that the
connections to endpoints that stay are kept; requests in flight go on with the tables they began
with. It owns no policy and parses nothing: it ties together what does.

Draining: what the listeners' queues hold is accepted and served, idle connections close (those that
were new or busy a moment ago, when no request follows), every answer from then on is the last of
its connection; when all are gone or the grace is over, it ends.

Beside its own slot's listeners it serves those it was told to adopt, until they are released. They
are shared with whoever else has them open: letting go of them closes nothing but our copy.
"""

from __future__ import annotations

import gc
import socket
import time
import traceback
from collections.abc import Iterator, Sequence

from gwd.clock import TICK, Clock
from gwd.config.snapshot import Bind, Snapshot
from gwd.outbox import Outbox
from gwd.policies import Visitor
from gwd.process.child import Child
from gwd.process.control import Control
from gwd.process.events import EventLog
from gwd.process.heap import Heap
from gwd.process.loop import new_loop
from gwd.segment.bans import Bans
from gwd.segment.endpoints import EndpointTable
from gwd.segment.metrics import RouteMetrics
from gwd.segment.processes import LOG_DROPPED, ProcessTable
from gwd.tls.contexts import Prepared, hide_odd_names
from gwd.upstream.endpoint import table_name
from gwd.upstream.upstream import Upstream
from gwd.worker.accept import Acceptor
from gwd.worker.access_log import AccessLog
from gwd.worker.account import Account
from gwd.worker.budget import Budget
from gwd.worker.census import Census
from gwd.worker.client import ClientConnection
from gwd.worker.detour import HTTPS_PORT, NamedJourney, RedirectJourney, WrongPortJourney
from gwd.worker.journey import Journey
from gwd.worker.opening import Handshakes
from gwd.worker.tables import Tables

FORGET = 5.0
"""Seconds between two requests after which a connection keeps nothing of the last one's head."""
BANS_EVERY = 0.25
"""Seconds between two looks for connections of those who were banned meanwhile."""

NEXT_REQUEST = 1.0
"""Seconds without a request after which a connection is closed when the worker drains. One that
was new or busy a moment ago is likely to bring a request just now, which must not meet a close."""

COMPLAIN_EVERY = 10.0
"""Seconds between two complaints in the log."""


class Worker:
    __slots__ = (
        "_acceptors",
        "_adopted",
        "_bans",
        "_bans_at",
        "_bans_seen",
        "_child",
        "_complained_at",
        "_control",
        "_dropped_cell",
        "_endpoints",
        "_events",
        "_next",
        "_next_log",
        "_next_tls",
        "_ports",
        "_proxy_said_at",
        "_retired",
        "_spoken",
        "_words",
        "account",
        "budget",
        "census",
        "clock",
        "draining",
        "handshakes",
        "heap",
        "journey",
        "loop",
        "named_journey",
        "outbox",
        "rest",
        "settings",
        "tables",
        "tls",
        "upstreams",
        "wrong_port_journey",
    )

    def __init__(self, child: Child) -> None:
        self._child = child
        self.loop = new_loop()
        self.clock = Clock(self.loop)
        self.outbox = Outbox(self.loop)
        self.draining = False
        self.census = Census(child, self.clock, self._complain)
        self.heap = Heap()
        self.budget = Budget(self.loop.call_soon)
        self.upstreams: dict[str, Upstream] = {}
        self._retired: list[Upstream] = []
        self._endpoints = EndpointTable(child.segment)
        self._bans = Bans(child.segment)
        self._bans_seen = 0
        self._bans_at = 0.0
        self._words = child.segment.words
        self._dropped_cell = ProcessTable(child.segment).cell(child.column, LOG_DROPPED)
        self.tls = child.tls
        """Whose `of` has the context for handshakes on a listener."""
        self._next: Tables | None = None
        self._next_tls: Prepared | None = None
        self._next_log: AccessLog | None = None
        self._events = EventLog()
        self._complained_at = self._proxy_said_at = float("-inf")
        self._control = Control(self.loop, child, self, self)
        log = AccessLog(child.snapshot.server.access_log)
        self.account = Account(RouteMetrics(child.segment), log)
        self.journey = Journey(self)
        self.named_journey = NamedJourney(self)
        self.wrong_port_journey = WrongPortJourney(self)
        self.handshakes = Handshakes(self)
        tables = Tables(child.snapshot, child.generation)
        for _ in tables.build(child.segment, child.column):
            pass
        self._install(tables)
        self._acceptors: list[Acceptor] = []
        self._adopted: dict[int, list[Acceptor]] = {}
        """Those of `_acceptors` that are other slots'."""
        self._ports = [listener.getsockname()[1] for listener in child.listeners]
        self._listen_as(child.snapshot.server.bind)
        self._acceptors = self._accept_from(child.listeners)

    def _listen_as(self, binds: tuple[Bind, ...]) -> None:
        """Have each listener speak what its item of `server.bind` says."""
        spoken = [port for port, bind in zip(self._ports, binds, strict=True) if bind.tls]
        redirect = RedirectJourney(self, spoken[0] if spoken else HTTPS_PORT)
        self._spoken = [(bind, redirect if bind.redirect_https else self.journey) for bind in binds]
        # Our own are the first of them.
        for row in (self._acceptors[: len(binds)], *self._adopted.values()):
            for acceptor, (bind, journey) in zip(row, self._spoken, strict=False):
                acceptor.follow(bind, journey)

    def _accept_from(self, listeners: Sequence[socket.socket]) -> list[Acceptor]:
        """Acceptors for the `listeners` of one slot, which are in the order of `server.bind`."""
        return [
            Acceptor(self, listener, bind, journey)
            for listener, (bind, journey) in zip(listeners, self._spoken, strict=True)
        ]

    def _install(self, tables: Tables) -> None:
        """Put `tables` in force. Must not fail: everything that can was done by `build`."""
        snapshot = tables.snapshot
        self.tables = tables
        self._bans_seen = 0  # another action may end connections that the last one left open
        self.settings = snapshot.server
        self.rest = min(self.settings.idle_timeout, FORGET) + TICK
        """Seconds after which a connection that was idle so long is looked at."""
        self.census.follow(tables, self._control.workers)
        workers, write_timeout = self._control.workers, snapshot.server.write_timeout
        for config in snapshot.upstreams:
            known = self.upstreams.get(config.name)
            if known is not None:
                known.configure(config, workers, write_timeout)
            else:
                self.upstreams[config.name] = Upstream(
                    config,
                    workers,
                    write_timeout,
                    self._endpoints,
                    self._child.column,
                    self.clock,
                    self.loop,
                    self.outbox,
                )
        for name in self.upstreams.keys() - {config.name for config in snapshot.upstreams}:
            gone = self.upstreams.pop(name)
            gone.retire()
            self._retired.append(gone)
        for route in tables.routes:
            if route.upstream_name is not None:
                route.upstream = self.upstreams[route.upstream_name]
        for connection in self.census.connections:
            connection.retable(tables)

    def run(self) -> int:
        hide_odd_names()
        self.clock.each_tick(self._tick)
        self.clock.start()
        for acceptor in self._acceptors:
            acceptor.start()
        gc.collect()
        gc.freeze()
        self.loop.call_soon(self._control.ready)
        try:
            self.loop.run_forever()
        finally:
            self.clock.stop()
            for upstream in self.upstreams.values():
                upstream.publish()
            self.tables.shed.settle()
            self.account.close()
            self._tell_dropped()
            self.loop.close()
        return 0

    def _tick(self, now: float) -> None:
        self.census.tick()
        for acceptor in self._acceptors:
            acceptor.tick(now)
        for upstream in self.upstreams.values():
            upstream.tick(now)
        if self._retired:
            for upstream in self._retired:
                upstream.tick(now)
            self._retired = [u for u in self._retired if not u.finished()]
        self.budget.tick(now, self.census.connections, self.settings.buffer_budget)
        self.heap.tick(now)
        if self._bans_seen != self._bans.sequence and now - self._bans_at >= BANS_EVERY:
            self._bans_at = now
            self._end_banned()
        self.tables.shed.settle()
        self.account.flush()
        self._tell_dropped()

    def _tell_dropped(self) -> None:
        """Count the lines of the access log that were lost."""
        self._words[self._dropped_cell] += self.account.dropped()

    def _end_banned(self) -> None:
        """End the connections of those who were banned since the last look, idle or busy."""
        before, self._bans_seen = self._bans_seen, self._bans.sequence
        if not self.tables.shed.cuts:
            return
        banned = {ban.key for ban in self._bans.running(self._now_us(), before)}
        for connection in [c for c in self.census.connections if c.remote.key in banned]:
            if self.tables.shed.turn_away(connection.remote, self._now_us()):
                connection.kill("banned")

    # what connections tell it

    def opened(self, connection: ClientConnection) -> None:
        if connection.tables is not self.tables:
            connection.retable(self.tables)  # the config changed while it opened
        self.census.opened(connection)
        if self.draining:
            self.loop.call_later(NEXT_REQUEST, connection.close_soon)

    def opening_ended(self) -> None:
        """What was accepted comes to no connection."""
        if self.draining and self.census.empty:
            self._drained()

    def closed(self, connection: ClientConnection) -> None:
        self.census.closed(connection)
        self.budget.suspects.discard(connection)
        if self.draining and self.census.empty:
            self._drained()

    def turns_away(self, peer: Visitor) -> bool:
        """Whether `peer` is banned, and is to meet nothing."""
        return self.tables.shed.turn_away(peer, self._now_us())

    def kernel_filters(self) -> bool:
        """Whether the listeners have a filter against banned peers."""
        return self._bans.filters

    @staticmethod
    def _now_us() -> int:
        return time.monotonic_ns() // 1000

    def no_proxy_header(self, peer_ip: str, why: str) -> None:
        """A connection to a listener with the PROXY protocol was closed, as `why` says."""
        if self.clock.now - self._proxy_said_at > COMPLAIN_EVERY:
            self._proxy_said_at = self.clock.now
            self._events("warning", "no PROXY header", peer=peer_ip, reason=why)

    def fault(self, request_id: str) -> None:
        """An exception of ours, being handled, has ended request `request_id`."""
        self._complain("internal error", request_id=request_id, trace=traceback.format_exc())

    def _complain(self, event: str, **fields: str) -> None:
        """Log it, but no kind of trouble may fill the disk: once in a while."""
        if self.clock.now - self._complained_at > COMPLAIN_EVERY:
            self._complained_at = self.clock.now
            self._events("error", event, **fields)

    def serving(self) -> bool:
        """What a readiness probe is told."""
        return self._control.serving

    # what the supervisor tells it

    def prepare(self, snapshot: Snapshot, generation: int) -> Iterator[None]:
        tables = Tables(snapshot, generation)
        for upstream in snapshot.upstreams:
            for endpoint in upstream.endpoints:
                self._endpoints.find(table_name(upstream.name, endpoint.address))
        if snapshot.server.access_log != self.settings.access_log:
            self._next_log = AccessLog(snapshot.server.access_log)
        yield from tables.build(self._child.segment, self._child.column)
        self._next_tls = yield from self.tls.prepare(snapshot)
        self._next = tables

    def commit(self) -> None:
        assert self._next is not None
        tables, self._next = self._next, None
        if self._next_tls is not None:
            self.tls.install(self._next_tls)
            self._next_tls = None
        self.tables.shed.settle()
        self._install(tables)
        self._listen_as(tables.snapshot.server.bind)
        if self._next_log is not None:
            self.account.write_to(self._next_log)
            self._next_log = None
        gc.freeze()

    def abort(self) -> None:
        self._next = self._next_tls = None
        if self._next_log is not None:
            self._next_log.close()
            self._next_log = None

    def reopen_logs(self) -> None:
        self.account.reopen()

    def adopt(self, slot: int, listeners: list[socket.socket]) -> bool:
        self.release(slot)
        if self.draining:
            for listener in listeners:
                listener.close()
            return False
        acceptors = self._adopted[slot] = self._accept_from(listeners)
        for acceptor in acceptors:
            acceptor.start()
        self._acceptors += acceptors
        return True

    def release(self, slot: int) -> None:
        for acceptor in self._adopted.pop(slot, ()):
            self._acceptors.remove(acceptor)
            acceptor.leave()

    def share(self, workers: int) -> None:
        self.census.workers = workers
        for upstream in self.upstreams.values():
            upstream.share(workers)

    def drain(self, grace: float) -> None:
        self.draining = True
        self._adopted.clear()
        for acceptor in self._acceptors:
            acceptor.finish()
        for connection in list(self.census.connections):
            age = self.clock.now - connection.idle_since
            if connection.idle and age < NEXT_REQUEST:
                self.loop.call_later(NEXT_REQUEST - age, connection.close_soon)
            else:
                connection.close_soon()
        self.loop.call_later(grace, self._grace_over)
        self.loop.call_later(NEXT_REQUEST, self._end_silent)
        self._drained_if_empty()

    def _end_silent(self) -> None:
        for opening in list(self.census.openings):
            opening.end_silent()

    def _drained_if_empty(self) -> None:
        # Connections just accepted are opened in a later turn.
        if self.census.empty:
            self._drained()
        else:
            self.loop.call_later(2 * TICK, self._drained_if_empty)

    def _grace_over(self) -> None:
        for connection in list(self.census.connections):
            connection.kill("shutdown")
        self._drained()

    def _drained(self) -> None:
        self._control.drained()
        self.stop()

    def stop(self) -> None:
        self.loop.stop()
