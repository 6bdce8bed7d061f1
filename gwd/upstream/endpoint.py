"""One address of an upstream: its pooled connections, who waits for one, and how it fares.

Strategy. Connections are bounded (`max_connections` per endpoint over all workers, `CONNECTING` at
once per worker) because an upstream that is asked for a thousand connections at once drops SYNs.
An exchange takes the connection that was idle for the shortest time; if there is none it waits
here, first come first served, and whatever becomes free first serves it: a connection another
exchange gives back, or a new one. A connect that fails therefore fails the longest waiter.

Each worker may always have its share of the endpoint's connections and borrows what others leave.
Its cells in the segment (in flight, connections, requests, failures) are written by it alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from gwd.clock import Clock
from gwd.config import snapshot as plain
from gwd.outbox import Outbox
from gwd.segment.endpoints import (
    CONNECTIONS,
    EWMA_US,
    FAILURES,
    IN_FLIGHT,
    REQUESTS,
    UNHEALTHY,
    EndpointTable,
)
from gwd.upstream.connection import Connection

if TYPE_CHECKING:
    from gwd.upstream.exchange import Exchange

CONNECTING = 32
"""Connects under way at once, per endpoint and worker (PERFORMANCE §5)."""
POST_IDLE = 1.0
"""A request that may not be sent twice takes a pooled connection only if it was idle for less."""
DOWN_FIRST, DOWN_MOST = 0.5, 8.0
"""Seconds for which this worker avoids an endpoint that refused it; doubles with each failure."""


def table_name(upstream: str, address: str) -> bytes:
    """The name of an endpoint's row in the segment."""
    return f"{upstream}\0{address}".encode()


