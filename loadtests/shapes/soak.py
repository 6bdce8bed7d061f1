"""The same load for long: does the gateway's memory settle?

    SOAK=3600 locust -f loadtests/shapes/soak.py --config loadtests/locust.conf --headless

runs for so many seconds, ten minutes by default. Memory is the proportional set size of all
processes of the gateway, looked at every second. From two minutes on it is judged: the median of
the last quarter may be a fifth and 10 MiB above that of the second, by which all has been used.
"""

from __future__ import annotations

import os
import statistics

import gevent  # type: ignore[import-untyped]
import psutil  # type: ignore[import-untyped]
from locust import LoadTestShape

from loadtests.beside import Running, beside_the_load
from loadtests.criteria import must
from loadtests.demo import own
from loadtests.steady import Client

__all__ = ["Client", "Soak"]

SECONDS = float(os.environ.get("SOAK", "600"))
USERS = 50
JUDGED_FROM = 120.0
FACTOR, SPARE_MIB = 1.2, 10.0

_mib: list[float] = []


class Soak(LoadTestShape):
    def tick(self) -> tuple[int, float] | None:
        now = self.get_run_time()  # type: ignore[no-untyped-call]
        return (USERS, float(USERS)) if now < SECONDS else None


@beside_the_load
def watch(running: Running) -> None:
    processes = own().gateway_processes()
    while running():
        try:
            _mib.append(sum(p.memory_full_info().pss for p in processes) / 2**20)
        except psutil.NoSuchProcess:
            processes = own().gateway_processes()
        gevent.sleep(1.0)


@must
def memory_settled() -> str:
    if not _mib:
        return "memory was never looked at"
    print(f"memory of the gateway: {_mib[0]:.1f} MiB at first, {_mib[-1]:.1f} at last")
    if SECONDS < JUDGED_FROM:
        return ""
    quarter = len(_mib) // 4
    early = statistics.median(_mib[quarter : 2 * quarter])
    late = statistics.median(_mib[-quarter:])
    if late > early * FACTOR + SPARE_MIB:
        return f"memory grew from {early:.1f} to {late:.1f} MiB"
    return ""
