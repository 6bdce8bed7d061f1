"""An aggregate on its way: its parts, side by side, then one merged answer.

Strategy. Each part is an ordinary `Exchange` with a sink of its own that keeps the body, bounded by
`MOST_PART`; so parts are balanced, pooled, retried and timed like any request, and no task is
needed: the last part that ends makes the answer. A part's time is its own `timeout`, within what
the route's `timeout` leaves. What the parts amount to is decided by `gwd.aggregate.merge`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gwd.aggregate.merge import Outcome, merge
from gwd.clock import NEVER, TICK
from gwd.http.head import RequestHead, ResponseHead
from gwd.http.problem import Refusal
from gwd.upstream.exchange import Exchange

if TYPE_CHECKING:
    from gwd.worker.client import ClientConnection
    from gwd.worker.process import Worker
    from gwd.worker.tables import Route

MOST_PART = 1024 * 1024
"""Bytes of one part's body (FEATURES: `max_part`)."""

_NOT_FOR_PARTS = frozenset(
    (
        # A part must come whole and as JSON that can be read: no coding, condition or range of
        # the client's applies to it; and its request has no body to describe.
        b"accept",
        b"accept-encoding",
        b"content-encoding",
        b"content-type",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    )
)


class PartSink:
    """Collects the answer to one part. A `Sink`, and a `Timed` for the part's own time."""

    __slots__ = ("_fanout", "_pieces", "_size", "deadline", "due", "exchange", "outcome")

    def __init__(self, fanout: FanOut) -> None:
        self._fanout = fanout
        self._pieces: list[bytes] = []
        self._size = 0
        self.exchange: Exchange | None = None
        self.outcome: Outcome | None = None
        self.deadline = NEVER
        self.due = NEVER

    def answer(self, head: ResponseHead, data: bytes, last: bool) -> None:
        self.outcome = Outcome(head.status, b"", "")
        if head.get(b"content-encoding") not in (None, b"identity"):
            self._end("encoded")
        else:
            self.answer_data(data, last)

    def answer_data(self, data: bytes, last: bool) -> None:
        self._size += len(data)
        if self._size > MOST_PART:
            self._end("too_large")
            return
        self._pieces.append(data)
        self._fanout.grew(len(data))
        if last:
            self._end("")

    def failed(self, refusal: Refusal) -> None:
        self._end("timeout" if refusal.status == 504 else refusal.reason)

    def cut(self, refusal: Refusal) -> None:
        self._end("timeout" if refusal.status == 504 else refusal.reason)

    def body_wanted(self) -> None: ...

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...

    def expired(self) -> None:
        self._end("timeout")

    def held(self) -> int:
        """Bytes of the answer that have come and are kept."""
        kept = self._pieces or (self.outcome is not None and self.outcome.body)
        return self._size if kept else 0

    def _end(self, error: str) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None and error:
            exchange.abandon()
        status = self.outcome.status if self.outcome is not None else 0
        body = b"" if error else b"".join(self._pieces)
        self._pieces.clear()
        self.outcome = Outcome(status, body, error)
        self._fanout.part_ended(self)


class FanOut:
    """All parts of one request. `client.pending` while it is under way."""

    __slots__ = ("_budget", "_client", "_clock", "_missing", "_plan", "_sinks", "_starting")

    # What the account asks of an exchange; here there are several, and none is told of.
    served_by = ""
    attempts = 0
    answered_ns = 0

    def __init__(
        self,
        worker: Worker,
        client: ClientConnection,
        route: Route,
        head: RequestHead,
        captures: tuple[str, ...],
        lines: bytes,
        own: bytes,
    ) -> None:
        """`lines` and `own`: what the parts' requests have behind Host. Raises Refusal if the
        captures make no path of a part."""
        plan = route.plan
        assert plan is not None
        self._client = client
        self._clock = worker.clock
        self._plan = plan
        self._sinks: list[PartSink] = []
        self._missing = len(plan.parts)
        self._starting = True
        self._budget = worker.budget
        self._budget.suspect(client, 0)
        asked = _asked(head, lines)
        targets = [part.target(captures) for part in plan.parts]
        for part, target in zip(plan.parts, targets, strict=True):
            sink = PartSink(self)
            sink.exchange = Exchange(
                worker.upstreams[part.upstream],
                sink,
                asked,
                f"GET {target} HTTP/1.1\r\n".encode("ascii"),
                own,
                route.timeout,
                client.started_ns,
            )
            limit = part.timeout
            if route.timeout is not None:
                limit = route.timeout if limit is None else min(limit, route.timeout)
            if limit is not None:
                sink.deadline = worker.clock.now + limit + TICK
            self._sinks.append(sink)

    def start(self) -> None:
        for sink in self._sinks:
            if sink.deadline != NEVER:
                self._clock.arm(sink, sink.deadline)
            exchange = sink.exchange
            assert exchange is not None
            exchange.set_out()
        self._starting = False
        if not self._missing:
            self._answer()

    def grew(self, size: int) -> None:
        """A part's answer has so many bytes more."""
        self._budget.suspect(self._client, size)

    def part_ended(self, sink: PartSink) -> None:
        self._clock.disarm(sink)
        self._missing -= 1
        if not self._missing and not self._starting:
            self._answer()

    def held(self) -> int:
        """Bytes of the parts' answers that have come."""
        return sum(sink.held() for sink in self._sinks)

    def abandon(self) -> None:
        """The client is gone: nobody waits for the parts."""
        for sink in self._sinks:
            self._clock.disarm(sink)
            exchange, sink.exchange = sink.exchange, None
            if exchange is not None:
                exchange.abandon()

    def _answer(self) -> None:
        outcomes = [sink.outcome for sink in self._sinks if sink.outcome is not None]
        merged = merge(self._plan, outcomes)
        if isinstance(merged, Refusal):
            self._client.refuse(merged)
            return
        headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
        if merged.incomplete:
            headers = (
                *headers,
                ("Cache-Control", "no-store"),
                ("Gwd-Incomplete", ", ".join(merged.incomplete)),
            )
        self._client.respond(200, headers, merged.body)


def _asked(head: RequestHead, lines: bytes) -> RequestHead:
    """What an exchange for a part reads of a head."""
    asked = RequestHead()
    asked.method = "GET"
    asked.host_line = head.host_line
    asked.lines = lines
    asked.has_body = asked.chunked = False
    return asked


def parts_lines(lines: bytes) -> bytes:
    """The field lines that a part's request shares with the client's."""
    kept = [
        line
        for line in lines.split(b"\r\n")
        if line and line[: line.find(b":")].lower() not in _NOT_FOR_PARTS
    ]
    return b"".join([line + b"\r\n" for line in kept])
