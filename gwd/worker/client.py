"""A client's connection: it reads requests, one at a time, and writes their answers.

Strategy. This is the thin shell around the values: bytes in, `RequestHead` out to the journey, and
an answer back. It knows HTTP's rules about the connection (order, framing towards the client,
keep-alive, 100-continue, half-closed and lingering ends) and no policy. Where it stands:

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
import time
from typing import TYPE_CHECKING, cast

from gwd.clock import NEVER, TICK
from gwd.http.bodies import LAST_CHUNK, encode_chunk, request_body
from gwd.http.gate import RequestReader
from gwd.http.head import RequestHead, ResponseHead, SwitchHead
from gwd.http.problem import Manner, Refusal, plain_response, problem_response
from gwd.upstream.connection import WRITE_HIGH, WRITE_LOW, Connection, reset
from gwd.upstream.exchange import Exchange
from gwd.worker.framing import END, ending, frame, is_chunked, memorise, open_head
from gwd.worker.intake import Intake
from gwd.worker.outflow import Outflow, unsent
from gwd.worker.tunnel import NO_POLICY, Tunnel, open_tunnel

if TYPE_CHECKING:
    from gwd.policies import Visitor
    from gwd.worker.fanout import FanOut
    from gwd.worker.journey import Journey
    from gwd.worker.process import Worker
    from gwd.worker.tables import Route, Tables

TURN = 16
"""Pipelined requests served before other connections have their turn."""
LINGER_BYTES, LINGER_SECONDS = 65536, 2.0
SHORT = 16384
"""Bytes of an answer that may be left to the kernel to deliver, and to give up."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLIENT_GONE, NO_ANSWER = 499, 444
"""Logged, never sent: the client left before its answer; a banned one gets none (nginx's
numbers)."""


# Where a connection stands. Plain numbers: members of enums cost too much per request.
IDLE, HEAD, BUSY, LINGER, CLOSING, TUNNEL = range(6)


