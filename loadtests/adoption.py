"""python -m loadtests.adoption: what a hung worker, and fewer workers, cost clients that connect.

Two shows, each on a gateway of its own that answers by itself; all load goes to loopback.

*stopped*: clients come at a steady rate, one connection and one request each, whether or not
earlier ones have been answered; meanwhile one of two workers is stopped (SIGSTOP), and after a
while goes on. Told apart are those who came while it was stopped, and those whom it may have
accepted when it stopped: nobody but it can answer these.

*resized*: as many requests as the clients can make, first on a connection each, then on kept ones,
while the config goes from 8 workers to 2 and back, by HUP. A kept connection may be closed, idle,
at the moment in which its client asks on it (RFC 9112 section 9.5): that is counted apart, as any
client must be ready for it.

The exit status is 0 if nobody was reset, refused or left without an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gwd
from loadtests.compare import machine
from loadtests.compare.table import row
from loadtests.limits.gateway import Gateway

PATIENCE = 30.0
"""Seconds after which a client gives up."""
WORKERS, FEWER = 8, 2
ANSWERED, RACED = "answered", "raced"
_REQUEST = b"GET /x HTTP/1.1\r\nHost: gw.test\r\nConnection: %s\r\n\r\n"
_END = b"hello"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: when it began and how long it took, in seconds, and what became of it."""

    begin: float
    took: float
    outcome: str


class Visitor:
    """A client that keeps its connection if `keeps`."""

    def __init__(self, port: int, *, keeps: bool = False) -> None:
        self._port = port
        self._keeps = keeps
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def visit(self) -> Visit:
        begin = time.monotonic()
        kept = self._streams is not None
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = await self._ask()
        except TimeoutError:
            outcome = "no answer"
        except ConnectionResetError:
            outcome = "reset"
        except (ConnectionRefusedError, BrokenPipeError) as error:
            outcome = type(error).__name__
        if outcome != ANSWERED:
            await self.close()
            if kept and outcome in ("reset", "closed", "BrokenPipeError"):
                outcome = RACED
        return Visit(begin, time.monotonic() - begin, outcome)

    async def _ask(self) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(_REQUEST % (b"keep-alive" if self._keeps else b"close"))
        data = b""
        while not data.endswith(_END):
            more = await reader.read(65536)
            if not more:
                return "cut" if data else "closed"
            data += more
        if not data.startswith(b"HTTP/1.1 200"):
            return f"status {data[9:12].decode()}"
        if not self._keeps or b"\r\nConnection: close\r\n" in data:
            await self.close()
        return ANSWERED

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):  # the gateway was first
                await writer.wait_closed()


async def steadily(port: int, rate: float, over: asyncio.Event) -> list[Visit]:
    """A new client every 1/`rate` seconds until `over`."""
    tasks: list[asyncio.Task[Visit]] = []
    began = time.monotonic()
    while not over.is_set():
        tasks.append(asyncio.create_task(Visitor(port).visit()))
        await asyncio.sleep(began + len(tasks) / rate - time.monotonic())
    return list(await asyncio.gather(*tasks))


async def busily(port: int, clients: int, keeps: bool, over: asyncio.Event) -> list[Visit]:
    """`clients` at a time, each as fast as it is answered, until `over`."""

    async def one() -> list[Visit]:
        visitor, visits = Visitor(port, keeps=keeps), []
        while not over.is_set():
            visits.append(await visitor.visit())
        await visitor.close()
        return visits

    found = await asyncio.gather(*(one() for _ in range(clients)))
    return [visit for visits in found for visit in visits]


async def during(
    load: Callable[[asyncio.Event], Awaitable[list[Visit]]], act: Callable[[], Awaitable[None]]
) -> list[Visit]:
    """The visits of `load`, which ends when `act` is done."""
    over = asyncio.Event()
    visits = asyncio.ensure_future(load(over))
    try:
        await act()
    finally:
        over.set()
    return await visits


def summary(name: str, visits: Sequence[Visit]) -> str:
    """A row: how many, how many were answered, raced and lost, and how long they took."""
    took = sorted(visit.took for visit in visits if visit.outcome == ANSWERED)
    others = [visit.outcome for visit in visits if visit.outcome not in (ANSWERED, RACED)]
    lost = ", ".join(f"{others.count(what)} {what}" for what in sorted(set(others))) or "0"
    raced = sum(visit.outcome == RACED for visit in visits)
    middle = f"{took[math.ceil(len(took) / 2) - 1] * 1000:.1f}" if took else "-"
    longest = f"{took[-1] * 1000:.0f}" if took else "-"
    return row([name, str(len(visits)), str(len(took)), str(raced), lost, middle, longest])


HEAD = "\n".join(
    row(cells)
    for cells in (
        ["clients", "requests", "answered", "raced", "lost", "median ms", "longest ms"],
        ["---"] * 7,
    )
)


