"""python -m loadtests.scale: what a request costs as the gateway has more to know.

CPU µs per request over connections, routes, endpoints and tracked addresses, with one and with two
workers, and memory per idle connection and per thousand routes. Sizes of one axis take turns in one
run; compare nothing across runs. All load goes to loopback and ends by itself; all of it takes
about eight minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gwd
from loadtests.compare import machine
from loadtests.limits.report import Show
from loadtests.scale import growth, memory
from loadtests.scale.axes import AXES
from loadtests.scale.service import start_service

MEMORY = "memory"


def main() -> None:
    names = [axis.name for axis in AXES] + [MEMORY]
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("axes", nargs="*", metavar="axis", help=f"of {', '.join(names)}; or all")
    parser.add_argument("--seconds", type=float, default=2, help="of a window")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep a report there")
    options = parser.parse_args()
    wanted = options.axes or names
    if unknown := set(wanted) - set(names):
        parser.error(f"no axis named {', '.join(sorted(unknown))}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # wrk and the gateway inherit it
    found = machine.meta("loadtests.scale", {"gwd": gwd.__version__})
    shows: list[Show] = []
    with tempfile.TemporaryDirectory(prefix="gwd-scale-") as name:
        room = Path(name)
        room.chmod(0o755)
        service = start_service(room / "service")
        try:
            how = service.port, options.seconds, options.rounds, room
            for workers in options.workers:
                chosen = [axis for axis in AXES if axis.name in wanted]
                shows.extend(growth.show(axis, workers, *how) for axis in chosen)
            if MEMORY in wanted:
                shows.append(memory.show(service.port, room))
        finally:
            service.stop()
    print("\n" + "\n\n".join(show.markdown() for show in shows))
    if options.report:
        keep(options.report, shows, found, options.rounds, options.seconds)


def keep(
    directory: Path, shows: Sequence[Show], meta: Mapping[str, Any], rounds: int, seconds: float
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    method = (
        f"Per size {rounds} windows of {seconds:g} s in turns, lowest and highest; CPU is user and "
        "system time of the gateway's whole process tree, requests are those it counted. wrk, "
        "service and gateway share the cores, so rates say little."
    )
    sections = [
        f"# Scale, {str(meta['started'])[:10]}",
        method,
        machine.words(meta),
        *(show.markdown() for show in shows),
    ]
    (directory / "report.md").write_text("\n\n".join(sections) + "\n")
    plain = [
        {
            "name": show.name,
            "rows": [dict(zip(show.columns, row, strict=True)) for row in show.rows],
            "notes": show.notes,
        }
        for show in shows
    ]
    (directory / "scale.json").write_text(json.dumps(plain, indent=1) + "\n")
    machine.keep(directory, meta)


if __name__ == "__main__":
    main()
