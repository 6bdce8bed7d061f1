"""How single checks become the health of an endpoint: the rise and fall rule, nothing else.

                  good                            `fall` bad in a row
    UNKNOWN ------------------> HEALTHY <----------------------------------> UNHEALTHY
        '----------------------- bad ---------------->     `rise` good in a row

The first check decides alone: before it nothing is known, and an endpoint that has never worked
gets no benefit of the doubt (HAProxy starts servers this way, one failure from being down). From
then on a change takes `rise` or `fall` checks in a row that all say so; one that says otherwise
starts the count anew.
"""

from __future__ import annotations

from gwd.segment.endpoints import HEALTHY, UNHEALTHY, UNKNOWN


class HealthState:
    """The health of one endpoint. `state` is UNKNOWN, HEALTHY or UNHEALTHY."""

    __slots__ = ("_fall", "_rise", "_streak", "state")

    def __init__(self, rise: int, fall: int, state: int = UNKNOWN) -> None:
        self.state = state
        self._rise, self._fall = rise, fall
        self._streak = 0

    def observe(self, good: bool) -> bool:
        """Take one check into account; whether `state` has changed by it."""
        wanted = HEALTHY if good else UNHEALTHY
        if self.state == wanted:
            self._streak = 0
            return False
        self._streak += 1
        if self.state != UNKNOWN and self._streak < (self._rise if good else self._fall):
            return False
        self.state = wanted
        self._streak = 0
        return True
