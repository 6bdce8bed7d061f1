"""`buffer_budget`: what a worker holds for all its connections, and whom it ends if that is much.

Strategy. A connection that waits for nobody holds nothing, so only suspects are looked at: those
with a head or a body half here, with requests read ahead, or with an answer not yet taken by its
client. A connection puts itself down where that begins, off the common path, and is struck off when
it is found idle and holding nothing. What a transport keeps below its high-water mark nobody tells;
as soon as there are so many connections that this could fill the budget, all are looked through, a
part of them per tick.

Looking costs about a microsecond per suspect. It is done every tick while they are few, and less
often when they are many, so that it takes no more than about a twentieth of the worker's time; and
in the same turn of the loop when an eighth of the budget has come since the last look. So it can be
overrun by that eighth, and by what comes in one turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Protocol

from gwd.clock import TICK
from gwd.upstream.connection import WRITE_HIGH

PER_SUSPECT = 20e-6
"""Seconds of rest for each suspect looked at."""
ROUND = 20
"""Ticks in which all connections are looked through."""
UNSEEN = 8
"""What has come since the last look is one in so many bytes of the budget at most."""


class Holder(Protocol):
    """What the budget is spent on."""

    @property
    def idle(self) -> bool:
        """Whether no request of its is under way or has begun to come."""

    def buffered(self) -> int:
        """Bytes held for it."""

    def kill(self, reason: str) -> None:
        """End it now."""


class Budget:
    """The suspects of one worker. `call_soon` is the event loop's."""

    __slots__ = ("_call_soon", "_most", "_next_look", "_round", "_unseen", "suspects")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self.suspects: set[Holder] = set()
        self._call_soon = call_soon
        self._most = 1 << 62
        """The budget, in bytes."""
        self._unseen = 0
        """Bytes that have come since the last look, at most."""
        self._next_look = 0.0
        self._round: Iterator[Holder] = iter(())

    def suspect(self, holder: Holder, size: int) -> None:
        """`holder` may hold `size` bytes more from now on."""
        self.suspects.add(holder)
        before = self._unseen
        self._unseen = before + size
        if before <= self._most // UNSEEN < self._unseen:
            self._call_soon(self._look_at_once)

    def tick(self, now: float, connections: AbstractSet[Holder], most: int) -> None:
        """Look, if it is time to, and hold `most` bytes."""
        self._most = most
        if len(connections) * WRITE_HIGH > most:
            self._look_through(connections)
        if self.suspects and now >= self._next_look:
            self._next_look = now + max(TICK / 2, len(self.suspects) * PER_SUSPECT)
            self._look()

    def _look_at_once(self) -> None:
        if self._unseen > self._most // UNSEEN:  # else the tick came first
            self._look()

    def _look(self) -> None:
        """End those who hold most until the rest is within the budget."""
        self._unseen = 0
        sizes = [(connection.buffered(), connection) for connection in self.suspects]
        over = sum(size for size, _ in sizes) - self._most
        self.suspects = {c for size, c in sizes if size or not c.idle}
        if over <= 0:
            return
        for size, connection in sorted(sizes, key=lambda pair: pair[0], reverse=True):
            self.suspects.discard(connection)  # what it holds is gone with the next turn
            connection.kill("buffer_budget")
            over -= size
            if over <= 0:
                return

    def _look_through(self, connections: AbstractSet[Holder]) -> None:
        part = list(islice(self._round, len(connections) // ROUND + 1))
        if not part:
            self._round = iter(list(connections))
            return
        self.suspects.update(c for c in part if c in connections and c.buffered())
