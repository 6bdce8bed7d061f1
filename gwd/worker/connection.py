"""A client's connection as such: what flows, what is waited for, and how it ends.

Strategy. The lowest of the three floors of a connection, each of which is a class that builds on
the one below, as a collaborator would cost every request a call: here is what would be the same for
any protocol in which the client asks and we answer. Above are `gwd.worker.answering`, which writes
answers, and `gwd.worker.client`, which reads requests.

A stall (`gwd.worker.outflow`) is watched from where the transport holds too much until its reader
has caught up. While there is none, the time that runs is for the next thing the client owes.

Ends, from the kindest: `_end_politely`, so that the client reads its answer before it could meet a
reset; `_close`, which still lets go out what is written; `_abort`, a reset. Whichever it is, nobody
keeps a connection by reading nothing: what was written is taken in `write_timeout`, or dropped.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

from gwd.clock import NEVER, TICK
from gwd.linger import reset
from gwd.worker.outflow import Outflow, unsent

if TYPE_CHECKING:
    from gwd.worker.intake import Intake
    from gwd.worker.process import Worker

LINGER_BYTES, LINGER_SECONDS = 65536, 2.0


# Where a connection stands (`gwd.worker.client`). Plain numbers: members of enums cost too much per
# request.
IDLE, HEAD, BUSY, LINGER, CLOSING, TUNNEL = range(6)


class TimedConnection:
    """A `Timed` for the clock, with a client's transport."""

    __slots__ = (
        "_ahead",
        "_body",
        "_discarded",
        "_half_closed",
        "_outflow",
        "_paused",
        "_rest",
        "_state",
        "_transport",
        "_worker",
        "_write_paused",
        "deadline",
        "due",
        "idle_since",
        "status",
    )

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._transport: asyncio.Transport | None = None
        self._state = IDLE
        self._ahead = b""
        """What has come behind the present request, unread."""
        self._rest = b""
        """What has come of the present request's body, unread."""
        self._body: Intake | None = None
        """The rest of that body, while it is waited for."""
        self._discarded = 0
        self._half_closed = False
        self._paused = False
        """Whether we read nothing."""
        self._write_paused = False
        """Whether the transport holds as much as it should."""
        self._outflow: Outflow | None = None
        """The stall, while the client does not take its answer as fast as it comes."""
        self.deadline = NEVER
        self.due = NEVER
        self.idle_since = 0.0
        self.status = 0
        """The status sent, 0 as long as none was."""

    # where it stands

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

    # flow

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

    def _stall(self) -> None:
        """The client does not take its answer as fast as it comes."""
        if self._outflow is None:
            assert self._transport is not None
            self._outflow = Outflow(self._worker.clock.now, unsent(self._transport))
        self._watch()

    # time

    def _arm(self, seconds: float) -> None:
        clock = self._worker.clock
        clock.arm(self, clock.now + seconds + TICK)

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

    @abstractmethod
    def expired(self) -> None:
        """What was waited for did not come: which it was, the state says."""

    def _look_at_reader(self, outflow: Outflow) -> None:
        """Look whether the client takes its answer, and how fast."""
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

    # its end

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
            self._end_politely(last=False)
        else:
            self._watch()

    def _end_politely(self, *, last: bool) -> None:
        """Close so that the client reads the answer: half-close, discard a while, close. `last`:
        nothing more comes of it that could meet a reset."""
        assert self._transport is not None
        self._ahead = b""
        self._body = None
        if self._transport.is_closing():
            self._state = CLOSING
            return
        if last or self._half_closed:
            self._close()
            return
        self._state = LINGER
        self._discarded = 0
        self._arm_linger()
        if self._transport.can_write_eof():
            self._worker.outbox.flush()
            self._transport.write_eof()
        self._resume()

    def _arm_linger(self) -> None:
        if self._outflow is None:
            self._worker.clock.arm(self, self._worker.clock.now + LINGER_SECONDS)
        else:
            self._watch()

    def _discard(self, data: bytes) -> None:
        """What comes after the last answer is read and dropped, to a bound."""
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self._close() if self._outflow is None else self._abort()

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

    def close_if_idle(self) -> bool:
        """Close it if no request has begun. Returns whether it was so."""
        if self.idle:
            self._close()
            return True
        return False

    @abstractmethod
    def kill(self, reason: str) -> None:
        """End it now, whatever it is doing."""

    def _abort(self) -> None:
        assert self._transport is not None
        self._state = CLOSING
        self._ahead = self._rest = b""
        reset(self._transport)
