"""What an attack does to a gateway of one worker, and to a neighbour: before, during and after.

The neighbour asks twice: on a new connection each time, and on one that it keeps, both through an
upstream. Memory and CPU are the worker's, looked at from outside while it goes on. All share the
machine's cores: what the attackers take of them, the neighbour misses as well, so each attack also
tells how much CPU the gateway itself took.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from loadtests.compare.running import free_port
from loadtests.limits.beside import Beside
from loadtests.limits.gateway import Gateway, gateway
from loadtests.limits.neighbour import ASKS, NEIGHBOUR
from loadtests.limits.paced import Told, pace
from loadtests.tls import certificates

PAGE = os.sysconf("SC_PAGE_SIZE")
LOOK_EVERY = 0.05
STANDING = 3.0
"""Seconds that the attackers have to get themselves up before the neighbour is asked again."""
SEGMENT = "\n[segment]\nmax_workers = 2\nmax_ips = 65536\nmax_endpoints = 8\nmax_routes = 8\n"
ROUTES = """
[upstreams.service]
endpoints = ["127.0.0.1:{service}"]
max_connections = 1000

[[routes]]
name = "all"
path = "/*"
upstream = "service"
"""

Attacker = Callable[[tuple[str, int], float], Counter[str]]
"""(address of the gateway, seconds) -> what it met."""


@dataclass(frozen=True, slots=True)
class Attack:
    name: str
    run: Attacker
    server: str = ""
    """Lines of `[server]`."""
    tables: str = ""
    """Other tables of the config."""
    descriptors: int = 0
    """RLIMIT_NOFILE of the gateway; 0: as it is here."""
    tls: bool = False
    """Whether a second port, with TLS, is what is attacked."""
    seconds: float = 0.0
    """How long it takes at least, where a time-out is what matters."""


@dataclass(slots=True)
class Asked:
    """What the neighbour met, on new connections and on a kept one."""

    fresh: Told
    kept: Told

    @property
    def both(self) -> Told:
        one, other = self.fresh, self.kept
        return Told(
            one.wanted + other.wanted,
            one.offered + other.offered,
            max(one.seconds, other.seconds),
            one.statuses + other.statuses,
            one.cut + other.cut,
            one.silent + other.silent,
            one.delays + other.delays,
        )


@dataclass(slots=True)
class Outcome:
    before: Asked
    during: Asked
    after: Asked
    met: Counter[str]
    rss: tuple[int, int, int]
    """Bytes of the worker: before, at most, after."""
    kernel: int
    """Bytes, at most, that the kernel held for TCP on the whole machine, above what it did."""
    cpu: float
    """Cores that the worker took."""
    connections: int
    """Open at once, at most, as the gateway counts them."""


class _Watch(threading.Thread):
    """Looks at a worker until it is told to stop."""

    def __init__(self, running: Gateway, pid: int) -> None:
        super().__init__()
        self._running, self._pid = running, pid
        self._over = threading.Event()
        self.rss = self.kernel = self.connections = 0

    def run(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            self.rss = max(self.rss, rss(self._pid))
            self.kernel = max(self.kernel, kernel_memory())
            self.connections = max(self.connections, self._running.processes.connections())

    def stop(self) -> None:
        self._over.set()
        self.join()


def rss(pid: int) -> int:
    """Resident bytes of `pid` that are its own, the shared segment left out."""
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(resident) - int(shared)) * PAGE


def kernel_memory() -> int:
    """Bytes that the kernel holds for all TCP sockets (proc(5), /proc/net/sockstat)."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * PAGE
    return 0


def ask(address: tuple[str, int], seconds: float, going: Callable[[], bool] | None = None) -> Asked:
    """Ask as the neighbour for `seconds`, or until not `going()`."""
    kept: list[Told] = []

    def keep() -> None:
        kept.append(pace(address, ASKS / 2, seconds, [NEIGHBOUR], connections=4, going=going))

    thread = threading.Thread(target=keep)
    thread.start()
    close = "Connection: close\r\n"
    fresh = pace(address, ASKS / 2, seconds, [NEIGHBOUR], connections=16, fields=close, going=going)
    thread.join()
    return Asked(fresh, kept[0])


def measure(attack: Attack, room: Path, service: int, seconds: float) -> Outcome:
    """Raises RuntimeError if the gateway does not start, or its worker did not live through it."""
    config = attack.tables + SEGMENT + ROUTES.format(service=service)
    port, also = 0, ""
    if attack.tls:
        port = free_port()
        also = f'{{ address = "127.0.0.1:{port}", tls = true }}'
        certificate, key = room.with_suffix(".pem"), room.with_suffix(".key")
        certificates.write(certificate, key)
        config += f'[server.tls]\ncert = "{certificate}"\nkey = "{key}"\n'
    with gateway(
        room,
        config,
        workers=1,
        server=attack.server,
        routes="",
        descriptors=attack.descriptors,
        also=also,
    ) as running:
        address = ("127.0.0.1", running.port)
        (worker,) = running.workers()
        ask(address, 0.5)  # everything has been used once
        before = ask(address, 2.0)
        at_first, held = rss(worker), kernel_memory()
        watch = _Watch(running, worker)
        watch.start()
        process = psutil.Process(worker)
        lasts = max(seconds, attack.seconds)
        target = (address[0], port or running.port)
        with Beside(attack.run, target, lasts + STANDING) as attackers:
            time.sleep(STANDING)
            begun, spent = time.monotonic(), sum(process.cpu_times()[:2])
            during = ask(address, lasts, attackers.running)
            took = (sum(process.cpu_times()[:2]) - spent) / (time.monotonic() - begun)
            met = attackers.result()
        watch.stop()
        after = ask(address, 2.0)
        if running.workers() != [worker]:
            raise RuntimeError(f"{attack.name}: the worker did not live through it")
        return Outcome(
            before,
            during,
            after,
            met,
            (at_first, max(watch.rss, at_first), rss(worker)),
            max(0, watch.kernel - held),
            took,
            watch.connections,
        )
