"""`buffer_budget`: what a worker holds for all its connections, and whom it ends if that is much.

Strategy. A connection that waits for nobody holds nothing, so only suspects are looked at: those
with a head or a body half here, with requests read ahead, or with an answer not yet taken by its
client. A connection puts itself down where that begins, off the common path, and is struck off when
it is found idle and holding nothing. What a transport keeps below its high-water mark nobody tells;
as soon as there are so many connections that this could fill the budget, all are looked through, a
part of them per tick.

Looking costs about a microsecond per suspect. It is done every tick while they are few, and less
often when they are many, so that it takes no more than about a twentieth of the worker's time.
Between two looks the budget can be overrun by what comes in that time.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Protocol

from gwd.clock import TICK
from gwd.upstream.connection import WRITE_HIGH

PER_SUSPECT = 20e-6
"""Seconds of rest for each suspect looked at."""
ROUND = 20
"""Ticks in which all connections are looked through."""


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
    """The suspects of one worker."""

    __slots__ = ("_next_look", "_round", "suspects")

    def __init__(self) -> None:
        self.suspects: set[Holder] = set()
        self._next_look = 0.0
        self._round: Iterator[Holder] = iter(())

    def tick(self, now: float, connections: AbstractSet[Holder], budget: int) -> None:
        """Look, if it is time to, and hold `budget` bytes."""
        if len(connections) * WRITE_HIGH > budget:
            self._look_through(connections)
        if self.suspects and now >= self._next_look:
            self._next_look = now + max(TICK / 2, len(self.suspects) * PER_SUSPECT)
            self.hold(budget)

    def hold(self, budget: int) -> None:
        """End those who hold most until the rest is within `budget` bytes."""
        sizes = [(connection.buffered(), connection) for connection in self.suspects]
        over = sum(size for size, _ in sizes) - budget
        self.suspects = {c for size, c in sizes if size or not c.idle}
        if over <= 0:
            return
        for size, connection in sorted(sizes, key=lambda pair: pair[0], reverse=True):
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
