"""One request's trip to an upstream: choose an endpoint, send, retry, hand the answer to a sink.

Strategy. An exchange is driven by callbacks alone: its sink (a client's connection, or a part of an
aggregate) gives it the request's body, its connection gives it the answer, the clock its time-outs.
Where it stands is one value:

    WAITING ──assigned──> SENDING ──request whole──> AWAITING ──final head──> ANSWERING ──> DONE
       ^                     │                           │
       └──── moved or retried, by the rules of `lost`, `_move` and `_retry` ───────────┘

and nothing is sent anew after the first byte of an answer went to the sink. The rules (the
configuration reference, "retries"):

- Nothing was sent: any method moves, at once, to another endpoint or a fresh connection.
- A pooled connection died unanswered: the same for idempotent methods whose body is still held.
- A time-out, a fresh connection that died, a status of `retry_on`: idempotent methods only,
  `retries` times, within the upstream's budget.

Moves and retries are bounded: by the number of endpoints + 1, by `retries`, by the route's time.
"""

from __future__ import annotations

from time import monotonic_ns

from gwd.clock import NEVER, TICK
from gwd.http.bodies import LAST_CHUNK, encode_chunk
from gwd.http.head import RequestHead, ResponseHead, SwitchHead
from gwd.http.problem import Refusal
from gwd.upstream.connection import Connection
from gwd.upstream.endpoint import Endpoint
from gwd.upstream.replay import HOLD, HeldBody, Trials
from gwd.upstream.sink import Sink, failure
from gwd.upstream.upstream import Upstream

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 §9.2.2, less TRACE, which is refused."""
_BODY_UNUSUAL = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})

# Where an exchange stands. Plain numbers: members of enums cost too much per request.
WAITING, SENDING, AWAITING, ANSWERING, DONE = range(5)


class Exchange:
    """One request on its way to `upstream` for `sink`."""

    __slots__ = (
        "_deadline",
        "_held",
        "_own",
        "_sent_ns",
        "_start",
        "_trials",
        "_until",
        "_upstream",
        "_whole",
        "answered_ns",
        "attempts",
        "config",
        "connection",
        "endpoint",
        "fresh",
        "head",
        "idempotent",
        "reusable",
        "served_by",
        "sink",
        "state",
        "wait_until",
    )
    __deletable__ = ("config", "head")
    """To mypyc: a tunnel parts with them."""

    attempts: int
    """Endpoints chosen so far."""
    served_by: str
    """The address of the one chosen last."""
    _whole: bool
    """Whether all of the request's body has come."""
    _sent_ns: int
    """When the request set out, or was written whole if that came later, monotonic ns."""
    _until: float
    """When the answer's head has to have come, once the request is written whole."""
    reusable: bool
    """Whether its connection may serve another request once the answer is complete, as far as the
    request goes: it is written whole, and not framed in a way that few expect (SEC-19)."""
    answered_ns: int
    """When the answer's head came, monotonic ns; 0 if none has."""
    fresh: bool
    """While it waits for a connection: whether only one that has served nobody will do."""
    wait_until: float
    """While it waits for a connection: when it has waited long enough."""

    def __init__(
        self,
        upstream: Upstream,
        sink: Sink,
        head: RequestHead,
        start: bytes,
        own: bytes,
        timeout: float | None,
        now_ns: int,
        body: bytes = b"",
        whole: bool = True,
    ) -> None:
        """`head` is the client's, which stays as it is until the answer is complete; `start` the
        request line in place of its own, `own` the fields that the gateway adds, with the empty
        line at the end. `timeout` bounds the whole exchange up to the answer's head, in seconds.
        `now_ns`: the time, monotonic, or what it was a moment ago. `body` is what is here of the
        request's body, `whole` whether that is all."""
        self.config = config = upstream.config
        self.sink = sink
        self.head = head
        self.idempotent = head.method in IDEMPOTENT
        self._upstream = upstream
        self._start = start
        self._own = own
        now = upstream.clock.now + TICK
        self._deadline = NEVER
        self._until = now + config.response_timeout
        if timeout is not None:
            self._deadline = now + timeout
            self._until = min(self._until, self._deadline)
        self._held: HeldBody | None = None
        self._trials: Trials | None = None
        self._sent_ns = now_ns
        self.state = WAITING
        self.attempts = 0
        self.served_by = ""
        self.answered_ns = 0
        self.connection: Connection | None = None
        self.endpoint: Endpoint | None = None
        self.reusable = False
        self._whole = whole
        if body:
            self._hold(body)

    @property
    def stream_idle(self) -> float:
        """Seconds between two reads of the answer's body."""
        return self.config.stream_idle + TICK

    # the sink's side

    def send_body(self, data: bytes, last: bool) -> None:
        """More of the request's body. After an early answer it goes nowhere."""
        state = self.state
        if state >= ANSWERING:
            return
        self._whole = last
        held = self._hold(data) if data else self._held
        if state == WAITING:
            if held is not None and held.size > HOLD:
                self.sink.pause_body()
            return
        if held is not None:
            held.sent()
        connection = self.connection
        assert connection is not None
        wire = self._wire(data, last)
        if wire:
            connection.write(wire)
        if last and self.state == SENDING:
            self._begin_to_wait()
            self._await_answer()
            connection.arm(self._until)

    def pause_answer(self) -> None:
        if self.state == ANSWERING and self.connection is not None:
            self.connection.pause_reading()

    def resume_answer(self) -> None:
        if self.state == ANSWERING and self.connection is not None:
            self.connection.resume_reading()

    def held(self) -> int:
        """Bytes of the request's body that are held: to be sent again, or not yet taken."""
        size = self._held.size if self._held is not None else 0
        return size + self.connection.unwritten() if self.connection is not None else size

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        if self.state == DONE:
            return
        connection, endpoint = self.connection, self.endpoint
        self._end()
        if connection is not None:
            connection.abort()
        elif endpoint is not None:
            endpoint.withdraw(self)

    # setting out

    def set_out(self, fresh: bool = False) -> None:
        """Choose an endpoint, and go there. `fresh`: on a connection that has served nobody."""
        upstream = self._upstream
        tried = self._trials.tried if self._trials is not None else ()
        endpoint = upstream.pick(tried)
        if endpoint is None:
            endpoint = upstream.choose(tried)
            if endpoint is None and tried:
                endpoint, fresh = upstream.choose(()), True
            if endpoint is None:
                self._fail("no_healthy_endpoint")
                return
        self.endpoint = endpoint
        self.served_by = endpoint.address
        self.attempts += 1
        connection = endpoint.engage(self.idempotent, fresh)
        if connection is not None:
            self._send(connection)
            return
        until = upstream.clock.now + self.config.pending_timeout + TICK
        self.wait_until = min(until, self._deadline)
        if endpoint.waiting and upstream.full():
            self._fail("queue_full")
            return
        self.fresh = fresh
        endpoint.wait(self)

    def assigned(self, connection: Connection) -> None:
        """`connection`, which was waited for, is ours."""
        self._begin_to_wait()
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        """The head and what is held of the body go out in one write."""
        self.connection = connection
        upstream, head = self._upstream, self.head
        host = head.host_line if upstream.preserves_host else upstream.host_line
        if not host:  # an HTTP/1.0 client may have named none
            host = connection.endpoint.host_line
        if not head.has_body:
            self.state = AWAITING
            self.reusable = True
            wire = b"".join((self._start, host, head.lines, self._own))
            connection.begin(self, wire, self._until)
            return
        wire = b"".join((self._start, host, head.lines, self._own, self._open_body()))
        if self._whole:
            self._await_answer()
            connection.begin(self, wire, self._until)
        else:
            self.state = SENDING
            connection.begin(self, wire, NEVER)
            self.sink.body_wanted()

    def _await_answer(self) -> None:
        """The request is written whole."""
        self.state = AWAITING
        self.reusable = self._held is None or self.head.method not in _BODY_UNUSUAL

    def _begin_to_wait(self) -> None:
        """The service's time to answer begins now."""
        self._sent_ns = monotonic_ns()
        until = self._upstream.clock.now + TICK + self.config.response_timeout
        self._until = min(until, self._deadline)

    def _open_body(self) -> bytes:
        """What is here of the body, as it is sent."""
        held = self._held
        if held is None:
            return self._wire(b"", self._whole)
        body = self._wire(held.pieces(), self._whole)
        held.sent()
        return body

    def _wire(self, data: bytes, last: bool) -> bytes:
        if not self.head.chunked:
            return data
        if last:
            return (encode_chunk(data) if data else b"") + LAST_CHUNK
        return encode_chunk(data) if data else b""

    def _hold(self, data: bytes) -> HeldBody:
        held = self._held
        if held is None:
            held = self._held = HeldBody()
        held.add(data)
        return held

    # the connection's side: the answer

    def answer(self, head: ResponseHead, data: bytes, last: bool) -> None:
        if head.status in self.config.retry_on and self.state == AWAITING and self._may_retry():
            connection = self.connection
            if not last and connection is not None:
                connection.abort()
            self._retry()
            return
        self.answered_ns = now = monotonic_ns()
        endpoint = self.endpoint
        if endpoint is not None and self.state == AWAITING:
            endpoint.answered(now - self._sent_ns)
        if last:
            self._end()
        else:
            self.state = ANSWERING
            if self._held is not None:
                self._held.let_go()
        self.sink.answer(head, data, last)

    def switched(self, head: SwitchHead, rest: bytes) -> None:
        """The upstream answered 101, with `rest` behind it. Raises Refusal 502."""
        raise Refusal(502, "bad_response", "The upstream switches protocols unasked.")

    def answer_data(self, data: bytes, last: bool) -> None:
        if last:
            self._end()
        self.sink.answer_data(data, last)

    def upstream_full(self) -> None:
        """The upstream reads the request slower than it comes."""
        if self.state == SENDING and self.connection is not None:
            upstream = self._upstream
            self.connection.arm(upstream.clock.now + upstream.write_timeout + TICK)
            self.sink.pause_body()

    def upstream_drained(self) -> None:
        if self.state == SENDING and self.connection is not None:
            self.connection.arm(NEVER)
            self.sink.resume_body()

    def streams_events(self) -> bool:
        """Whether the answer is an event stream under way (WHATWG HTML §9.2): one whose client
        goes on receiving only as long as it is there at all."""
        connection = self.connection
        return self.state == ANSWERING and connection is not None and connection.streams_events()

    # the connection's side: what goes wrong

    def unreachable(self, reason: str) -> None:
        """No connection could be made: nothing was sent."""
        self._move(reason)

    def waited_too_long(self) -> None:
        late = self._upstream.clock.now >= self._deadline
        self._fail("upstream_timeout" if late else "pending_timeout")

    def lost(self, connection: Connection) -> None:
        """The connection is gone, and not a byte of a final head had come."""
        pooled = connection.used
        if not self._may_repeat():
            self._endpoint_failed()
            self._fail("upstream_closed")
        elif pooled:
            self._move("upstream_closed")
        else:
            self._endpoint_failed()
            self._retry_or_fail("upstream_closed")

    def may_move(self) -> bool:
        """Whether it could be asked elsewhere, were its endpoint to go down now."""
        return self.state in (SENDING, AWAITING) and self._may_repeat()

    def broken(self, refusal: Refusal) -> None:
        """The answer was not HTTP as we allow it, or it was cut. The connection is closed."""
        delivered = self.state == ANSWERING
        self._endpoint_failed()
        self._end()
        if delivered:
            self.sink.cut(refusal)
        else:
            # Whatever the reader's word for it: towards the client it is a bad gateway.
            self.sink.failed(Refusal(502, "bad_response", "The service gave a malformed answer."))

    def timed_out(self) -> None:
        connection, state = self.connection, self.state
        if connection is not None:
            connection.abort()
        if state == ANSWERING:
            self.broken(Refusal(504, "stream_idle", "The service stopped in the middle."))
            return
        self._endpoint_failed()
        if state == SENDING:
            self._fail("upstream_write_timeout")
        else:
            self._retry_or_fail("upstream_timeout")

    # moving on

    def _may_repeat(self) -> bool:
        return self.idempotent and (self._held is None or self._held.complete)

    def _may_retry(self) -> bool:
        upstream, trials = self._upstream, self._trials
        if not self._may_repeat() or upstream.clock.now >= self._deadline:
            return False
        if trials is None or not trials.retrying:
            return self.config.retries > 0 and upstream.retry_allowed()
        return trials.retries < self.config.retries

    def _retry_or_fail(self, reason: str) -> None:
        if self._may_retry():
            self._retry()
        else:
            self._fail(reason)

    def _retry(self) -> None:
        trials = self._in_vain()
        trials.retries += 1
        if not trials.retrying:
            trials.retrying = True
            self._upstream.retrying += 1
        self._leave()
        self.set_out()

    def _move(self, reason: str) -> None:
        """Nothing was lost: go on elsewhere, counting against neither `retries` nor budget."""
        trials = self._in_vain()
        trials.moves += 1
        most = len(self.config.endpoints) + 1
        self._leave()
        if trials.moves > most or self._upstream.clock.now >= self._deadline:
            self._fail(reason)
        elif trials.moves == most or self._upstream.choose(trials.tried) is None:
            # Every endpoint was tried. One that merely dropped an idle connection may be asked
            # again on a fresh one; one that could not be reached was reached for often enough.
            if reason == "upstream_closed":
                self.set_out(fresh=True)
            else:
                self._fail(reason)
        else:
            self.set_out()

    def _in_vain(self) -> Trials:
        """It has been at its endpoint in vain."""
        trials = self._trials
        if trials is None:
            trials = self._trials = Trials()
        if self.endpoint is not None:
            trials.tried = (*trials.tried, self.endpoint)
        return trials

    def _endpoint_failed(self) -> None:
        if self.endpoint is not None:
            self.endpoint.failed()

    def _leave(self) -> None:
        """Part from endpoint and connection."""
        self.state = WAITING
        self._begin_to_wait()
        endpoint, self.endpoint = self.endpoint, None
        self.connection = None
        if endpoint is not None:
            endpoint.in_flight -= 1

    def _end(self) -> None:
        """It is over: whatever it still refers to is no concern of its any more."""
        self.state = DONE
        endpoint = self.endpoint
        if endpoint is not None:
            endpoint.in_flight -= 1
        trials = self._trials
        if trials is not None and trials.retrying:
            trials.retrying = False
            self._upstream.retrying -= 1

    def _fail(self, reason: str) -> None:
        self._end()
        self.sink.failed(failure(reason))
