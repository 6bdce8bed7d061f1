"""The last kept report beside this run: only ratios, which may be set side by side at all.

Costs of two runs are not comparable: another day, another machine, other neighbours. What gwd
costs over what a peer costs in the same run is, as far as the peer is the same; so a peer of
another version is named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.compare import rounds as of_rounds
from loadtests.compare.rounds import Round
from loadtests.compare.table import row
from loadtests.compare.wrk import Load

ROUNDS = "rounds.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """A report that was kept: where, when, by which versions, with which rounds."""

    name: str
    when: str
    versions: Mapping[str, str]
    rounds: Sequence[Round]


def last(reports: Path, but: Path | None = None) -> Kept | None:
    """The youngest comparison in a directory of reports, `but` for one; None if there is none."""
    found = [read(path.parent) for path in reports.glob(f"*/{ROUNDS}") if path.parent != but]
    return max(found, key=lambda kept: (kept.when, kept.name), default=None)


def read(report: Path) -> Kept:
    plain: dict[str, Any] = json.loads((report / ROUNDS).read_text())
    rounds = [Round(**{**r, "load": Load(**r["load"])}) for r in plain["rounds"]]
    return Kept(report.name, plain.get("started", plain["date"]), plain["versions"], rounds)


def compare(rounds: Sequence[Round], versions: Mapping[str, str], kept: Kept) -> str:
    """Markdown: gwd ÷ peer then and now, for what both runs have."""
    lines = [row(("work", "peer", "then", "now", "now ÷ then")), row(["---"] * 5)]
    works, peers = of_rounds.names(rounds)
    for work in works:
        for peer in peers:
            now = of_rounds.ratio(rounds, work, peer)
            then = of_rounds.ratio(kept.rounds, work, peer)
            if now is not None and then is not None:
                cells = (work, peer, f"{then:.2f}", f"{now:.2f}", f"{now / then:.2f}")
                lines.append(row(cells))
    if len(lines) == 2:
        return f"The last kept report, {kept.name}, has no work and peer in common with this run."
    text = f"gwd ÷ peer in {kept.name} (then) and in this run (now).\n\n" + "\n".join(lines)
    changed = [
        f"- {name}: {kept.versions[name]} → {version}"
        for name, version in versions.items()
        if kept.versions.get(name, version) != version
    ]
    return text + ("\n\nOther versions than then:\n\n" + "\n".join(changed) if changed else "")
