"""One figure: CPU µs per request of a running gateway, in a window in which the load is steady.

wrk opens its connections, and the gateway accepts them, before the window begins; ten thousand
accepts would otherwise be part of what a request costs. CPU is that of the gateway's whole process
tree, requests are those it counted itself, both read at the two ends of the window. The load ends
by itself.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gwd.segment.metrics import UNROUTED, RouteMetrics
from gwd.segment.processes import WORKER
from loadtests.limits.gateway import Gateway

SETTLE = 0.5
"""Seconds from the last accept to the window."""
PATIENCE = 8.0
"""Seconds for all connections to be accepted."""


@dataclass(frozen=True, slots=True)
class Cost:
    """`errors` is "" if every request got a good answer."""

    cpu_us: float
    rate: float
    errors: str


def measure(
    gateway: Gateway,
    script: str,
    connections: int,
    seconds: float,
    room: Path,
    routes: Sequence[bytes],
) -> Cost:
    """Have wrk run `script` over `connections`, which must all end on `routes`."""
    path = room / "scale.lua"
    path.write_text(script)
    # So long that the window lies inside in any case.
    opening = 1.0 + connections / 2000
    length = round(opening + SETTLE + seconds + 1)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{length}s", "--timeout", "5s"]
    command += ["-s", str(path), f"http://127.0.0.1:{gateway.port}/"]
    wrk = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        missing = _missing(gateway, connections, opening + PATIENCE)
        time.sleep(SETTLE)
        cpu, requests, begin = gateway.cpu(), _requests(gateway, routes), time.monotonic()
        time.sleep(seconds)
        cpu, requests = gateway.cpu() - cpu, _requests(gateway, routes) - requests
        took = time.monotonic() - begin
        text, _ = wrk.communicate(timeout=length + 30)
    finally:
        if wrk.poll() is None:
            wrk.kill()
            wrk.wait()
    errors = " ".join(re.findall(r"(?:Socket errors|Non-2xx).*", text))
    if missing:
        errors = f"{missing} of {connections} connections were not accepted {errors}".strip()
    if not requests:
        return Cost(0.0, 0.0, errors or "no requests")
    return Cost(cpu * 1e6 / requests, requests / took, errors)


def _missing(gateway: Gateway, connections: int, patience: float) -> int:
    """Wait until they are all open; how many were not after all this time."""
    deadline = time.monotonic() + patience
    while (missing := connections - open_connections(gateway)) > 0:
        if time.monotonic() > deadline:
            return missing
        time.sleep(0.05)
    return 0


def open_connections(gateway: Gateway) -> int:
    rows = gateway.processes.live()
    return sum(row.connections for row in rows if row.role == WORKER)


def _requests(gateway: Gateway, routes: Sequence[bytes]) -> int:
    metrics = RouteMetrics(gateway.segment)
    places = metrics.names()
    found = [places[name] for name in routes if name != UNROUTED]
    return sum(metrics.totals(row).requests for row in found)
