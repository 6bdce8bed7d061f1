"""More and more clients, a step every ten seconds: where does it begin to hurt?

    locust -f loadtests/shapes/steps.py --config loadtests/locust.conf --headless

The table at the end is over all steps; the kept HTML report shows how latency goes with the users.
"""

from __future__ import annotations

from locust import LoadTestShape

from loadtests.steady import Client

__all__ = ["Client", "Steps"]

STEPS = (25, 50, 100, 150, 200)
LENGTH = 10.0
"""Seconds of each."""


class Steps(LoadTestShape):
    def tick(self) -> tuple[int, float] | None:
        now = self.get_run_time()  # type: ignore[no-untyped-call]
        step = int(now / LENGTH)
        return (STEPS[step], 100.0) if step < len(STEPS) else None
