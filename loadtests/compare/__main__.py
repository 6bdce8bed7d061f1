"""python -m loadtests.compare: start all peers, let them take turns, report ratios.

The figure that counts is CPU µs per request of each proxy's whole process tree, lowest and highest
of the rounds of this run; rates and latencies also measure the load generator and the upstream.
Nothing is comparable across runs. A round with an error is reported as failed, not left out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtests.compare.peers import PEERS, Running, program, start, start_upstream
from loadtests.compare.work import WORKS, Load, Work, run


@dataclass(frozen=True, slots=True)
class Round:
    peer: str
    work: str
    cpu_us: float
    memory_mib: float
    load: Load


def measure(name: str, running: Running, work: Work, seconds: int, room: Path) -> Round:
    before = running.cpu()
    load = run(work, running.port, seconds, room)
    cpu = (running.cpu() - before) * 1e6 / max(1, load.requests)
    return Round(name, work.name, cpu, running.memory() / 2**20, load)


def table(rounds: list[Round], works: list[str], peers: list[str]) -> str:
    """Markdown: per work and peer, lowest to highest CPU µs per request, and the ratio."""
    lines = [
        "| work | peer | CPU µs/request | gwd ÷ peer | requests/s | p50 ms | p99 ms | MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for work in works:
        own = _costs(rounds, work, "gwd")
        for peer in peers:
            costs = _costs(rounds, work, peer)
            mine = [r for r in rounds if (r.work, r.peer) == (work, peer)]
            failed = "; ".join(sorted({r.load.errors for r in mine if r.load.errors}))
            if not costs:
                lines.append(f"| {work} | {peer} | failed: {failed} | | | | | |")
                continue
            ratio = f"{min(own) / min(costs):.2f}" if own and peer != "gwd" else ""
            best = min((r for r in mine if not r.load.errors), key=lambda r: r.cpu_us)
            note = f" (a round failed: {failed})" if failed else ""
            lines.append(
                f"| {work} | {peer} | {min(costs):.1f}-{max(costs):.1f}{note} | {ratio} "
                f"| {best.load.rate:.0f} | {best.load.p50_ms:.2f} | {best.load.p99_ms:.2f} "
                f"| {best.memory_mib:.0f} |"
            )
    return "\n".join(lines)


def _costs(rounds: list[Round], work: str, peer: str) -> list[float]:
    return [r.cpu_us for r in rounds if (r.work, r.peer) == (work, peer) and not r.load.errors]


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0], "kernel": platform.release()}
    for peer in PEERS:
        where = program(peer.program)
        if where is not None:
            done = subprocess.run(
                (where, *peer.version[1:]), capture_output=True, text=True, check=False
            )
            text = (done.stdout + done.stderr).replace(where, peer.name)
            found[peer.name] = text.strip().splitlines()[0]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.compare", description=__doc__)
    parser.add_argument("--peers", default=",".join(p.name for p in PEERS))
    parser.add_argument("--works", default=",".join(w.name for w in WORKS))
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--report", type=Path, help="directory to keep the report in")
    options = parser.parse_args()
    wanted = options.peers.split(",")
    peers = [p for p in PEERS if p.name in wanted and program(p.program)]
    works = [w for w in WORKS if w.name in options.works.split(",")]
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="gwd-compare-") as name:
        room = Path(name)
        room.chmod(0o755)
        upstream = start_upstream(room / "upstream")
        running: dict[str, Running] = {}
        try:
            for peer in peers:
                running[peer.name] = start(peer, room / peer.name, upstream.port)
            for work in works:
                for _ in range(options.rounds):
                    for peer_name, proxy in running.items():
                        done = measure(peer_name, proxy, work, options.seconds, room)
                        rounds.append(done)
                        print(
                            f"{work.name:10} {peer_name:8} {done.cpu_us:7.1f} µs "
                            f"{done.load.rate:8.0f}/s {done.load.errors}",
                            flush=True,
                        )
        finally:
            for proxy in (*running.values(), upstream):
                proxy.stop()
    text = table(rounds, [w.name for w in works], [p.name for p in peers])
    print("\n" + text)
    if options.report:
        options.report.mkdir(parents=True, exist_ok=True)
        when, found = datetime.date.today().isoformat(), versions()
        method = (
            f"One run, {options.rounds} rounds of {options.seconds} s each, proxies taking turns, "
            "one worker each; lowest and highest round."
        )
        notes = "\n".join(f"- {name}: {version}" for name, version in found.items())
        (options.report / "report.md").write_text(
            f"# Comparison, {when}\n\n{method}\n\n{notes}\n\n{text}\n"
        )
        plain = {"date": when, "versions": found, "rounds": [asdict(r) for r in rounds]}
        (options.report / "rounds.json").write_text(json.dumps(plain, indent=1) + "\n")


if __name__ == "__main__":
    main()
