"""python -m loadtests.limits: how exact, how dear and how firm the limits are.

    accuracy  one address asks ten times too often: what it is given, what its neighbour loses
    error     how much more than is due racing processes admit, at the worst arrivals
    cost      CPU per request with and without, beside nginx and HAProxy; beside Redis per decision
    floods    a neighbour, and the gateway, while somebody does their worst

All load goes to processes started here, on loopback or in a network namespace of its own, and ends
by itself; all of it takes less than six minutes. Nothing is comparable across runs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loadtests.compare import machine
from loadtests.limits import accuracy, cost, error, floods
from loadtests.limits.report import Show, keep

SHOWS = ("accuracy", "error", "cost", "floods")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.limits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("show", nargs="?", default="all", choices=(*SHOWS, "all"))
    parser.add_argument("--seconds", type=float, default=8, help="of each accuracy measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of cost")
    parser.add_argument("--tracked", type=int, default=1_000_000, help="addresses, for cost")
    parser.add_argument("--clients", type=int, default=1_000_000, help="of the flood of new ones")
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep a report there")
    options = parser.parse_args()
    meta = machine.meta(
        "loadtests.limits", machine.programs("nginx", "haproxy", "redis-server", "wrk")
    )
    print(machine.words(meta), flush=True)
    shows: list[Show] = []
    with tempfile.TemporaryDirectory(prefix="gwd-limits-") as name:
        room = Path(name)
        room.chmod(0o755)  # nginx's workers are another user's
        wanted = SHOWS if options.show == "all" else (options.show,)
        for show in _shows(wanted, room, options):
            shows.append(show)
            if options.report:  # what there is so far, should a later one fail
                keep(shows, options.report, meta)
    print("\n" + "\n\n".join(show.markdown() for show in shows))


def _shows(wanted: tuple[str, ...], room: Path, options: argparse.Namespace) -> Iterator[Show]:
    if "accuracy" in wanted:
        yield accuracy.show(room, options.seconds)
        yield accuracy.show_busy(room, options.seconds)
    if "error" in wanted:
        yield error.show(0.8, 3)
    if "cost" in wanted:
        yield cost.show(room, 1, options.rounds, options.tracked)
        yield cost.show_decisions(room, 0.7, 2)
    if "floods" in wanted:
        yield floods.show(room, floods.Scale(clients=options.clients))


if __name__ == "__main__":
    main()
