"""A client's connection: it reads requests, one at a time, and has each of them answered.

Strategy. This is the thin shell around the values: bytes in, `RequestHead` out to the journey, and
an answer back. It knows HTTP's rules about the order of requests (keep-alive, pipelining, bodies,
half-closed ends) and no policy. It is the uppermost of three floors: `gwd.worker.answering` below
writes the answers, `gwd.worker.connection` has the flow, the time and the ends. Where it stands:

    IDLE ──first byte──> HEAD ──head──> BUSY ──answer and body whole──> IDLE
                          │              │
                          └── refusal ───┴──> CLOSING ──> gone
                                               LINGER: the answer is out, what the client still
                                               sends is discarded for a moment, so that it reads
                                               the answer before it meets a reset
    BUSY ──101──> TUNNEL, where the transport belongs to `gwd.worker.tunnel`, until it ends

Invariants: one request is in flight; the bytes behind it wait in `_ahead`, unread by anyone, with
reading paused (SEC-26); an unread body is never parsed as a request (SEC-20); what stands in memory
is at most one read ahead, `HOLD` of a body, and the transport's high-water mark.
"""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

from gwd.clock import NEVER, TICK
from gwd.http.bodies import request_body
from gwd.http.gate import RequestReader
from gwd.http.head import NO_HEAD, RequestHead, SwitchHead
from gwd.http.problem import Refusal
from gwd.upstream.connection import WRITE_HIGH, WRITE_LOW, Connection
from gwd.upstream.exchange import Exchange
from gwd.worker.answering import AnsweringConnection
from gwd.worker.connection import BUSY, CLOSING, HEAD, IDLE, LINGER, TUNNEL
from gwd.worker.intake import Intake
from gwd.worker.tunnel import NO_POLICY, Tunnel, open_tunnel

if TYPE_CHECKING:
    from gwd.policies import Visitor
    from gwd.worker.journey import Journey
    from gwd.worker.process import Worker
    from gwd.worker.tables import Tables

TURN = 16
"""Pipelined requests served before other connections have their turn."""
SHORT = 16384
"""Bytes of an answer that may be left to the kernel to deliver, and to give up."""


