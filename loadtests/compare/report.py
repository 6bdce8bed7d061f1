"""A kept run: report.md for people, rounds.json and meta.json for programs, and the plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests.compare import history, machine, plots
from loadtests.compare import rounds as of_rounds
from loadtests.compare.history import Kept
from loadtests.compare.rounds import Round
from loadtests.compare.table import table
from loadtests.compare.work import WORKS

_METHOD = """\
One run, {rounds} rounds of {seconds} s of each work, proxies taking turns, one worker each. CPU is
user and system time of a proxy's whole process tree; the lowest and the highest round are told,
ratios are between the lowest. Rates and latencies also measure wrk and the service, which share the
cores. A round with an error is reported as failed. docs/benchmarks.md says what each work is."""


def keep(
    directory: Path,
    rounds: Sequence[Round],
    meta: Mapping[str, Any],
    how: Mapping[str, int],
    before: Kept | None,
) -> None:
    """Write the report into `directory`. `how`: rounds and seconds; `before`: the last report."""
    directory.mkdir(parents=True, exist_ok=True)
    started = str(meta["started"])
    works = set(of_rounds.names(rounds)[0])
    sections = [
        f"# Comparison, {started[:10]}",
        _METHOD.format(**how),
        machine.words(meta),
        "\n".join(f"- **{w.name}**: {w.about}" for w in WORKS if w.name in works),
        "![CPU per request](cpu.svg)",
        "![ratios](ratios.svg)",
        table(rounds, {w.name: w.parts for w in WORKS}),
    ]
    if before is not None:
        sections += ["## Beside the last report", history.compare(rounds, meta["versions"], before)]
    (directory / "report.md").write_text("\n\n".join(sections) + "\n")
    (directory / "cpu.svg").write_text(plots.costs(rounds))
    (directory / "ratios.svg").write_text(plots.ratios(rounds, before.rounds if before else ()))
    plain = {
        "date": started[:10],
        "started": started,
        "versions": meta["versions"],
        "rounds": [asdict(r) for r in rounds],
    }
    (directory / history.ROUNDS).write_text(json.dumps(plain, indent=1) + "\n")
    machine.keep(directory, {**meta, **how})
