"""How soon a dead child is followed by the next one.

The first three deaths are answered at once; then 100 ms, doubling to 10 s, so that a child that
cannot live costs neither CPU nor log. A minute without a death wipes the slate. Pure: the caller
brings the clock.
"""

from __future__ import annotations

FREE_DEATHS = 3
QUIET = 60.0
FIRST_DELAY = 0.1
LAST_DELAY = 10.0


class Respawn:
    """The deaths of one slot."""

    __slots__ = ("_deaths", "_last")

    def __init__(self) -> None:
        self._deaths = 0
        self._last = float("-inf")

    def delay(self, now: float) -> float:
        """Note a death at `now` (monotonic seconds): seconds to wait before the next child."""
        if now - self._last > QUIET:
            self._deaths = 0
        self._last = now
        self._deaths += 1
        if self._deaths <= FREE_DEATHS:
            return 0.0
        doublings = min(self._deaths - FREE_DEATHS - 1, 10)
        return min(LAST_DELAY, FIRST_DELAY * 2.0**doublings)
