"""An answer that waits for its reader: how much of it was taken, and whether fast enough.

Strategy. A stall begins when the transport holds more than its high-water mark, and while it lasts
the client is what we wait for. What counts is what the client's kernel acknowledged, not what ours
took off us: a socket's buffer empties in lumps of a third of it, so a client that reads steadily
shows nothing at our end of it for minutes. The kernel tells what is unsent or unacknowledged
(SIOCOUTQ), in a microsecond; it is asked every few seconds, and only during a stall.

Two bounds, as for bodies (SEC-25): nothing taken for `write_timeout`; less than `min_write_rate`
on the average of the stall, asked for after ten seconds. A stall that ended was faster than that,
or shorter.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios

from gwd.worker.intake import RATE_AFTER

LOOK_EVERY = 5.0
"""Seconds, at most, between two looks at a stall."""


def unsent(transport: asyncio.Transport) -> int:
    """Bytes written to `transport` that its peer has not acknowledged."""
    size: int = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None:
        return size
    with contextlib.suppress(OSError, ValueError):  # gone meanwhile
        told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        size += struct.unpack("i", told)[0]
    return size


class Outflow:
    """One stall, from `now` on, with so many bytes `left`. Times are the worker's clock."""

    __slots__ = ("_left", "_moved_at", "_since", "_taken")

    def __init__(self, now: float, left: int) -> None:
        self._since = now
        self._moved_at = now
        self._left = left
        self._taken = 0

    def look(self, now: float, left: int) -> None:
        """See that `left` bytes are left. What was written meanwhile counts as not taken."""
        if left < self._left:
            self._taken += self._left - left
            self._moved_at = now
        self._left = left

    def stands(self, now: float, timeout: float) -> bool:
        """Whether, as far as was seen, nothing was taken for `timeout` seconds."""
        return now - self._moved_at >= timeout

    def too_slow(self, now: float, rate: int) -> bool:
        """Whether less than `rate` bytes/s were taken since it began."""
        waited = now - self._since
        return waited > RATE_AFTER and self._taken < waited * rate

    def look_at(self, now: float, timeout: float) -> float:
        """When to look next."""
        return min(self._moved_at + timeout, now + LOOK_EVERY)
