"""python -m loadtests.compare: start peers, let them take turns, report ratios.

The figure that counts is CPU µs per request of each proxy's whole process tree, lowest and highest
of the rounds of this run; rates and latencies also measure the load generator and the upstream.
Nothing is comparable across runs. A round with an error is reported as failed, not left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from loadtests.compare import history, machine
from loadtests.compare.peers import PEERS, Peer, another_gwd, start
from loadtests.compare.report import keep
from loadtests.compare.rounds import Round, failure
from loadtests.compare.running import Running
from loadtests.compare.service import start_service
from loadtests.compare.table import table
from loadtests.compare.tokens import Keys, make_keys
from loadtests.compare.work import WORKS, Work
from loadtests.compare.wrk import run

REPORTS = machine.ROOT / "loadtests" / "reports"


def measure(name: str, running: Running, work: Work, seconds: int, room: Path, keys: Keys) -> Round:
    before = running.cpu()
    load = run(work, running.port, seconds, room, keys.valid)
    cpu = (running.cpu() - before) * 1e6 / max(1, load.requests)
    return Round(name, work.name, cpu, running.memory() / 2**20, load)


def take_turns(
    peers: Sequence[Peer], works: Sequence[Work], seconds: int, count: int, room: Path
) -> Iterator[Round]:
    """All rounds: of each kind of work every peer that can do it is started, then they take turns
    on each work."""
    keys = make_keys()
    with ExitStack() as all_kinds:
        service = start_service(room / "service")
        all_kinds.callback(service.stop)
        for kind in dict.fromkeys(work.kind for work in works):
            wanted = [work for work in works if work.kind == kind]
            with ExitStack() as stack:
                running: dict[str, Running] = {}
                absent: list[Round] = []
                for peer in (p for p in peers if kind in p.writers):
                    place = room / f"{peer.name}-{kind}"
                    try:
                        proxy = start(peer, kind, wanted, place, service.port, keys)
                    except (RuntimeError, OSError) as error:
                        absent += [failure(peer.name, work.name, str(error)) for work in wanted]
                        continue
                    running[peer.name] = proxy
                    stack.callback(proxy.stop)
                for work in wanted:
                    for _ in range(count):
                        for name, proxy in running.items():
                            yield measure(name, proxy, work, seconds, room, keys)
                yield from absent


def versions(peers: Sequence[Peer]) -> dict[str, str]:
    found = {}
    for peer in peers:
        where = peer.find()
        if where is not None:
            found[peer.name] = machine.version((where, *peer.version))
    return found


def _chosen(text: str, there: Sequence[str], what: str) -> list[str]:
    wanted = text.split(",")
    if unknown := [name for name in wanted if name not in there]:
        raise SystemExit(f"no {what} named {', '.join(unknown)}; there are {', '.join(there)}")
    return wanted


def _named_python(parser: argparse.ArgumentParser, text: str) -> tuple[str, str]:
    name, _, python = text.partition("=")
    # Not resolved: an environment's interpreter is a link, and knows by its own name what it has.
    python = os.path.abspath(python)
    if not name or name in {p.name for p in PEERS} or not shutil.which(python):
        parser.error(f"--also {text}: that is no NAME=PYTHON")
    return name, python


def main() -> None:
    all_peers, all_works = [p.name for p in PEERS], [w.name for w in WORKS]
    parser = argparse.ArgumentParser(prog="python -m loadtests.compare", description=__doc__)
    parser.add_argument("--peers", default=",".join(all_peers))
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help="gwd as this interpreter has it installed, such as compiled=.venv-compiled/bin/python",
    )
    parser.add_argument("--works", default=",".join(all_works))
    parser.add_argument("--seconds", type=int, default=3, help="of a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep a report there")
    options = parser.parse_args()
    names = _chosen(options.peers, all_peers, "peer")
    works = [w for w in WORKS if w.name in _chosen(options.works, all_works, "work")]
    others = [another_gwd(*_named_python(parser, text)) for text in options.also]
    peers = [p for p in PEERS if p.name in names and p.find()]
    peers[1:1] = others
    if missing := set(names) - {p.name for p in peers}:
        print(f"not installed, left out: {', '.join(sorted(missing))}", file=sys.stderr)
    found = machine.meta("loadtests.compare", versions(peers))
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="gwd-compare-") as name:
        room = Path(name)
        room.chmod(0o755)
        for done in take_turns(peers, works, options.seconds, options.rounds, room):
            rounds.append(done)
            print(
                f"{done.work:10} {done.peer:8} {done.cpu_us:7.1f} µs "
                f"{done.load.rate:8.0f}/s {done.load.errors}",
                flush=True,
            )
    before = history.last(REPORTS, options.report and options.report.resolve())
    print("\n" + table(rounds, {w.name: w.parts for w in WORKS}))
    if before is not None:
        print("\n" + history.compare(rounds, found["versions"], before))
    if options.report:
        how = {"rounds": options.rounds, "seconds": options.seconds}
        keep(options.report, rounds, found, how, before)


if __name__ == "__main__":
    main()
