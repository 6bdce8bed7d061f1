"""python -m loadtests.scenarios: all locust scenarios, one after the other, with their reports.

Each is run as its own command line would run it, on a demo of its own; so what passes here passes
alone. The exit status is 1 if that of any scenario was not 0.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import gwd
from loadtests.compare import machine
from loadtests.compare.running import program
from loadtests.compare.table import row

NAMES = (
    "steady",
    "abuse",
    "tokens",
    "failover",
    "reload",
    "aggregate",
    "shapes/steps",
    "shapes/spike",
    "shapes/soak",
)
SAYS = ("requests ", "not good: ", "the abuser: ", "killed: ", "memory of ")
"""How lines begin in which a scenario says what came of it."""
LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    name: str
    status: int
    seconds: float
    said: tuple[str, ...]
    p50_ms: str
    p99_ms: str

    def cells(self) -> tuple[str, ...]:
        verdict = "good" if self.status == 0 else f"status {self.status}"
        took = f"{self.seconds:.0f} s"
        return self.name, verdict, took, "; ".join(self.said), self.p50_ms, self.p99_ms


def run(name: str, seconds: int, soak: int, reports: Path | None) -> Outcome:
    """Run one scenario; its HTML report goes into `reports`."""
    with tempfile.TemporaryDirectory(prefix="gwd-locust-") as room:
        command = [program("locust") or "locust", "-f", f"loadtests/{name}.py", "--headless"]
        command += ["--config", "loadtests/locust.conf", "--csv", f"{room}/stats"]
        if not name.startswith("shapes/"):  # they have times of their own
            command += ["--run-time", f"{seconds}s"]
        if reports is not None:
            command += ["--html", str(reports / f"{name.replace('/', '-')}.html")]
        environ = {k: v for k, v in os.environ.items() if k not in ("GWD_URL", "TOKEN")}
        begin = time.monotonic()
        done = subprocess.run(
            command,
            cwd=machine.ROOT,
            env={**environ, "SOAK": str(soak)},
            capture_output=True,
            text=True,
            timeout=LONGEST + soak,
            check=False,
        )
        said = tuple(
            line
            for line in done.stdout.splitlines()
            if line.startswith(SAYS) or line.endswith((" reloads", " without the cart"))
        )
        if done.returncode and not said:
            said = tuple(done.stderr.splitlines()[-3:])
        p50, p99 = _percentiles(Path(f"{room}/stats_stats.csv"))
        return Outcome(name, done.returncode, time.monotonic() - begin, said, p50, p99)


def _percentiles(stats: Path) -> tuple[str, str]:
    """Of all requests together, ms."""
    if stats.exists():
        with stats.open(newline="") as file:
            for found in csv.DictReader(file):
                if found["Name"] == "Aggregated":
                    return found["50%"], found["99%"]
    return "", ""


def table(outcomes: list[Outcome]) -> str:
    columns = ("scenario", "verdict", "took", "what came of it", "p50 ms", "p99 ms")
    lines = [row(columns), row(["---"] * len(columns))]
    return "\n".join(lines + [row(outcome.cells()) for outcome in outcomes])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.scenarios", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; or all")
    parser.add_argument("--seconds", type=int, default=30, help="of each, but for the shapes")
    parser.add_argument("--soak", type=int, default=180, help="seconds of the soak")
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep HTML and report.md there")
    options = parser.parse_args()
    names = options.names or list(NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"no scenario named {', '.join(sorted(unknown))}")
    versions = {"gwd": gwd.__version__, "locust": metadata.version("locust")}
    meta = machine.meta("loadtests.scenarios", versions)
    reports = options.report.resolve() if options.report else None
    if reports is not None:
        reports.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for name in names:
        outcomes.append(run(name, options.seconds, options.soak, reports))
        print(row(outcomes[-1].cells()), flush=True)
    if reports is not None:
        sections = [f"# Scenarios, {meta['started'][:10]}", machine.words(meta), table(outcomes)]
        (reports / "report.md").write_text("\n\n".join(sections) + "\n")
        machine.keep(reports, meta)
    sys.exit(1 if any(outcome.status for outcome in outcomes) else 0)


if __name__ == "__main__":
    main()