class Endpoint:
    """See the module. Lives as long as its upstream names its address, through reloads."""

    __slots__ = (
        "_cells",
        "_clock",
        "_connecting",
        "_connections",
        "_down_for",
        "_down_until",
        "_ewma_ns",
        "_failures",
        "_idle",
        "_loop",
        "_outbox",
        "_published",
        "_requests",
        "_row",
        "_seen_health",
        "_table",
        "_tasks",
        "_words",
        "address",
        "config",
        "handed_over",
        "host",
        "host_line",
        "in_flight",
        "port",
        "retired",
        "share",
        "usable",
        "waiting",
        "weight",
    )

    def __init__(
        self,
        upstream: plain.Upstream,
        endpoint: plain.Endpoint,
        table: EndpointTable,
        column: int,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
    ) -> None:
        self.address = endpoint.address
        self.host, self.port = endpoint.host, endpoint.port
        self.host_line = f"Host: {endpoint.address}\r\n".encode()
        self.in_flight = 0
        """Exchanges of this worker that have chosen it and have no complete answer yet: `engage`
        counts one, who parts from it takes itself off."""
        self.handed_over = 0
        """Those of them that have become tunnels."""
        self.usable = True
        """Whether a new exchange should choose it."""
        self.waiting: deque[Exchange] = deque()
        self.retired = False
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._connecting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = self._failures = 0
        self._down_for = DOWN_FIRST
        self._down_until = 0.0
        self._clock, self._loop, self._outbox = clock, loop, outbox
        self._table = table
        self._row = table.find(table_name(upstream.name, endpoint.address))
        self._words = table.words
        names = (IN_FLIGHT, REQUESTS, FAILURES, EWMA_US, CONNECTIONS)
        self._cells = tuple(table.cell(self._row, column, name) for name in names)
        # A process goes on with the counts of the one that had its column before.
        self._requests, self._failures, ewma = (self._words[cell] for cell in self._cells[1:4])
        self._ewma_ns = ewma * 1000
        self._published = 0
        """The number of requests as of the last `publish`."""
        self._seen_health = table.health(self._row).state
        self.usable = self.eligible()
        self.configure(upstream, endpoint, 1)

    def configure(self, upstream: plain.Upstream, endpoint: plain.Endpoint, workers: int) -> None:
        """Take the settings of a (new) config; connections stay."""
        self.config = upstream
        self.weight = endpoint.weight
        self.share = max(1, upstream.max_connections // workers)

    # how it fares

    def eligible(self) -> bool:
        """Whether it may be tried when no endpoint is usable: health checks do not forbid it."""
        return self._seen_health != UNHEALTHY

    def engage(self, idempotent: bool, fresh: bool) -> Connection | None:
        """Count one more exchange, and give it a pooled connection if there is one; if not, or if
        only a `fresh` one will do, it has to `wait`."""
        self.in_flight += 1
        self._requests += 1
        if fresh or not self._idle:
            return None
        return self._idle.pop() if idempotent else self._lively()

    def answered(self, nanoseconds: int) -> None:
        """A request sent to it got its answer's head after so long."""
        before = self._ewma_ns
        # The first one counts whole; later ones move the average by an eighth.
        self._ewma_ns = before + (nanoseconds - before >> 3) if before else nanoseconds

    def failed(self) -> None:
        self._failures += 1

    def publish(self) -> None:
        """Tell the other processes. They only look on, so once per tick is enough."""
        if (
            self._published == self._requests
            and not self.in_flight
            and not self._words[self._cells[0]]
        ):
            return
        self._published = self._requests
        values = (self.in_flight, self._requests, self._failures, self._ewma_ns // 1000)
        for cell, value in zip(self._cells, values, strict=False):
            self._words[cell] = value

    def _unreachable(self) -> None:
        self.usable = False
        self._down_until = self._clock.now + self._down_for
        self._down_for = min(2 * self._down_for, DOWN_MOST)

    def _reached(self) -> None:
        self._down_until, self._down_for = 0.0, DOWN_FIRST
        self.usable = self.eligible()

    # connections

    def wait(self, exchange: Exchange) -> None:
        """Give `exchange` a connection when there is one (`exchange.assigned`), or fail it
        (`exchange.unreachable`)."""
        self.waiting.append(exchange)
        self._connect_for_waiters()
        if exchange.fresh and self._idle and not self._may_open():
            self._idle[0].close()  # it makes room

    def _lively(self) -> Connection | None:
        """A pooled connection for a request that may not be sent twice."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if self._clock.now - connection.idle_since < POST_IDLE and connection.looks_alive():
                return connection
            connection.close()
        return None

    def _connect_for_waiters(self) -> None:
        while self._connecting < min(len(self.waiting), CONNECTING) and self._may_open():
            self._connecting += 1
            task = self._loop.create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _may_open(self) -> bool:
        mine = len(self._connections) + self._connecting
        if mine < self.share:
            return True
        others = self._table.total(self._row, CONNECTIONS) - len(self._connections)
        return mine + others < self.config.max_connections

    async def _connect(self) -> None:
        connection = Connection(self, self._clock, self._outbox)
        factory = cast("Callable[[], asyncio.Protocol]", lambda: connection)
        error = ""
        try:
            async with asyncio.timeout(self.config.connect_timeout):
                await self._loop.create_connection(factory, self.host, self.port)
        except TimeoutError:
            error = "connect_timeout"
        except OSError:
            error = "connect_failed"
        finally:
            self._connecting -= 1
        if not error and not connection.open:
            error = "connect_failed"  # accepted, and closed before we came to use it
        if error:
            self._connect_failed(error)
            return
        self._reached()
        self._connections.add(connection)
        self._words[self._cells[4]] = len(self._connections)
        self._offer(connection)

    def _connect_failed(self, error: str) -> None:
        self.failed()
        self._unreachable()
        # While other connections live or come, only those whom none can serve are turned away.
        may_serve = self._connecting + len(self._connections)
        while len(self.waiting) > may_serve:
            self.waiting.popleft().unreachable(error)
        self._connect_for_waiters()

    def release(self, connection: Connection) -> None:
        """An answer ended cleanly: the connection may serve the next."""
        clock = self._clock
        connection.idle_since = now = clock.now
        if self.waiting or self.retired:
            self._offer(connection)
            return
        connection.deadline = deadline = now + self.config.keepalive_idle
        if deadline < connection.due:
            clock.put(connection)
        self._idle.append(connection)

    def _offer(self, connection: Connection) -> None:
        exchange = self._waiter(connection)
        if exchange is not None:
            if connection.used and not exchange.idempotent and not connection.looks_alive():
                self.waiting.appendleft(exchange)
                connection.close()
            else:
                exchange.assigned(connection)
        elif self.retired or (self.waiting and not self._may_open()):
            connection.close()
        else:
            connection.arm(self._clock.now + self.config.keepalive_idle)
            self._idle.append(connection)

    def _waiter(self, connection: Connection) -> Exchange | None:
        """Take off the queue who waits longest of those whom `connection` may serve."""
        if not connection.used:
            return self.waiting.popleft() if self.waiting else None
        for place, exchange in enumerate(self.waiting):
            if not exchange.fresh:
                del self.waiting[place]
                return exchange
        return None

    def closed(self, connection: Connection) -> None:
        """`connection` is gone, whatever it was doing."""
        self._connections.discard(connection)
        self._words[self._cells[4]] = len(self._connections)
        if connection in self._idle:
            self._idle.remove(connection)
        if self.waiting:
            self._connect_for_waiters()

    def withdraw(self, exchange: Exchange) -> None:
        """`exchange` no longer waits here."""
        try:
            self.waiting.remove(exchange)
        except ValueError:
            return

    # what the tick and a reload do

    def tick(self, now: float) -> None:
        """Turn away who waited too long; take note of what the controller found."""
        if self.waiting:
            for exchange in [e for e in self.waiting if e.wait_until <= now]:
                self.waiting.remove(exchange)
                exchange.waited_too_long()
            self._connect_for_waiters()
        self.publish()
        health = self._seen_health if self.retired else self._table.state(self._row)
        if health != self._seen_health:
            self._seen_health = health
            if health == UNHEALTHY:
                self.usable = False
                self._move_away()
            else:
                self._reached()
        elif not self.usable and self._down_until <= now:
            self.usable = self.eligible()

    def _move_away(self) -> None:
        """The endpoint was found down: what can be asked of another one is, at once."""
        for connection in list(self._idle):
            connection.close()
        for connection in list(self._connections):
            exchange = connection.exchange
            if exchange is not None and exchange.may_move():
                connection.abort()
                exchange.lost(connection)
        while self.waiting:
            self.waiting.popleft().unreachable("connect_failed")

    def retire(self) -> None:
        """The config names it no longer: connections close as they become free.

        Its row in the segment may soon be another's: what is still counted is counted privately.
        """
        self.retired = True
        self.publish()
        for cell in (self._cells[0], self._cells[4]):
            self._words[cell] = 0
        self._words, self._cells = memoryview(bytearray(40)).cast("Q"), (0, 1, 2, 3, 4)
        for connection in list(self._idle):
            connection.close()

    def finished(self) -> bool:
        """Whether a retired endpoint has nothing left to do."""
        return not self.waiting and not self._connections and not self._connecting