def event(room: Path, name: str) -> bool:
    """Whether the gateway of `room` has logged `name`."""
    return f'"msg": "{name}"' in (room / "output.log").read_text(errors="replace")


async def until(condition: Callable[[], bool], what: str) -> float:
    """Seconds until `condition` held. Raises RuntimeError if it does not come."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > PATIENCE:
            raise RuntimeError(f"waited {PATIENCE:g} s in vain for {what}")
        await asyncio.sleep(0.01)
    return time.monotonic() - begin


async def stopped(room: Path, rate: float, seconds: float) -> tuple[list[str], list[Visit]]:
    """One of two workers is stopped for `seconds`: what to print, and all visits."""
    gateway = Gateway(room, "", workers=2)
    moments: list[float] = []
    adopted = 0.0

    async def act() -> None:
        nonlocal adopted
        await asyncio.sleep(1)
        victim = gateway.workers()[1]
        moments.append(time.monotonic())
        os.kill(victim, signal.SIGSTOP)
        try:
            adopted = await until(lambda: event(room, "listener adopted"), "the adoption")
            await asyncio.sleep(seconds - adopted)
        finally:
            os.kill(victim, signal.SIGCONT)
        moments.append(time.monotonic())
        await until(lambda: event(room, "listener released"), "the release")
        await asyncio.sleep(1)

    try:
        visits = await during(partial(steadily, gateway.port, rate), act)
    finally:
        gateway.stop()
    begin, end = moments
    before = [v for v in visits if v.begin < begin]
    held = [v for v in before if v.begin + v.took > begin]
    new = [v for v in visits if begin <= v.begin < end]
    rest = [v for v in before if v.begin + v.took <= begin]
    rest += [v for v in visits if v.begin >= end]
    lines = [
        f"One of two workers stopped for {seconds:g} s, {rate:g} new connections a second; "
        f"its listener was adopted after {adopted:.2f} s.",
        "",
        HEAD,
        summary("came while it was stopped", new),
        summary("under way when it stopped", held),
        summary("all others", rest),
    ]
    return lines, visits


async def resized(room: Path, clients: int, turns: int, keeps: bool) -> tuple[str, list[Visit]]:
    """8 → 2 → 8 workers, `turns` times: a row, and all visits."""
    segment = f"[segment]\nmax_workers = {WORKERS}\n"
    gateway = Gateway(room, segment, workers=WORKERS)
    text = gateway.config.read_text()

    def has(count: int) -> bool:
        return len(gateway.workers()) == count

    async def act() -> None:
        await asyncio.sleep(0.5)
        for _ in range(turns):
            for count in (FEWER, WORKERS):
                gateway.config.write_text(
                    text.replace(f"\nworkers = {WORKERS}\n", f"\nworkers = {count}\n")
                )
                gateway.reload()
                await until(partial(has, count), f"{count} workers")
                await asyncio.sleep(1)

    try:
        visits = await during(partial(busily, gateway.port, clients, keeps), act)
    finally:
        gateway.stop()
    kind = "a connection each" if not keeps else "kept connections"
    return summary(f"{clients} at a time, {kind}", visits), visits


async def shows(options: argparse.Namespace, room: Path) -> tuple[list[str], list[Visit]]:
    lines, visits = await stopped(room / "stopped", options.rate, options.seconds)
    turns, clients = options.turns, options.clients
    lines += ["", f"{WORKERS} → {FEWER} → {WORKERS} workers by HUP, {turns} times.", "", HEAD]
    for keeps in (False, True):
        line, more = await resized(room / f"resized-{keeps}", clients, turns, keeps)
        lines.append(line)
        visits += more
    return lines, visits


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.adoption",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rate", type=float, default=300, help="new connections a second")
    parser.add_argument("--seconds", type=float, default=4, help="that the worker is stopped")
    parser.add_argument("--clients", type=int, default=32, help="at a time, while it is resized")
    parser.add_argument("--turns", type=int, default=2, help="down and up again")
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep a report there")
    options = parser.parse_args()
    found = machine.meta("loadtests.adoption", {"gwd": gwd.__version__})
    with tempfile.TemporaryDirectory(prefix="gwd-adoption-") as name:
        lines, visits = asyncio.run(shows(options, Path(name)))
    print("\n".join(lines))
    if options.report is not None:
        options.report.mkdir(parents=True, exist_ok=True)
        title = ["# A hung worker, and fewer workers", "", machine.words(found), ""]
        (options.report / "report.md").write_text("\n".join([*title, *lines, ""]))
        machine.keep(options.report, found)
    return 0 if all(visit.outcome in (ANSWERED, RACED) for visit in visits) else 1


if __name__ == "__main__":
    sys.exit(main())
