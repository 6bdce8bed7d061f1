"""The writes of one turn of the event loop, sent together at its end.

Strategy. A write wakes its reader, and where that one sleeps on another core, waking it costs as
much as the write itself. A proxy that writes after each read finds it asleep again every time, for
the other side has little to do. So what a turn of the loop has to say is put down here and written
in one go when all that it has read is worked through: whoever is woken finds several things to do
before it sleeps again. For a single request on an idle machine the end of the turn is at once.

Invariants: what was put down leaves in that order, per transport and in all. Who is about to write
to a transport by other means, or to close it in good order, flushes first; one that is lost before
its turn comes loses what was meant for it, as it would have lost it on the wire.
"""

from __future__ import annotations

import asyncio
from collections import deque

SHORT = 16384
"""Bytes. What is longer costs more to keep than its reader costs to wake."""


class Outbox:
    """Of one worker."""

    __slots__ = ("_call_soon", "_queue")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._queue: deque[tuple[asyncio.Transport, bytes]] = deque()

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """Have `data` written at the end of this turn; at once if it is long."""
        queue = self._queue
        if len(data) > SHORT:
            self.send(transport, data)
            return
        if not queue:
            self._call_soon(self.flush)
        queue.append((transport, data))

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` now, behind what waits."""
        self._queue.append((transport, data))
        self.flush()

    def flush(self) -> None:
        """Write it all now. A transport may tell its protocol to pause meanwhile, which may put
        down more: that leaves behind what was here before."""
        queue = self._queue
        while queue:
            transport, data = queue.popleft()
            try:
                transport.write(data)
            except RuntimeError:
                continue  # lost meanwhile (uvloop): its protocol knows, or is about to be told
