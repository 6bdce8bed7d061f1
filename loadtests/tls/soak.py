"""Memory over time: handshakes, requests and aborted handshakes for minutes on end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from loadtests.compare.running import Running
from loadtests.limits.beside import Beside
from loadtests.tls import clients

LOOK_EVERY = 10.0
SETTLED = 0.25
"""The share of the time after which memory must have found its level."""


@dataclass(slots=True)
class Soaked:
    minutes: float
    points: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, MiB of all its processes)."""
    told: Counter[str] = field(default_factory=Counter)

    @property
    def growth(self) -> float:
        """MiB per hour from when it had settled, by least squares."""
        begin = self.points[-1][0] * SETTLED
        late = [point for point in self.points if point[0] >= begin]
        if len(late) < 3:
            return 0.0
        mean_x = sum(x for x, _ in late) / len(late)
        mean_y = sum(y for _, y in late) / len(late)
        spread = sum((x - mean_x) ** 2 for x, _ in late)
        return sum((x - mean_x) * (y - mean_y) for x, y in late) / spread * 3600


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
