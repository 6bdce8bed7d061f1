"""One abuser among good clients: it gets what the limit gives it, and they lose nothing.

    locust -f loadtests/abuse.py --config loadtests/locust.conf --headless

Four users share one address and ask as fast as they can; 429 is what they are there for, and not a
failure. Everybody else is a client of steady.py. The run is good if none of those failed or got a
429, and the abuser was admitted no more often than the demo's limit allows: 50 at once and 100 a
second.
"""

from __future__ import annotations

import time

from locust import constant, task

from loadtests import demo  # noqa: F401 - its listeners
from loadtests.client import DemoClient
from loadtests.criteria import must
from loadtests.steady import Client

__all__ = ["Abuser", "Client"]

RATE, BURST = 100, 50
"""As in the demo's config."""
SLACK = 1.02
"""What processes that read at the same instant may admit on top (docs/decisions.md)."""


class _Count:
    admitted = 0
    refused = 0
    first = 0.0
    last = 0.0


class Abuser(DemoClient):
    """A quarter of the one who cannot wait."""

    fixed_count = 4
    wait_time = constant(0.0)

    def on_start(self) -> None:
        super().on_start()
        self.address = "10.255.0.1"

    @task
    def again(self) -> None:
        _Count.first = _Count.first or time.monotonic()
        with self.ask("GET", "/limited", "/limited, by the abuser") as response:
            status = response.status_code
            if status == 429:
                _Count.refused += 1
                response.success()
            elif status == 200:
                _Count.admitted += 1
                response.success()
            else:
                response.failure(f"status {status}, neither 200 nor 429")
        _Count.last = time.monotonic()


@must
def abuser_was_held_to_the_limit() -> str:
    allowed = SLACK * (BURST + 1 + RATE * (_Count.last - _Count.first))
    print(f"the abuser: {_Count.admitted} admitted, {_Count.refused} refused")
    if not _Count.refused:
        return "the abuser was never refused"
    if _Count.admitted > allowed:
        return f"the abuser was admitted {_Count.admitted} times, {allowed:.0f} were allowed"
    return ""
