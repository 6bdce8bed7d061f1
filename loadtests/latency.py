"""python -m loadtests.latency: how much later an answer comes through a proxy than without one.

One client on one kept connection asks at a steady, low pace; so nothing waits for anything else,
and what is told is the way there and back. The proxies and the service itself take turns in short
stretches of one run, and what a proxy adds is its percentile less that of the direct calls of the
same run. The client is the same plain socket for all of them; what it costs is in both terms and
cancels. A stretch begins with a few requests that do not count: a proxy that has just been waited
for runs cold.

A request without its 200 ends the run: there is no latency of what failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtests.compare import machine
from loadtests.compare.peers import PEERS, start
from loadtests.compare.place import PLAIN
from loadtests.compare.service import start_service
from loadtests.compare.table import row
from loadtests.compare.tokens import make_keys
from loadtests.compare.work import WORKS

DIRECT = "direct"
PROXIES = ("gwd", "nginx", "envoy")
WARM = 20
"""Requests, messages or events at the start of a stretch that do not count."""
_REQUEST = (
    b"GET /items/%d HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: latency\r\n"
    b"Accept: application/json\r\n\r\n"
)


class Client:
    """One kept connection to a port."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, number: int) -> float:
        """Seconds from the request to the last byte of its answer. Raises RuntimeError."""
        request = _REQUEST % number
        begin = time.perf_counter()
        self._socket.sendall(request)
        data = self._socket.recv(65536)
        while not whole(data):
            more = self._socket.recv(65536)
            if not more:
                break
            data += more
        took = time.perf_counter() - begin
        if not data.startswith(b"HTTP/1.1 200") or not whole(data):
            raise RuntimeError(f"no good answer: {data[:200]!r}")
        return took

    def close(self) -> None:
        self._socket.close()


def whole(data: bytes) -> bool:
    """Whether `data` is a whole answer with a Content-Length."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    raise RuntimeError(f"an answer without a length: {head!r}")


def stretch(client: Client, count: int, per_second: float) -> list[float]:
    """`count` latencies, at `per_second`. Who is late goes on from now: nothing is caught up."""
    took = [client.ask(number) for number in paced(WARM + count, per_second)]
    return took[WARM:]


def paced(count: int, per_second: float) -> Iterator[int]:
    """The numbers below `count`, each when it is its time. Whoever is late goes on from now."""
    gc.collect()
    due = time.perf_counter()
    for number in range(count):
        pause = due - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        else:
            due -= pause
        yield number
        due += 1 / per_second


def percentile(values: Sequence[float], which: float) -> float:
    """By the nearest rank: a latency that somebody really saw."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * which / 100) - 1)]


def table(found: Mapping[str, Sequence[float]]) -> str:
    """Markdown, in µs; what is added is the difference to the direct calls."""
    lines = [
        row(("", "samples", "p50 µs", "p99 µs", "added at p50", "added at p99")),
        row(["---"] * 6),
    ]
    direct = [percentile(found[DIRECT], which) * 1e6 for which in (50, 99)]
    for name, values in found.items():
        own = [percentile(values, which) * 1e6 for which in (50, 99)]
        added = (
            ["", ""]
            if name == DIRECT
            else [f"{mine - base:.0f}" for mine, base in zip(own, direct, strict=True)]
        )
        lines.append(row((name, str(len(values)), *(f"{value:.0f}" for value in own), *added)))
    return "\n".join(lines)


def measure(
    names: Sequence[str], samples: int, per_second: float, turns: int, room: Path
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in (DIRECT, *names)}
    works = [work for work in WORKS if work.name == "repeat"]
    keys = make_keys(1)
    with ExitStack() as stack:
        service = start_service(room / "service")
        stack.callback(service.stop)
        ports = {DIRECT: service.port}
        for peer in (p for p in PEERS if p.name in names):
            running = start(peer, PLAIN, works, room / peer.name, service.port, keys)
            stack.callback(running.stop)
            ports[peer.name] = running.port
        for _ in range(turns):
            for name, port in ports.items():
                client = Client(port)
                try:
                    found[name] += stretch(client, math.ceil(samples / turns), per_second)
                finally:
                    client.close()
    return found


def keep(
    directory: Path,
    found: Mapping[str, Sequence[float]],
    meta: Mapping[str, Any],
    options: argparse.Namespace,
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    method = (
        f"One client, one kept connection, {options.rate:g} requests/s, {options.turns} turns. "
        "Added: the percentile less that of the direct calls of this run."
    )
    sections = [
        f"# Latency, {str(meta['started'])[:10]}",
        method,
        machine.words(meta),
        table(found),
    ]
    (directory / "report.md").write_text("\n\n".join(sections) + "\n")
    micros = {name: [round(value * 1e6, 1) for value in values] for name, values in found.items()}
    (directory / "latencies.json").write_text(json.dumps(micros) + "\n")
    machine.keep(directory, meta)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    there = [p.name for p in PEERS if PLAIN in p.writers and p.find()]
    default = ",".join(name for name in PROXIES if name in there)
    parser.add_argument("--peers", default=default, help=f"of {', '.join(there)}")
    parser.add_argument("--samples", type=int, default=4000, help="of each")
    parser.add_argument("--rate", type=float, default=200, help="requests per second")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep a report there")
    options = parser.parse_args()
    names = options.peers.split(",")
    if unknown := set(names) - set(there):
        parser.error(f"not there: {', '.join(sorted(unknown))}")
    versions = {
        p.name: machine.version((where, *p.version))
        for p in PEERS
        if p.name in names and (where := p.find())
    }
    meta = machine.meta("loadtests.latency", versions)
    with tempfile.TemporaryDirectory(prefix="gwd-latency-") as name:
        room = Path(name)
        room.chmod(0o755)
        found = measure(names, options.samples, options.rate, options.turns, room)
    print(table(found))
    if options.report:
        keep(options.report, found, meta, options)


if __name__ == "__main__":
    main()
