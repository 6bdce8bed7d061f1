"""A client's connection as it answers: the `Sink` of the exchange that serves its present request.

Strategy. The middle floor of a connection (`gwd.worker.connection`). It holds what is known of the
present request, and writes one answer to it: the upstream's, framed anew (`gwd.worker.framing`), or
one of the gateway's own. It knows HTTP's rules about the end of an answer (framing, keep-alive,
100-continue) and no policy. When the answer is written whole, `_finish` goes on.

Invariants: what stands in memory of an answer is the transport's high-water mark, for a full one
pauses the exchange (SEC-27); an answer of the gateway's own keeps the connection only if the
request's body is here whole, as an unread one is never parsed as a request (SEC-20).
"""

from __future__ import annotations

from abc import abstractmethod
from time import monotonic_ns
from typing import TYPE_CHECKING

from gwd.http.bodies import LAST_CHUNK, encode_chunk, request_body
from gwd.http.head import NO_HEAD, RequestHead, ResponseHead
from gwd.http.problem import Manner, Refusal, plain_response, problem_response
from gwd.upstream.exchange import Exchange
from gwd.worker.connection import CLOSING, LINGER_BYTES, TimedConnection
from gwd.worker.framing import END, ending, frame, is_chunked, memorise, open_head

if TYPE_CHECKING:
    from gwd.policies import Visitor
    from gwd.worker.fanout import FanOut
    from gwd.worker.process import Worker
    from gwd.worker.tables import Route, Tables

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLIENT_GONE, NO_ANSWER = 499, 444
"""Logged, never sent: the client left before its answer; a banned one gets none (nginx's
numbers)."""


class AnsweringConnection(TimedConnection):
    """What the account is told of is its present request."""

    __slots__ = (
        "_chunking",
        "_keep_alive",
        "bytes_in",
        "bytes_out",
        "head",
        "log_end",
        "logged",
        "peer",
        "pending",
        "remote",
        "request_id",
        "route",
        "started_ns",
        "subject",
        "tables",
        "visitor",
    )

    # What connections over TLS know better (`gwd.worker.secure`).
    log_part = ""
    """What stands in its lines of the access log besides."""

    def __init__(self, worker: Worker, peer: Visitor, remote: Visitor) -> None:
        super().__init__(worker)
        self._keep_alive = True
        self._chunking = False
        self.peer = peer
        """Who speaks HTTP here: at the other end of the connection, or, by the PROXY protocol,
        behind it."""
        self.remote = remote
        """Who is at the other end of the connection. It alone is cut or dropped when banned."""
        self.visitor = peer
        """Whom the present request comes from: behind a trusted proxy, its client."""
        self.pending: Exchange | FanOut | None = None
        """What works on the present request, to be told when the client leaves."""
        self.head = NO_HEAD
        self.tables: Tables = worker.tables
        self.route: Route | None = None
        self.request_id = ""
        self.subject = ""
        self.started_ns = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.logged: object = None
        self.log_end = ""
        """What the last line of the access log was of, and how it ended (`gwd.worker.account`)."""

    @property
    def address(self) -> bytes:
        """Whom it counts for, where many from one address are too many."""
        return self.peer.key

    # the request's body, as its exchange wants it

    def body_wanted(self) -> None:
        head, body = self.head, self._body
        if body is None:
            return
        if head.expect_continue and not self.bytes_in and not self.status:
            self._write(CONTINUE)
            body.begin(self._worker.clock.now)
            self._arm(self._worker.settings.body_timeout)
        self.resume_body()

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

    # the upstream's answer

    def answer(self, head: ResponseHead, data: bytes, last: bool) -> None:
        """The upstream's answer: its head and the first part of its body."""
        worker, transport, request = self._worker, self._transport, self.head
        assert transport is not None
        self.status = head.status
        self.bytes_out = size = len(data)
        if self._body is not None:
            self._keep_alive = False  # an early answer: the rest of the body is not waited for
        if last and head.opening:
            opening = head.opening
        elif last and head.content_length == size and not head.bodyless:
            opening = memorise(head)
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
        worker.outbox.put(transport, b"".join((opening, self.request_id.encode(), end, data)))
        if last:
            assert self.pending is not None
            worker.account.end(self, head.status, "", self.pending.answered_ns)
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

    def _hold_answer(self) -> None:
        """Let no more of it come until its reader has caught up."""
        self._stall()
        if isinstance(self.pending, Exchange):
            self.pending.pause_answer()

    def failed(self, refusal: Refusal) -> None:
        self.refuse(refusal)

    def cut(self, refusal: Refusal) -> None:
        self._account(self.status, refusal.reason)
        self._abort()

    # an answer of the gateway's own

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
        if self._keep_alive and not self._body_is_here(head):
            self._keep_alive = False
        return {
            "minor": head.minor,
            "head_only": head.method == "HEAD",
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

    # no answer, or none any more

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

    def _abandon(self, reason: str) -> None:
        if self.pending is not None:
            self.pending.abandon()
        self._account(CLIENT_GONE, reason)
        self.pending = None

    def turn_away(self) -> None:
        """The present request comes from a banned peer: no answer, and the connection is gone."""
        self._account(NO_ANSWER, "banned")
        self._abort()

    # whichever it is

    @abstractmethod
    def _finish(self) -> None:
        """The answer is written. Go on with the next request, or end the connection."""

    def _write(self, wire: bytes) -> None:
        if self._state != CLOSING:
            assert self._transport is not None
            self._worker.outbox.put(self._transport, wire)

    def _account(self, status: int, reason: str) -> None:
        self._worker.account.end(self, status, reason, monotonic_ns())
