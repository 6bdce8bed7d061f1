"""Few clients, of a sudden ten times as many, then few again: nothing is lost, and nothing lingers.

locust -f loadtests/shapes/spike.py --config loadtests/locust.conf --headless
"""

from __future__ import annotations

from locust import LoadTestShape

from loadtests.steady import Client

__all__ = ["Client", "Spike"]

FEW, MANY = 20, 200
BEFORE, DURING, AFTER = 10.0, 10.0, 10.0
"""Seconds."""


class Spike(LoadTestShape):
    def tick(self) -> tuple[int, float] | None:
        now = self.get_run_time()  # type: ignore[no-untyped-call]
        if now >= BEFORE + DURING + AFTER:
            return None
        # All at once: a client's first request also opens its connection.
        return (MANY if BEFORE <= now < BEFORE + DURING else FEW), float(MANY)
