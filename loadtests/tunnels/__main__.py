"""python -m loadtests.tunnels: WebSocket and event streams, straight and through proxies.

First, one client on one connection at a low, steady pace, so that nothing waits for anything else:
the round trip of a message, and how long an event is on its way. The ways take turns in short
stretches; what one adds is its percentile less that of the straight way in the same run. gwd goes
twice: at rest, and while it reloads every 200 ms.

Then many connections at once through gwd, while it reloads: the run fails if one of them is closed,
or if a message or an event does not come, in its order, as it was sent.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtests.compare import machine
from loadtests.compare.table import row
from loadtests.latency import percentile
from loadtests.tunnels.delays import echoes, events
from loadtests.tunnels.reloads import Outcome, Reloading, hold
from loadtests.tunnels.ways import DIRECT, GWD, Way, start_service, there

RELOADED = "gwd, reloading every 200 ms"
Found = dict[str, list[float]]


def table(what: str, found: Mapping[str, Sequence[float]]) -> str:
    """Markdown, in µs."""
    columns = (what, "samples", "p50 µs", "p99 µs", "added at p50", "added at p99")
    lines = [row(columns), row(["---"] * len(columns))]
    direct = [percentile(found[DIRECT], which) * 1e6 for which in (50, 99)]
    for name, values in found.items():
        own = [percentile(values, which) * 1e6 for which in (50, 99)]
        added = ["", ""]
        if name != DIRECT:
            added = [f"{mine - base:.0f}" for mine, base in zip(own, direct, strict=True)]
        lines.append(row((name, str(len(values)), *(f"{value:.0f}" for value in own), *added)))
    return "\n".join(lines)


def words(outcome: Outcome) -> str:
    return (
        f"{outcome.tunnels} tunnels and {outcome.streams} event streams through gwd, while it "
        f"reloaded {outcome.reloads} times: **{outcome.closed} closed**, "
        f"**{outcome.wrong} messages or events lost or out of order**, of {outcome.messages} "
        f"messages and {outcome.events} events."
    )


def measure(ways: Mapping[str, Way], service: int, options: argparse.Namespace) -> list[Found]:
    """The round trips and the delays of events, by way."""
    names = [DIRECT, *ways, RELOADED]
    found: list[Found] = [{name: [] for name in names} for _ in range(2)]
    count = math.ceil(options.samples / options.turns)
    for _ in range(options.turns):
        for name in names:
            port = service if name == DIRECT else ways[GWD if name == RELOADED else name].port
            with ExitStack() as stack:
                if name == RELOADED:
                    stack.enter_context(Reloading(ways[GWD]))
                found[0][name] += echoes(port, count, options.rate)
                found[1][name] += events(port, count, options.rate)
    return found


def keep(directory: Path, sections: Sequence[str], meta: Mapping[str, Any]) -> None:
    """Write report.md and meta.json into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    title = f"# WebSocket and event streams, {str(meta['started'])[:10]}"
    (directory / "report.md").write_text("\n\n".join([title, *sections]) + "\n")
    machine.keep(directory, meta)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.tunnels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", type=int, default=2000, help="of each way and kind")
    parser.add_argument("--rate", type=float, default=400, help="messages and events per second")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--held", type=int, default=20, help="tunnels, and as many streams")
    parser.add_argument("--seconds", type=float, default=10, help="for which they are held")
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep a report there")
    options = parser.parse_args()
    peers = there()
    meta = machine.meta("loadtests.tunnels", machine.programs(*peers))
    with tempfile.TemporaryDirectory(prefix="gwd-tunnels-") as name, ExitStack() as stack:
        room = Path(name)
        room.chmod(0o755)
        service = start_service(room / "service")
        stack.callback(service.stop)
        ways = {}
        for peer in (GWD, *peers):
            ways[peer] = Way(peer, room / peer, service.port)
            stack.callback(ways[peer].stop)
        trips, delays = measure(ways, service.port, options)
        outcome = hold(ways[GWD], options.held, options.held, options.seconds)
    sections = [
        table("a message there and back", trips),
        table("an event on its way", delays),
        words(outcome),
    ]
    print("\n\n".join(sections))
    if options.report:
        about = (
            f"One client, one connection, {options.rate:g} messages or events per second, "
            f"{options.turns} turns. Added: the percentile less that of the straight way."
        )
        keep(options.report, [about, machine.words(meta), *sections], meta)
    sys.exit(0 if outcome.good else 1)


if __name__ == "__main__":
    main()