class ClientConnection:
    """A Protocol for asyncio's and uvloop's transports, a `Timed` for the clock, and the `Sink` of
    the exchange that serves its present request."""

    __slots__ = (
        "_ahead",
        "_body",
        "_chunking",
        "_discarded",
        "_half_closed",
        "_keep_alive",
        "_outflow",
        "_paused",
        "_reader",
        "_rest",
        "_serving",
        "_state",
        "_transport",
        "_worker",
        "_write_paused",
        "bytes_in",
        "bytes_out",
        "deadline",
        "due",
        "head",
        "idle_since",
        "journey",
        "log_end",
        "logged",
        "peer",
        "pending",
        "place",
        "remote",
        "request_id",
        "route",
        "started_ns",
        "status",
        "subject",
        "tables",
        "telling",
        "told",
        "tunnel",
        "visitor",
    )

    # What connections over TLS know better (`gwd.worker.secure`).
    scheme = "http"
    server_name: str | None = None
    """The host that the handshake was for."""
    certified = b""
    """The fields that tell upstreams of the client's certificate."""
    log_part = ""
    """What stands in its lines of the access log besides."""

    def __init__(self, worker: Worker, peer: Visitor, journey: Journey, *, remote: Visitor) -> None:
        self._worker = worker
        self._transport: asyncio.Transport | None = None
        self._state = IDLE
        self._reader = RequestReader(worker.tables.gate)
        self._rest = b""
        self._ahead = b""
        self._body: Intake | None = None
        self._keep_alive = True
        self._chunking = False
        self._discarded = 0
        self._half_closed = False
        self._serving = False
        self._paused = False
        self._write_paused = False
        self._outflow: Outflow | None = None
        """The stall, while the client does not take its answer as fast as it comes."""
        self.deadline = NEVER
        self.due = NEVER
        self.idle_since = 0.0
        self.journey = journey
        """Where its requests go: this is decided when it opens."""
        self.peer = peer
        """Who speaks HTTP here: at the other end of the connection, or, by the PROXY protocol,
        behind it."""
        self.remote = remote
        """Who is at the other end of the connection. It alone is cut or dropped when banned."""
        self.visitor = peer
        """Whom the present request comes from: behind a trusted proxy, its client."""
        self.place = -1
        """Where the connection is counted among its address's."""
        self.pending: Exchange | FanOut | None = None
        """What works on the present request, to be told when the client leaves."""
        self.head: RequestHead | None = None
        self.tables: Tables = worker.tables
        self.route: Route | None = None
        self.told: bytes | None = None
        self.telling = b""
        """What upstreams are told about this client, as long as its Host is `told`."""
        self.tunnel: Tunnel | None = None
        """What has the transport now, if the client was upgraded."""
        self.logged: object = None
        self.log_end = ""
        """What the last line of the access log was of, and how it ended (`gwd.worker.account`)."""
        self.request_id = ""
        self.subject = ""
        self.started_ns = 0
        self.status = 0
        """The status sent, 0 as long as none was."""
        self.bytes_in = 0
        self.bytes_out = 0

    # what the transport tells it: the beginning and the end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)
        self.idle_since = self._worker.clock.now
        clock = self._worker.clock
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

    # reading

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state < BUSY:
            self._serve(data)
        elif state == BUSY:
            if self._body is not None:
                self._receive(data)
            else:
                self._ahead += data
                self._pause()
                self._worker.budget.suspects.add(self)
        elif state == LINGER:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self._close() if self._outflow is None else self._abort()

    def _serve(self, data: bytes) -> None:
        """Take requests off `data` until one of them has to be waited for."""
        reader = self._reader
        self._serving = True
        turn = TURN
        while True:
            try:
                head = reader.feed(data)
            except Refusal as refusal:
                self._begin(None, b"")
                self._worker.journey.malformed(self, refusal)
                break
            if head is None:
                if reader.pending and self._state == IDLE:
                    # Absolute (SEC-25): the first head's time runs since the accept already.
                    self._state = HEAD
                    before = self.deadline
                    self._arm(self._worker.settings.head_timeout)
                    self.deadline = min(before, self.deadline)
                    self._worker.budget.suspects.add(self)
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

    def _break_down(self) -> None:
        """The gateway itself failed: this request is answered 500, and the worker lives."""
        self._worker.fault(self.request_id)
        if self.pending is not None:
            self.pending.abandon()
        if self.status:
            self._abort()
        else:
            self._body = None
            self._keep_alive = False
            self.refuse(Refusal(500, "internal_error", "The gateway failed. The id names the log."))

    def _begin(self, head: RequestHead | None, rest: bytes) -> None:
        worker = self._worker
        self._state = BUSY
        self.deadline = NEVER
        self.head = head
        if head is None or head.has_body:
            self._rest = rest
        else:
            self._ahead = rest
        self._keep_alive = head is not None and head.keep_alive and not worker.draining
        self._chunking = False
        self.tables = worker.tables
        self.route = None
        self.subject = ""
        self.started_ns = time.monotonic_ns()
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0

    def _go_on(self) -> None:
        """Serve what waits in `_ahead`, if it is its turn."""
        if self._state != IDLE or self._write_paused or self._serving:
            return
        data, self._ahead = self._ahead, b""
        if data:
            self._serve(data)
        # Not before: a client that sends faster than it is served would be read ahead ever more.
        full = self._write_paused or (self._body is not None and self._body.paused)
        if not self._ahead and not full:
            self._resume()

    # the request's body

    def open_body(self, limit: int) -> tuple[bytes, bool]:
        """Begin to read the present request's body of at most `limit` bytes.

        Returns what is here of it, and whether that is all. Raises Refusal (413, 400).
        """
        assert self.head is not None
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
        self._worker.budget.suspects.add(self)
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

    def _give_up(self, refusal: Refusal) -> None:
        """The request's body failed: its exchange ends; the client learns why, if it still can."""
        if self.pending is not None:
            self.pending.abandon()
        self._body = None
        self._keep_alive = False
        if self.status:
            self._account(CLIENT_GONE, refusal.reason)
            self._abort()
        else:
            self.refuse(refusal)

    def pause_body(self) -> None:
        body = self._body
        if body is not None and not body.paused:
            body.pause(self._worker.clock.now)
            self._watch()
            self._pause()

    def resume_body(self) -> None:
        body = self._body
        if body is not None and body.paused:
            body.resume(self._worker.clock.now)
            self._watch()
            self._resume()

    def body_wanted(self) -> None:
        head, body = self.head, self._body
        assert head is not None
        if body is None:
            return
        if head.expect_continue and not self.bytes_in and not self.status:
            self._write(CONTINUE)
            body.begin(self._worker.clock.now)
            self._arm(self._worker.settings.body_timeout)
        self.resume_body()

    # the answer

    def answer(self, head: ResponseHead, data: bytes, last: bool) -> None:
        """The upstream's answer: its head and the first part of its body."""
        request = self.head
        assert request is not None
        self.status = head.status
        self.bytes_out = size = len(data)
        if self._body is not None:
            self._keep_alive = False  # an early answer: the rest of the body is not waited for
        if last and head.content_length == size and not head.bodyless:
            opening = head.opening or memorise(head)
        else:
            framing = frame(request, head, size, last)
            if framing is None:
                self._keep_alive = False  # the body's end is the connection's
            self._chunking = is_chunked(framing)
            if self._chunking and data:
                data = encode_chunk(data)
            opening = open_head(head, framing)
        keep, minor = self._keep_alive, request.minor
        end = END if keep and minor else ending(minor, keep)
        if self._state != CLOSING:
            assert self._transport is not None
            wire = b"".join((opening, self.request_id.encode(), end, data))
            self._worker.outbox.put(self._transport, wire)
        if last:
            self._worker.account.end(self, head.status, "")
            self._finish()
        elif self._write_paused:
            self._hold_answer()

    def answer_data(self, data: bytes, last: bool) -> None:
        self.bytes_out += len(data)
        if self._chunking:
            wire = encode_chunk(data) if data else b""
            if last:
                wire += LAST_CHUNK
        else:
            wire = data
        if wire:
            self._write(wire)
        if last:
            self._account(self.status, "")
            self._finish()

    def switched(self, head: SwitchHead, rest: bytes, connection: Connection) -> None:
        """The upstream has switched to WebSocket, and so do we: frames pass from here on.

        Nothing is kept of the config: what accounting will need stands in a route of its own.
        """
        assert self._transport is not None
        assert self.route is not None
        assert self.head is not None
        worker = self._worker
        worker.outbox.flush()
        self._state = TUNNEL
        self.status = head.status
        worker.clock.disarm(self)
        worker.account.switched(self)
        self._reader = RequestReader(NO_POLICY)
        self.route = self.route.outline()
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

    def failed(self, refusal: Refusal) -> None:
        self.refuse(refusal)

    def cut(self, refusal: Refusal) -> None:
        self._account(self.status, refusal.reason)
        self._abort()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a problem of the gateway's own."""
        if refusal.close:
            self._keep_alive = False
        wire = problem_response(refusal, self.request_id, **self._manner())
        self._reply(refusal.status, wire, refusal.reason)

    def respond(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        """Answer with a whole response of the gateway's own."""
        wire = plain_response(status, headers, body, self.request_id, **self._manner())
        self._reply(status, wire, "")

    def _manner(self) -> Manner:
        """How an answer of the gateway's own is put. What is left of the request's body is not
        read on: either it is all here, or the connection closes."""
        head = self.head
        if self._keep_alive and (head is None or not self._body_is_here(head)):
            self._keep_alive = False
        return {
            "minor": 1 if head is None else head.minor,
            "head_only": head is not None and head.method == "HEAD",
            "close": not self._keep_alive,
        }

    def _reply(self, status: int, wire: bytes, reason: str) -> None:
        self.status = status
        self._write(wire)
        self.bytes_out = len(wire)
        self._account(status, reason)
        self._finish()

    def _body_is_here(self, head: RequestHead) -> bool:
        if self._body is not None:
            return False
        if not head.has_body:
            return True
        rest = self._rest
        if not rest:
            # Either `open_body` took it whole, or nothing of it has come.
            return self.bytes_in > 0 or head.content_length == 0
        try:
            body = request_body(head, LINGER_BYTES)
            if body is None:
                return False
            body.feed(rest)
        except Refusal:
            return False
        if body.done:
            self._ahead, self._rest = body.rest, b""
        return body.done

    def _write(self, wire: bytes) -> None:
        if self._state != CLOSING:
            assert self._transport is not None
            self._worker.outbox.put(self._transport, wire)

    def _finish(self) -> None:
        """The answer is written. Go on with the next request, or end the connection."""
        if self._state != BUSY:
            return
        self.pending = None
        if not self._keep_alive or (self._half_closed and not self._ahead):
            self._end_politely()
            return
        worker = self._worker
        clock = worker.clock
        self._state = IDLE
        self.head = None
        self.idle_since = clock.now
        if self._write_paused:
            self._watch()
            self._pause()
            return
        self.deadline = deadline = clock.now + worker.settings.idle_timeout + TICK
        if deadline < self.due:
            clock.put(self)
        if not self._serving:
            if self._ahead:
                self._go_on()
            elif self._paused:
                self._resume()

    # ending

    def _end_politely(self) -> None:
        """Close so that the client reads the answer: half-close, discard a while, close."""
        assert self._transport is not None
        head = self.head
        # Where the client has said that nothing follows (RFC 9112 §9.6), or that its side is
        # closed, nothing more comes that could meet a reset. A long answer is watched all the same.
        last = head is not None and not (head.keep_alive or head.has_body or self._ahead)
        self._ahead = b""
        self._body = None
        if self._transport.is_closing():
            self._state = CLOSING
            return
        if (last and self.bytes_out <= SHORT) or self._half_closed:
            self._close()
            return
        self._state = LINGER
        self._discarded = 0
        self._arm_linger()
        if self._transport.can_write_eof():
            self._worker.outbox.flush()
            self._transport.write_eof()
        self._resume()

    def _close(self) -> None:
        """Close; what is written still goes out, for at most `write_timeout`."""
        transport = self._transport
        assert transport is not None
        self._state = CLOSING
        self._ahead = self._rest = b""
        self._worker.outbox.flush()
        if self._outflow is None and transport.get_write_buffer_size():
            self._outflow = Outflow(self._worker.clock.now, unsent(transport))
        transport.close()
        self._watch()

    def _abort(self) -> None:
        assert self._transport is not None
        self._state = CLOSING
        self._ahead = self._rest = b""
        reset(self._transport)

    def _abandon(self, reason: str) -> None:
        if self.pending is not None:
            self.pending.abandon()
        self._account(CLIENT_GONE, reason)
        self.pending = None

    @property
    def was_opened(self) -> bool:
        """Whether the event loop has told of it."""
        return self._transport is not None

    @property
    def idle(self) -> bool:
        """Whether no request has begun since the last was answered."""
        return self._state == IDLE and not self._ahead

    @property
    def spare(self) -> bool:
        """Whether it is a keep-alive connection between two requests: it may make room for others.
        One whose first request is still to come is no less welcome than they are."""
        return self.status != 0 and self.idle and self._outflow is None

    def dawdles(self, now: float, patience: float) -> bool:
        """Whether for `patience` seconds it has owed us the rest of a head, or all of its first."""
        if self._state == IDLE and (self.status or self._ahead):
            return False
        due = self._worker.settings.head_timeout - (self.deadline - TICK - now)
        return self._state < BUSY and self._outflow is None and due > patience

    def make_room(self) -> None:
        """End it, because others wait for its place: it has no request under way."""
        if self._state == HEAD:
            self._half_closed = True  # no lingering: that would keep the place
            self.expired()
        elif self._state == IDLE:
            self._close()

    def close_if_idle(self) -> bool:
        """Close it if no request has begun. Returns whether it was so."""
        if self.idle:
            self._close()
            return True
        return False

    def close_soon(self) -> None:
        """The worker drains: the present request is the last."""
        if self.tunnel is not None:
            self.tunnel.go_away("shutdown")
        elif not self.close_if_idle() and not self.status:
            self._keep_alive = False

    def kill(self, reason: str) -> None:
        """End it now, whatever it is doing."""
        if self.tunnel is not None:
            self.tunnel.cut(reason)
            return
        if self._state == BUSY:
            self._abandon(reason)
        self._abort()

    def turn_away(self) -> None:
        """The present request comes from a banned peer: no answer, and the connection is gone."""
        self._account(NO_ANSWER, "banned")
        self._abort()

    def retable(self, tables: Tables) -> None:
        """A new config is in force, from the next request on."""
        if self.tunnel is not None:
            self.tables = tables  # it goes on as it is, and must not keep the old ones alive
        else:
            self._reader.policy = tables.gate
        self.told = None
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

    # flow

    def pause_writing(self) -> None:
        self._write_paused = True
        self._worker.budget.suspects.add(self)
        self._hold_answer()
        if self._state == IDLE:
            self._pause()  # it was told late: what it sends next waits for what it has not taken

    def _hold_answer(self) -> None:
        if self._outflow is None:
            assert self._transport is not None
            self._outflow = Outflow(self._worker.clock.now, unsent(self._transport))
        self._watch()
        if isinstance(self.pending, Exchange):
            self.pending.pause_answer()

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

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            assert self._transport is not None
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            assert self._transport is not None
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # time

    def _arm(self, seconds: float) -> None:
        clock = self._worker.clock
        clock.arm(self, clock.now + seconds + TICK)

    def _arm_linger(self) -> None:
        if self._outflow is None:
            self._worker.clock.arm(self, self._worker.clock.now + LINGER_SECONDS)
        else:
            self._watch()

    def _watch(self) -> None:
        """Arm for what we wait for of the client, in the middle of something: that it takes its
        answer, then that its body comes."""
        now, settings = self._worker.clock.now, self._worker.settings
        if self._outflow is not None:
            deadline = self._outflow.look_at(now, settings.write_timeout) + TICK
        elif self._state == CLOSING:
            deadline = now + settings.write_timeout + TICK
        elif self._body is not None and not self._body.paused:
            deadline = now + settings.body_timeout + TICK
        else:
            deadline = NEVER
        self._worker.clock.arm(self, deadline)

    def _leave(self) -> None:
        """Close, but not before what was written is taken: whom we left, the kernel goes on serving
        for as long as it takes a byte now and then."""
        transport = self._transport
        assert transport is not None
        left = unsent(transport)
        if not left:
            self._close()
            return
        self._outflow = Outflow(self._worker.clock.now, left)
        if self._state == IDLE:
            self._end_politely()
        else:
            self._watch()

    def _look_at_reader(self, outflow: Outflow) -> None:
        assert self._transport is not None
        now, settings = self._worker.clock.now, self._worker.settings
        left = unsent(self._transport)
        outflow.look(now, left)
        if self._state == LINGER and not left:
            self._close()
        elif outflow.stands(now, settings.write_timeout):
            self.kill("write_timeout")
        elif outflow.too_slow(now, settings.min_write_rate):
            self.kill("write_too_slow")
        else:
            self._watch()

    def expired(self) -> None:
        """What was waited for did not come: which it was, the state says."""
        state = self._state
        if self._outflow is not None:
            self._look_at_reader(self._outflow)
        elif state == BUSY:
            if self._body is not None:
                self._give_up(Refusal(408, "body_timeout", "The body did not come in time."))
        elif state == HEAD:
            self._begin(None, b"")
            self._worker.journey.malformed(
                self, Refusal(408, "head_timeout", "The head did not come in time.")
            )
        elif state in (IDLE, LINGER):
            self._leave()
        else:
            self._abort()

    def _account(self, status: int, reason: str) -> None:
        self._worker.account.end(self, status, reason)
