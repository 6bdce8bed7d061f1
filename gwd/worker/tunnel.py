"""A WebSocket tunnel: two transports, each of which gets what the other one reads.

Strategy. When the 101 is there, both transports change their protocol for an `End` of the tunnel,
and from then on a read is a write on the other side and a glance at the lengths of its frames
(`gwd.http.websocket_frames`). The client's connection stays where the worker counts it, and what
the worker tells it (a ban, the end of the grace, a new config) it tells the tunnel.

How it ends, and what the ends see of it:

- an end of one side is an end of the other: FIN for FIN, once what was read is written; a reset for
  a reset, and for whatever else cuts it, so that a cut looks cut;
- `go_away` (the worker drains; `stream_idle` is over): a Close frame, 1001, to either side, each at
  the next boundary of the frames that go there, and nothing behind it. Then the answers are waited
  for, `GOODBYE` at most.

Invariants: what stands in memory is, per direction, the transport's high-water mark and one read,
for the side that feeds a full one is paused (SEC-27). Who is full, or has to take what is left
before its end, is waited for as the reader of an answer is (`gwd.worker.outflow`), and nothing else
meanwhile: whoever goes on taking it is not cut, whoever does not ends the tunnel, as does
`stream_idle` without a byte from either. Nothing here refers to a config, and when both sides are
gone nothing refers to anything: no cycle waits for a collection.
"""

from __future__ import annotations

import asyncio
import os
from time import monotonic_ns
from typing import TYPE_CHECKING

from gwd.clock import NEVER, TICK
from gwd.http.fields import GatePolicy
from gwd.http.head import SwitchHead
from gwd.http.websocket import SWITCH_LINES
from gwd.http.websocket_frames import GOING_AWAY, FrameTracker, close_frame
from gwd.linger import reset
from gwd.upstream.connection import WRITE_HIGH
from gwd.worker.outflow import Outflow, unsent

if TYPE_CHECKING:
    from gwd.upstream.connection import Connection
    from gwd.worker.client import ClientConnection
    from gwd.worker.process import Worker

GOODBYE = 2.0
"""Seconds for the peers to answer a Close frame (RFC 6455 §7.1.1: a reasonable time)."""
HALF_OPEN = 10.0
"""Seconds without a byte, after one side has ended: WebSocket has no use for half a connection."""
NO_POLICY = GatePolicy()
"""For the reader of a connection that reads no more heads."""


def open_tunnel(head: SwitchHead, request_id: bytes) -> bytes:
    """The 101 as the client gets it."""
    return b"".join(
        (
            b"HTTP/1.1 101 Switching Protocols\r\n",
            SWITCH_LINES,
            head.lines,
            b"X-Request-Id: ",
            request_id,
            b"\r\n\r\n",
        )
    )


class End(asyncio.Protocol):
    """One side of a tunnel: a Protocol for asyncio's and uvloop's transports."""

    __slots__ = (
        "_tunnel",
        "ended",
        "frames",
        "gone",
        "lost",
        "other",
        "outflow",
        "read",
        "told",
        "transport",
    )

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self.transport: asyncio.Transport
        self.other: End
        self.frames = FrameTracker()
        """Of what it reads."""
        self.read = 0
        """Bytes."""
        self.outflow: Outflow | None = None
        """The stall, while its peer reads more slowly than we write (the other side is paused then)
        or has to take what is left before it is closed."""
        self.told = False
        """Whether a Close frame went to it, the gateway's or the other side's."""
        self.ended = False
        """Whether nothing more will be read from it."""
        self.gone = False
        """Whether its transport was closed, by us or the peer: nothing more is written to it."""
        self.lost = False
        """Whether its transport is no more."""

    def data_received(self, data: bytes) -> None:
        self.read += len(data)
        tunnel = self._tunnel
        if tunnel.leaving:
            self.last_words(data)
            return
        self.frames.feed(data)
        if not self.other.gone:
            self.other.transport.write(data)
            tunnel.touch()

    def last_words(self, data: bytes) -> None:
        """Pass on what is left of the present frame, then our Close frame, and nothing more."""
        other = self.other
        if not other.told:
            taken = self.frames.feed_to_boundary(data)
            if not other.gone:
                other.transport.write(data[:taken])
            data = data[taken:]
            other.tell()
        self.frames.feed(data)
        self._tunnel.look_whether_done()

    def tell(self) -> None:
        """Say, if this is between two frames of those that go to it, that we go away."""
        frames = self.other.frames
        if self.told or not frames.at_boundary:
            return
        self.told = True
        if not (frames.closed or self.gone or self.other.ended):
            masked = self is self._tunnel.upstream
            self.transport.write(close_frame(GOING_AWAY, os.urandom(4) if masked else b""))

    def finish(self) -> None:
        """Write nothing more to it, and tell it so."""
        if self.gone:
            return
        if self.ended or not self.transport.can_write_eof():
            self.close()
        else:
            self._tunnel.wait_for(self)
            self.transport.write_eof()

    def close(self) -> None:
        """End it in good order: what is written still goes out."""
        if not self.gone:
            self.gone = True
            self._tunnel.wait_for(self)
            self.transport.close()

    def reset(self) -> None:
        """End it so that it looks cut."""
        if not self.lost:
            self.gone = True
            self.outflow = None
            reset(self.transport)

    def forget(self) -> None:
        del self._tunnel, self.other, self.transport

    @property
    def reads(self) -> bool:
        """Whether something may still be read from it."""
        return not (self.ended or self.gone or self.transport.is_closing())

    def eof_received(self) -> bool:
        if not self.ended:
            self._tunnel.ended(self)
        return not self.gone

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = self.lost = True
        self.outflow = None
        self._tunnel.lost(self, exc)

    def pause_writing(self) -> None:
        self._tunnel.stalled(self)
        if self.other.reads:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.reads:
            self.other.transport.resume_reading()
        if not (self.gone or self.other.ended):  # else it is waited for until all is taken
            self._tunnel.relieved(self)


