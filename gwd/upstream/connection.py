"""One connection to an endpoint: it writes requests and reads answers, one exchange at a time.

Strategy. The upstream is not trusted to be correct (SECURITY boundary "upstream -> worker"): heads
go through the strict response reader, bodies through the strict body reader, and whatever is not
exactly one well-framed answer to one request ends the connection (SEC-18, SEC-19, SEC-22, SEC-23).

A connection is `idle` (no exchange; it sits in its endpoint's pool), or it serves an exchange:
first it waits for a final head (interim ones are swallowed, at most `MAX_INTERIM`), then it passes
the body on. It returns to the pool only if the request was written whole, the answer ended by its
own framing, and not a byte too many came.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

from gwd.clock import NEVER, Clock
from gwd.http.bodies import response_body
from gwd.http.gate import ResponseReader
from gwd.http.head import SwitchHead
from gwd.http.problem import Refusal
from gwd.linger import reset
from gwd.outbox import Outbox

if TYPE_CHECKING:
    from gwd.http.bodies import ChunkedBody, LengthBody, UntilCloseBody
    from gwd.http.head import ResponseHead
    from gwd.upstream.endpoint import Endpoint
    from gwd.upstream.exchange import Exchange

MAX_INTERIM = 8
WRITE_HIGH, WRITE_LOW = 65536, 16384


class Connection:
    """A Protocol for asyncio's and uvloop's transports; `Timed` for the clock."""

    __slots__ = (
        "_body",
        "_clock",
        "_interim",
        "_keep",
        "_outbox",
        "_readable",
        "_reader",
        "_transport",
        "deadline",
        "due",
        "endpoint",
        "exchange",
        "idle_since",
        "open",
        "used",
    )

    def __init__(self, endpoint: Endpoint, clock: Clock, outbox: Outbox) -> None:
        self.endpoint = endpoint
        self.exchange: Exchange | None = None
        self.open = False
        self.idle_since = 0.0
        self.used = False
        """Whether it has served a request before the present one."""
        self.deadline = NEVER
        self.due = NEVER
        self._clock = clock
        self._outbox = outbox
        self._reader = ResponseReader()
        self._body: LengthBody | ChunkedBody | UntilCloseBody | None = None
        self._interim = 0
        self._keep = False
        self._readable: select.poll | None = None
        """Made when it is first needed."""
        self._transport: asyncio.Transport | None = None

    # what its endpoint and its exchange do with it

    def begin(self, exchange: Exchange, wire: bytes, deadline: float) -> None:
        """Serve `exchange`, whose request begins with `wire`; `deadline` is as in `arm`."""
        self.exchange = exchange
        self._interim = 0
        self.deadline = deadline
        if deadline < self.due:
            self._clock.put(self)
        assert self._transport is not None
        if exchange.idempotent:
            self._outbox.put(self._transport, wire)
        else:
            # It cannot be sent twice, and was found alive just now.
            self._outbox.send(self._transport, wire)

    def write(self, wire: bytes) -> None:
        if self.open:
            assert self._transport is not None
            self._outbox.put(self._transport, wire)

    def unwritten(self) -> int:
        """Bytes that the peer has not taken."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size() if self.open else 0

    def arm(self, deadline: float) -> None:
        self._clock.arm(self, deadline)

    def pause_reading(self) -> None:
        """Stop the flow of the answer: while we do not read, the peer is not what we wait for."""
        if self.open:
            assert self._transport is not None
            self._clock.arm(self, NEVER)
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.open and self.exchange is not None:
            assert self._transport is not None
            self._clock.arm(self, self._clock.now + self.exchange.stream_idle)
            self._transport.resume_reading()

    def looks_alive(self) -> bool:
        """Whether the peer has neither closed nor spoken, as far as the kernel knows by now."""
        assert self._transport is not None
        if not self.open or self._transport.is_closing():
            return False  # its number may be another's by now
        if self._readable is None:
            sock = self._transport.get_extra_info("socket")
            self._readable = select.poll()
            self._readable.register(sock.fileno(), select.POLLIN)
        return not self._readable.poll(0)

    def streams_events(self) -> bool:
        """Whether the answer that it reads is an event stream."""
        return self._reader.last_type().startswith(b"text/event-stream")

    def hand_over(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Give the transport to `protocol`, for another protocol is spoken on it. The connection
        and its exchange stay counted at the endpoint until `part`."""
        assert self._transport is not None
        self._outbox.flush()
        self.endpoint.handed_over += 1
        self.exchange = None
        self._clock.disarm(self)
        self._transport.set_protocol(protocol)
        return self._transport

    def part(self) -> None:
        """What was handed over has ended."""
        self.endpoint.in_flight -= 1
        self.endpoint.handed_over -= 1
        self._forget()

    def close(self) -> None:
        """End it in good order: it is idle, or its answer is complete."""
        self._forget()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once; its exchange, if any, is not told."""
        self._forget()
        if self._transport is not None:
            reset(self._transport)

    def _forget(self) -> None:
        self.exchange = None
        if self.open:
            self.open = False
            self._clock.disarm(self)
            self.endpoint.closed(self)

    # what the transport tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)
        self.open = True

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # Bytes that no request asked for: whoever reads them as an answer is poisoned (SEC-18).
            self.close()
            return
        try:
            if self._body is not None:
                self._read_body(exchange, self._body, data)
                return
            reader = self._reader
            head = reader.feed(data, exchange.head.method)
            if head is None:
                return
            rest = reader.rest
            if head.content_length == len(rest) and not head.bodyless:  # all of it is here
                self._finish(exchange, head.keep_alive)
                exchange.answer(head, rest, True)
            else:
                self._begin_answer(exchange, head)
        except Refusal as refusal:
            self._body = None
            self.abort()
            exchange.broken(refusal)

    def _read_body(
        self, exchange: Exchange, body: LengthBody | ChunkedBody | UntilCloseBody, data: bytes
    ) -> None:
        payload = body.feed(data)
        if body.done:
            self._finish(exchange, self._keep and not body.rest)
            exchange.answer_data(payload, True)
        else:
            self._clock.arm(self, self._clock.now + exchange.stream_idle)
            if payload:
                exchange.answer_data(payload, False)

    def _begin_answer(self, exchange: Exchange, head: ResponseHead | None) -> None:
        """Go on behind `head`, which the reader has just found."""
        reader = self._reader
        while head is not None and head.interim:
            self._interim += 1
            if isinstance(head, SwitchHead):
                exchange.switched(head, reader.rest)
                return
            if self._interim > MAX_INTERIM:
                raise Refusal(502, "bad_response", "The upstream sent an answer nobody asked for.")
            head = reader.feed(reader.rest, exchange.head.method)
        if head is None:
            return
        rest = reader.rest
        body = response_body(head)
        if body is None:
            self._finish(exchange, head.keep_alive and not rest)
            exchange.answer(head, b"", True)
            return
        payload = body.feed(rest) if rest else b""
        if body.done:
            self._finish(exchange, head.keep_alive and not body.rest)
            exchange.answer(head, payload, True)
            return
        self._body = body
        self._keep = head.keep_alive
        self._clock.arm(self, self._clock.now + exchange.stream_idle)
        exchange.answer(head, payload, False)

    def _finish(self, exchange: Exchange, clean: bool) -> None:
        """The answer is complete. `clean`: nothing speaks against another request."""
        self._body = None
        self.exchange = None
        if clean and exchange.reusable:
            self.used = True
            self.endpoint.release(self)
        else:
            self.close()

    def eof_received(self) -> bool:
        exchange, body = self.exchange, self._body
        if exchange is not None and body is not None:
            self._body = None
            try:
                body.eof()
            except Refusal as refusal:
                self.abort()
                exchange.broken(refusal)
            else:
                self.close()
                exchange.answer_data(b"", True)
            return False
        self._lost()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, body = self.exchange, self._body
        if exchange is not None and body is not None:
            # Not eof_received: a reset. A body that ends with the connection is cut, too.
            self._body = None
            self._forget()
            exchange.broken(Refusal(502, "upstream_closed", "The upstream broke off its answer."))
            return
        self._lost()

    def _lost(self) -> None:
        exchange = self.exchange
        self._forget()
        if self._transport is not None:
            self._transport.close()
        if exchange is not None:
            exchange.lost(self)

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.upstream_full()

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.upstream_drained()

    def expired(self) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()
        else:
            exchange.timed_out()
