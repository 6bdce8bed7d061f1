"""Services die and come back under load, and no request is lost.

    locust -f loadtests/failover.py --config loadtests/locust.conf --headless

Every second or two an instance of a service that has two living ones is killed (KILL, no warning);
the demo brings it back after ten seconds. Clients only read: a GET may be asked again elsewhere, so
not one may fail. A POST that was under way on a killed instance may have been carried out, so a
gateway must not repeat it; that one is lost is right, and no part of this.
"""

from __future__ import annotations

import os
import signal
import time

import gevent  # type: ignore[import-untyped]
from locust import between, task

from loadtests.beside import Running, beside_the_load
from loadtests.client import DemoClient, expect
from loadtests.criteria import must
from loadtests.demo import own

PAUSE = 1.5
"""Seconds between two kills."""
SETTLE = 2.5
"""Seconds from an instance's return to the death of its twin: a health check must have seen it."""

_kills: list[str] = []


@beside_the_load
def kill(running: Running) -> None:
    demo = own()
    alive_since: dict[str, float] = {}
    last: dict[str, str] = {}
    next_kill = time.monotonic() + PAUSE
    while running():
        now, there = time.monotonic(), demo.instances()
        alive_since = {name: alive_since.get(name, now) for name in there}
        if now >= next_kill:
            victim = _victim(alive_since, last, now)
            if victim:
                os.kill(there[victim], signal.SIGKILL)
                last[victim.partition("-")[0]] = victim
                del alive_since[victim]
                _kills.append(victim)
                next_kill = now + PAUSE
        gevent.sleep(0.1)


def _victim(alive_since: dict[str, float], last: dict[str, str], now: float) -> str:
    """An instance whose twin lives long enough; not the one of its service that died last."""
    for name in sorted(alive_since):
        service, _, number = name.partition("-")
        twin = f"{service}-{3 - int(number)}"
        if now - alive_since.get(twin, now) >= SETTLE and last.get(service) != name:
            return name
    return ""


@must
def services_died() -> str:
    print(f"killed: {', '.join(_kills)}")
    return "" if _kills else "nothing was killed"


class Reader(DemoClient):
    """A client that only asks what may be asked twice."""

    wait_time = between(0.05, 0.15)

    @task(4)
    def orders(self) -> None:
        self.order()

    @task(2)
    def profile(self) -> None:
        with self.ask("GET", "/profile/ada", "/profile/[user]") as response:
            expect(response, 200, served_by="profile")

    @task(2)
    def cart(self) -> None:
        with self.ask("GET", "/cart/ada", "/cart/[user]") as response:
            expect(response, 200, served_by="cart")

    @task(1)
    def homes(self) -> None:
        self.home()