class Tunnel:
    """The two ends, their time (`Timed` for the clock), and how it is told when they are over."""

    __slots__ = (
        "_connection",
        "_fault",
        "_for",
        "_idle",
        "_min_write_rate",
        "_over",
        "_worker",
        "_write_timeout",
        "client",
        "deadline",
        "due",
        "leaving",
        "upstream",
    )

    def __init__(
        self,
        worker: Worker,
        client: ClientConnection,
        transport: asyncio.Transport,
        connection: Connection,
    ) -> None:
        """Between the client's `transport` and the upstream's of `connection`."""
        self._worker = worker
        self._for = client
        self._connection = connection
        self._idle = connection.endpoint.config.stream_idle
        self._write_timeout = worker.settings.write_timeout
        self._min_write_rate = worker.settings.min_write_rate
        self._fault = ""
        """Who ended it without a word, as a reason."""
        self._over = False
        """Whether the log was told."""
        self.leaving = ""
        """Why we go away, "" as long as we do not."""
        self.deadline = NEVER
        self.due = NEVER
        self.client, self.upstream = End(self), End(self)
        self.client.other, self.upstream.other = self.upstream, self.client
        self.client.transport = transport
        transport.set_protocol(self.client)
        self.upstream.transport = connection.hand_over(self.upstream)

    def begin(self, opening: bytes, rest: bytes, early: bytes) -> None:
        """`opening` is the 101; `rest` and `early` are what has come of the frames of the upstream
        and of the client."""
        client, upstream = self.client, self.upstream
        upstream.read, client.read = len(rest), len(early)
        upstream.frames.feed(rest)
        client.frames.feed(early)
        self._watch()
        client.transport.write(opening + rest)
        if early:
            upstream.transport.write(early)
        if self._worker.draining:
            self.go_away("shutdown")

    # time

    def _arm(self, seconds: float) -> None:
        clock = self._worker.clock
        clock.arm(self, clock.now + seconds + TICK)

    def _watch(self) -> None:
        """Arm for what is waited for: that those who stall take what was written to them, then
        what the state of the tunnel says."""
        clock = self._worker.clock
        looks = [
            end.outflow.look_at(clock.now, self._write_timeout)
            for end in (self.client, self.upstream)
            if end.outflow is not None
        ]
        if looks:
            clock.arm(self, min(looks) + TICK)
        elif self.leaving and self.client.told and self.upstream.told:
            self._arm(GOODBYE)
        elif self._over or self.leaving:
            self._arm(self._write_timeout)
        else:
            self._arm(self._idle)

    def touch(self) -> None:
        """A byte has passed."""
        if self.client.outflow is None and self.upstream.outflow is None:
            self.deadline = deadline = self._worker.clock.now + self._idle + TICK
            if deadline < self.due:
                self._worker.clock.put(self)

    def wait_for(self, end: End) -> None:
        """From now on, `end` has to take what was written to it."""
        if end.outflow is None and (left := unsent(end.transport)):
            end.outflow = Outflow(self._worker.clock.now, left)

    def stalled(self, end: End) -> None:
        """`end` has become full."""
        self._worker.budget.suspect(self._for, WRITE_HIGH)
        self.wait_for(end)
        self._watch()

    def relieved(self, end: End) -> None:
        """`end` has taken what it was waited for."""
        end.outflow = None
        if end.other.outflow is None:
            self._worker.budget.suspects.discard(self._for)
        self._watch()

    def expired(self) -> None:
        stalled = [end for end in (self.client, self.upstream) if end.outflow is not None]
        if stalled:
            self._look_at_readers(stalled)
        elif self._over:
            self._sweep()
        elif self.leaving:
            self._end(self.leaving)
            self._sweep()
        elif self.client.ended or self.upstream.ended:
            self.cut(self._fault)
        else:
            self.go_away("stream_idle")

    def _look_at_readers(self, stalled: list[End]) -> None:
        """Look whether those who stall take what was written to them, and how fast."""
        now = self._worker.clock.now
        for end in stalled:
            outflow = end.outflow
            assert outflow is not None
            left = unsent(end.transport)
            outflow.look(now, left)
            if not left:
                self.relieved(end)
            elif outflow.stands(now, self._write_timeout):
                self._cut_reader(end, "write_timeout")
                return
            elif outflow.too_slow(now, self._min_write_rate):
                self._cut_reader(end, "write_too_slow")
                return
        self._watch()

    def _cut_reader(self, end: End, reason: str) -> None:
        self._for.kill(reason if end is self.client else f"upstream_{reason}")

    def _sweep(self) -> None:
        """Whoever has not left yet leaves now: in good order if our last words went out."""
        for end in (self.client, self.upstream):
            if end.told and not end.gone:
                end.close()
            else:
                end.reset()
        self._arm(GOODBYE)

    def buffered(self) -> int:
        """Bytes held for it."""
        ends = (self.client, self.upstream)
        return sum(end.transport.get_write_buffer_size() for end in ends if not end.gone)

    # how it ends

    def ended(self, end: End) -> None:
        """`end` sends no more. It may still read."""
        end.ended = True
        other = end.other
        if not end.transport.can_write_eof():
            end.close()  # TLS: nothing that is written from now on would reach it
        if self.leaving:
            end.close()
            if not other.told:
                other.close()  # in the middle of a frame that will not end
            return
        if other.ended or (end.frames.closed and other.frames.closed):
            self._end()
            end.close()
            other.close()
            self._watch()
            return
        self._blame(end)
        self._idle = min(self._idle, HALF_OPEN)
        other.finish()
        if other.gone:  # TLS: an end in one direction is the end of both
            end.close()
        self._watch()

    def lost(self, end: End, exc: Exception | None) -> None:
        """The transport of `end` is no more."""
        if end is self.upstream:
            self._connection.part()
        self._blame(end)
        self._end()
        if end.other.lost:
            self._forget()
        elif self.leaving and end.other.told:
            self._arm(GOODBYE)  # its answer would meet a reset, were it closed now
        elif exc is not None:
            end.other.reset()
        else:
            end.other.close()
            self._watch()

    def _blame(self, end: End) -> None:
        """Remember that `end` was the first to end, if no Close frame had announced it."""
        if not (self._fault or self.client.frames.closed or self.upstream.frames.closed):
            self._fault = "client_gone" if end is self.client else "upstream_closed"

    def _end(self, reason: str = "") -> None:
        """It is over: write it down, once."""
        if self._over:
            return
        self._over = True
        client = self._for
        client.bytes_in, client.bytes_out = self.client.read, self.upstream.read
        reason = reason or self.leaving or self._fault
        self._worker.account.end(client, client.status, reason, monotonic_ns())

    def _forget(self) -> None:
        """Both sides are gone."""
        worker, client = self._worker, self._for
        worker.clock.disarm(self)
        self.client.forget()
        self.upstream.forget()
        client.tunnel = None
        client.pending = None
        client.connection_lost(None)

    def cut(self, reason: str) -> None:
        """End it now, so that it looks cut."""
        self._end(reason)
        self.client.reset()
        self.upstream.reset()

    def go_away(self, reason: str) -> None:
        """End it as a gateway that goes away: see the module."""
        if self.leaving or self._over:
            return
        self.leaving = reason
        self.client.tell()
        self.upstream.tell()
        self._watch()
        self.look_whether_done()

    def look_whether_done(self) -> None:
        """While leaving: close the sides whose Close frame has come, after ours went out."""
        client, upstream = self.client, self.upstream
        if (
            client.told
            and upstream.told
            and self.deadline > self._worker.clock.now + GOODBYE + TICK
        ):
            self._arm(GOODBYE)
        for end in (client, upstream):
            if end.told and end.frames.closed and end.frames.at_boundary:
                end.close()
