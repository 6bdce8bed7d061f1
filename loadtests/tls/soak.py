"""Memory over time: handshakes, requests and aborted handshakes for minutes on end.

From JUDGED_FROM on it is judged: over the second half of the time, by which all has been used, it
may grow by less than MOST an hour. That is not nothing, for it goes up and down by some MiB as the
allocators please, over minutes (18 MiB/h in a run that levelled off before); but some two million
connections are made in an hour, so it is less than an object left of each would come to.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from loadtests.compare.running import Running
from loadtests.limits.beside import Beside
from loadtests.tls import clients

LOOK_EVERY = 10.0
JUDGED_FROM = 20.0
"""Minutes. In less time the ups and downs are steeper than a leak would be."""
MOST = 40.0
"""MiB per hour: of two million connections an hour, 20 bytes each."""


@dataclass(slots=True)
class Soaked:
    minutes: float
    points: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, MiB of all its processes)."""
    told: Counter[str] = field(default_factory=Counter)

    @property
    def growth(self) -> float:
        """MiB per hour over the second half, by least squares."""
        begin = self.points[-1][0] / 2
        late = [point for point in self.points if point[0] >= begin]
        if len(late) < 3:
            return 0.0
        mean_x = sum(x for x, _ in late) / len(late)
        mean_y = sum(y for _, y in late) / len(late)
        spread = sum((x - mean_x) ** 2 for x, _ in late)
        return sum((x - mean_x) * (y - mean_y) for x, y in late) / spread * 3600

    @property
    def wrong(self) -> str:
        """What makes it a failure; "" if nothing does."""
        if not self.told["done"] or not self.told["resumed"]:
            return "no connection was made, or none resumed: nothing was shown"
        if self.minutes >= JUDGED_FROM and self.growth >= MOST:
            return f"memory grew by {self.growth:.1f} MiB/h, {MOST:g} or more"
        return ""

    @property
    def verdict(self) -> str:
        if self.wrong:
            return f"failed: {self.wrong}"
        if self.minutes < JUDGED_FROM:
            return f"not judged, for it took less than {JUDGED_FROM:g} minutes"
        return f"good: less than {MOST:g} MiB/h"


def soak(running: Running, minutes: float) -> Soaked:
    """Three clients beside it: full handshakes, resumed ones, and some that never end theirs."""
    address = ("127.0.0.1", running.port)
    soaked = Soaked(minutes)
    begun, until = time.monotonic(), time.monotonic() + minutes * 60
    turn = min(60.0, minutes * 60)
    while time.monotonic() < until:
        with (
            Beside(clients.shake, address, "1.3", False, turn) as full,
            Beside(clients.shake, address, "1.2", True, turn) as resumed,
            Beside(clients.half_open, address, 50, turn) as half,
        ):
            while full.running():
                soaked.points.append((time.monotonic() - begun, running.memory() / 2**20))
                time.sleep(min(LOOK_EVERY, turn / 4))
            for client in (full, resumed, half):
                soaked.told += client.result()
    soaked.points.append((time.monotonic() - begun, running.memory() / 2**20))
    return soaked