class ClientConnection(AnsweringConnection):
    """A Protocol for asyncio's and uvloop's transports."""

    __slots__ = (
        "_reader",
        "_serving",
        "journey",
        "place",
        "telling",
        "told",
        "tunnel",
    )

    # What connections over TLS know better (`gwd.worker.secure`).
    scheme = "http"
    server_name: str | None = None
    """The host that the handshake was for."""
    certified = b""
    """The fields that tell upstreams of the client's certificate."""

    def __init__(self, worker: Worker, peer: Visitor, journey: Journey, *, remote: Visitor) -> None:
        super().__init__(worker, peer, remote)
        self._reader = RequestReader(worker.tables.gate)
        self._serving = False
        self.journey = journey
        """Where its requests go: this is decided when it opens."""
        self.place = -1
        """Where the connection is counted among its address's."""
        self.told: bytes | None = None
        self.telling = ""
        """What upstreams are told about this client, as long as its Host is `told`."""
        self.tunnel: Tunnel | None = None
        """What has the transport now, if the client was upgraded."""

    # what the transport tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)
        clock = self._worker.clock
        self.idle_since = clock.now
        # Whoever opened it may have set it a bound already: this time runs since the accept.
        within = clock.now + self._worker.settings.head_timeout + TICK
        clock.arm(self, min(within, self.deadline))
        self._worker.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._state == BUSY:
            self._abandon("client_gone")
        self._state = CLOSING
        self._worker.clock.disarm(self)
        self._worker.closed(self)

    def eof_received(self) -> bool:
        """The client sends no more; it may still read (ENGINEERING: half-closed clients)."""
        if self._state == BUSY:
            if self._body is None and not self._hears_events():
                # Requests that came before the end are served; the last one's answer says so.
                self._half_closed = True
                if not self._ahead:
                    self._keep_alive = False
                return True
            self._abandon("client_gone")
        self._close()
        return False

    def _hears_events(self) -> bool:
        """Whether its answer is an event stream. Whoever gives up the other direction does not
        listen any more, and nothing but the next event would tell (browsers, EventSource)."""
        return isinstance(self.pending, Exchange) and self.pending.streams_events()

    def pause_writing(self) -> None:
        assert self._transport is not None
        self._write_paused = True
        self._worker.budget.suspect(self, self._transport.get_write_buffer_size())
        self._hold_answer()
        if self._state == IDLE:
            self._pause()  # it was told late: what it sends next waits for what it has not taken

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._state == CLOSING:
            return  # the last of the answer is watched to its end
        self._outflow = None
        if self._state == BUSY:
            self._watch()
            if isinstance(self.pending, Exchange):
                self.pending.resume_answer()
        elif self._state == IDLE:
            self._arm(self._worker.settings.idle_timeout)
            self._go_on()
        elif self._state == LINGER:
            self._arm_linger()

    def expired(self) -> None:
        """What was waited for did not come: which it was, the state says."""
        state = self._state
        if self._outflow is not None:
            self._look_at_reader(self._outflow)
        elif state == BUSY:
            if self._body is not None:
                self._give_up(Refusal(408, "body_timeout", "The body did not come in time."))
        elif state == HEAD:
            self._begin(NO_HEAD, b"")
            self._worker.journey.malformed(
                self, Refusal(408, "head_timeout", "The head did not come in time.")
            )
        elif state == IDLE and self.status and (left := self._idle_left()) > 0:
            self._reader.forget()
            self._arm(left)
        elif state in (IDLE, LINGER):
            self._leave()
        else:
            self._abort()

    def _idle_left(self) -> float:
        """Seconds for which it may go on being idle."""
        return self.idle_since + self._worker.settings.idle_timeout - self._worker.clock.now

    # requests, in their order

    def data_received(self, data: bytes) -> None:
        """Take requests off `data` until one of them has to be waited for."""
        if self._state >= BUSY:
            if self._state == BUSY and self._body is not None:
                self._receive(data)
            else:
                self._read_ahead(data)
            return
        reader = self._reader
        self._serving = True
        turn = TURN
        while True:
            try:
                head = reader.again(data) or reader.read(data)
            except Refusal as refusal:
                self._begin(NO_HEAD, b"")
                self._worker.journey.malformed(self, refusal)
                break
            if head is None:
                if reader.pending:
                    self._worker.budget.suspect(self, len(data))
                    if self._state == IDLE:
                        # Absolute (SEC-25): the first head's time runs since the accept already.
                        self._state = HEAD
                        before = self.deadline
                        self._arm(self._worker.settings.head_timeout)
                        self.deadline = min(before, self.deadline)
                break
            self._begin(head, reader.rest)
            try:
                self.journey.begin(self, head)
            except Exception:
                self._break_down()
            if self._state != IDLE:
                break
            data, self._ahead = self._ahead, b""
            if not data:
                break
            turn -= 1
            if not turn or self._write_paused:
                self._ahead = data
                self._pause()
                if not self._write_paused:
                    self._worker.loop.call_soon(self._go_on)
                break
        self._serving = False

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        worker = self._worker
        self._state = BUSY
        self.deadline = NEVER
        self.head = head
        if head.has_body:
            self._rest = rest
        else:
            self._ahead = rest
        self._keep_alive = head.keep_alive and not worker.draining
        self._chunking = False
        self.tables = worker.tables
        self.route = None
        self.subject = ""
        self.started_ns = monotonic_ns()
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0

    def _finish(self) -> None:
        """The answer is written. Go on with the next request, or end the connection."""
        if self._state != BUSY:
            return
        self.pending = None
        if not self._keep_alive or (self._half_closed and not self._ahead):
            head = self.head
            # Where the client has said that nothing follows (RFC 9112 §9.6), or that its side is
            # closed, nothing more comes that could meet a reset. A long answer is watched all the
            # same.
            last = not (head.keep_alive or head.has_body or self._ahead)
            self._end_politely(last=last and self.bytes_out <= SHORT)
            return
        worker = self._worker
        clock = worker.clock
        self._state = IDLE
        self.head = NO_HEAD
        self.idle_since = clock.now
        if self._write_paused:
            self._watch()
            self._pause()
            return
        self.deadline = deadline = clock.now + worker.rest
        if deadline < self.due:
            clock.put(self)
        if not self._serving:
            if self._ahead:
                self._go_on()
            elif self._paused:
                self._resume()

    def _read_ahead(self, data: bytes) -> None:
        """Keep what comes before its turn, or drop it after the last answer."""
        if self._state == BUSY:
            self._ahead += data
            self._pause()
            self._worker.budget.suspect(self, len(data))
        elif self._state == LINGER:
            self._discard(data)

    def _go_on(self) -> None:
        """Serve what waits in `_ahead`, if it is its turn."""
        if self._state != IDLE or self._write_paused or self._serving:
            return
        data, self._ahead = self._ahead, b""
        if data:
            self.data_received(data)
        # Not before: a client that sends faster than it is served would be read ahead ever more.
        full = self._write_paused or (self._body is not None and self._body.paused)
        if not self._ahead and not full:
            self._resume()

    # the request's body

    def open_body(self, limit: int) -> tuple[bytes, bool]:
        """Begin to read the present request's body of at most `limit` bytes.

        Returns what is here of it, and whether that is all. Raises Refusal (413, 400).
        """
        body = request_body(self.head, limit)
        if body is None:
            return b"", True
        rest, self._rest = self._rest, b""
        if self.head.content_length == len(rest):
            self.bytes_in = len(rest)
            return rest, True
        payload = body.feed(rest) if rest else b""
        self.bytes_in = len(payload)
        if body.done:
            self._ahead = body.rest
            return payload, True
        self._body = Intake(body, self._worker.clock.now)
        self._worker.budget.suspect(self, len(payload))
        if not self.head.expect_continue:
            self._arm(self._worker.settings.body_timeout)
        return payload, False

    def _receive(self, data: bytes) -> None:
        intake = self._body
        assert intake is not None
        body = intake.reader
        try:
            payload = body.feed(data)
        except Refusal as refusal:
            self._give_up(refusal)
            return
        self.bytes_in += len(payload)
        self._worker.budget.suspect(self, len(payload))
        if body.done:
            self._body = None
            self._watch()
            if body.rest:
                self._ahead = body.rest
                self._pause()
        elif intake.too_slow(self._worker.clock.now, self._worker.settings.min_body_rate):
            self._give_up(Refusal(408, "body_too_slow", "The body came too slowly."))
            return
        elif self._outflow is None:
            self._arm(self._worker.settings.body_timeout)
        exchange = self.pending
        if isinstance(exchange, Exchange) and (payload or body.done):
            exchange.send_body(payload, body.done)

    # a request that becomes a tunnel

    def switched(self, head: SwitchHead, rest: bytes, connection: Connection) -> None:
        """The upstream has switched to WebSocket, and so do we: frames pass from here on.

        Nothing is kept of the config: what accounting will need stands in a route of its own.
        """
        assert self._transport is not None
        assert self.route is not None
        worker = self._worker
        worker.outbox.flush()
        self._state = TUNNEL
        self.status = head.status
        worker.clock.disarm(self)
        worker.account.switched(self)
        self._reader = RequestReader(NO_POLICY)
        self.logged = None
        self.head.lines, self.head.authorization = b"", None
        early, self._rest, self._ahead = self._rest + self._ahead, b"", b""
        if not self._half_closed:
            self._resume()
        self.tunnel = Tunnel(worker, self, self._transport, connection)
        self.retable(worker.tables)
        self.tunnel.begin(open_tunnel(head, self.request_id.encode()), rest, early)
        if self._half_closed:
            self.tunnel.ended(self.tunnel.client)

    # what the worker tells it

    def make_room(self) -> None:
        """End it, because others wait for its place: it has no request under way."""
        if self._state == HEAD:
            self._half_closed = True  # no lingering: that would keep the place
            self.expired()
        elif self._state == IDLE:
            self._close()

    def close_soon(self) -> None:
        """The worker drains: the present request is the last."""
        if self.tunnel is not None:
            self.tunnel.go_away("shutdown")
        elif not self.close_if_idle() and not self.status:
            self._keep_alive = False

    def kill(self, reason: str) -> None:
        """End it now, whatever it is doing."""
        self._worker.heap.freed += self.buffered()
        if self.tunnel is not None:
            self.tunnel.cut(reason)
            return
        if self._state == BUSY:
            self._abandon(reason)
        self._abort()

    def retable(self, tables: Tables) -> None:
        """A new config is in force, from the next request on."""
        if self.tunnel is not None:
            self.tables = tables  # it goes on as it is, and must not keep the old ones alive
        else:
            self._reader.policy = tables.gate
        self.told = None
        self.logged = None  # it would keep the old route
        before, self.peer = self.peer, tables.visitor(self.peer.ip)
        self.remote = self.peer if self.remote is before else tables.visitor(self.remote.ip)

    def buffered(self) -> int:
        """Bytes held for this connection."""
        if self.tunnel is not None:
            return self.tunnel.buffered()
        size = len(self._ahead) + len(self._rest) + self._reader.held()
        if self.pending is not None:
            size += self.pending.held()
        if self._transport is not None:
            size += self._transport.get_write_buffer_size()
        return size
