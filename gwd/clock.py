"""A worker's coarse clock: the time as of the last tick, and a wheel of deadlines.

Strategy. A proxy arms and disarms a time-out several times per request, and nearly none of them
ever fires. So a deadline is an attribute (`Timed.deadline`), written freely, and the wheel looks
at it only when the time comes (`Timed.due`) for which the object is put down: if the deadline has
moved on by then, it is put down anew. Only a deadline *earlier* than that touches the wheel, so
arming is, nearly always, a write and a comparison. Who arms once per request writes them out:

    item.deadline = deadline
    if deadline < item.due:
        clock.put(item)

Every object is in at most one slot, so nothing dead is kept alive.

Deadlines are kept to within one tick (50 ms), late rather than early. There is one timer handle
per worker, whatever it serves.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

TICK = 0.05
SLOTS = 2048
"""A power of two; the wheel's horizon is SLOTS ticks (102 s). Farther deadlines wait there."""
AT_ONCE = 64
"""Deadlines that fire in one turn of the loop; one may well take a tenth of a millisecond."""
NEVER = float("inf")


class Timed(Protocol):
    """What the wheel can watch."""

    deadline: float
    """Monotonic seconds, NEVER when nothing is waited for. Set it through `Clock.arm`."""
    due: float
    """The beginning of the tick at whose end the wheel looks at it, NEVER if it is not in it.
    Owned by the clock."""

    def expired(self) -> None:
        """The deadline has passed; the object is out of the wheel and may arm itself again."""


class Clock:
    """The time of a worker. `now` is monotonic seconds as of the last tick."""

    __slots__ = ("_catching_up", "_late", "_loop", "_on_tick", "_slots", "_tick", "_timer", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[set[Timed]] = [set() for _ in range(SLOTS)]
        self.now = time.monotonic()
        self._tick = int(self.now / TICK)
        self._timer: asyncio.TimerHandle | None = None
        self._late: deque[Timed] = deque()
        """Their time has come, and they are not looked at yet."""
        self._catching_up = False
        self._on_tick: list[Callable[[float], None]] = []

    def start(self) -> None:
        self._timer = self._loop.call_later(TICK, self._turn)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def each_tick(self, callback: Callable[[float], None]) -> None:
        """Call `callback(now)` on every tick, about twenty times a second."""
        self._on_tick.append(callback)

    def arm(self, item: Timed, deadline: float) -> None:
        """Make `item.expired` be called once `deadline` is past, in place of its earlier one."""
        item.deadline = deadline
        if deadline < item.due:
            self.put(item)

    def disarm(self, item: Timed) -> None:
        """Forget `item`: for an object that ends."""
        item.deadline = NEVER
        self._take(item)

    def put(self, item: Timed) -> None:
        """Have `item` looked at when its deadline is past."""
        self._take(item)
        tick = int(item.deadline / TICK) + 1
        tick = max(self._tick + 1, min(tick, self._tick + SLOTS - 1))
        item.due = (tick - 1) * TICK
        self._slots[tick & (SLOTS - 1)].add(item)

    def _take(self, item: Timed) -> None:
        if item.due != NEVER:
            self._slots[round(item.due / TICK) + 1 & (SLOTS - 1)].discard(item)
            item.due = NEVER

    def _turn(self) -> None:
        self._timer = self._loop.call_later(TICK, self._turn)
        self.advance(time.monotonic())

    def _expire(self) -> None:
        """Look at a batch of those whose time has come, and at the next in the next turn of the
        loop: thousands that came together must not hold up everybody else when they end."""
        self._catching_up = False
        late, now = self._late, self.now
        for _ in range(min(len(late), AT_ONCE)):
            item = late.popleft()
            # An earlier item's expiry may have armed, moved or ended this one.
            if item.due != NEVER or item.deadline == NEVER:
                continue
            if item.deadline <= now:
                item.expired()
            else:
                self.put(item)
        if late:
            self._catching_up = True
            self._loop.call_soon(self._expire)

    def advance(self, now: float) -> None:
        """Move to `now`, firing what is due. Slots missed by a late loop are all looked at."""
        self.now = now
        last = int(now / TICK)
        first = max(self._tick + 1, last - SLOTS + 1)
        self._tick = max(last, self._tick)
        for tick in range(first, last + 1):
            slot = self._slots[tick & (SLOTS - 1)]
            if not slot:
                continue
            due = list(slot)
            slot.clear()
            for item in due:
                item.due = NEVER
            self._late += due
        if not self._catching_up:
            self._expire()
        for callback in self._on_tick:
            callback(now)
