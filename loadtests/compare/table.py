"""Markdown tables of a run: per work and peer what it cost, and gwd's cost over the peer's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loadtests.compare import rounds as of_rounds
from loadtests.compare.rounds import Round

COLUMNS = (
    "work",
    "peer",
    "CPU µs/request",
    "gwd ÷ peer",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "MiB",
)


def table(rounds: Sequence[Round], parts: Mapping[str, int] | None = None) -> str:
    """A row per work and peer. `parts`: works in which a request is several to the service; they
    have the cost per part as well."""
    works, peers = of_rounds.names(rounds)
    lines = [row(COLUMNS), row(["---"] * len(COLUMNS))]
    for work in works:
        for peer in peers:
            mine = of_rounds.of(rounds, work, peer)
            if mine:
                lines.append(row(_cells(rounds, mine, (parts or {}).get(work, 1))))
    return "\n".join(lines)


def _cells(rounds: Sequence[Round], mine: Sequence[Round], parts: int) -> list[str]:
    work, peer = mine[0].work, mine[0].peer
    failed = "; ".join(sorted({r.load.errors for r in mine if r.load.errors})).replace("|", "/")
    cost = of_rounds.cost(rounds, work, peer)
    if cost is None:
        return [work, peer, f"failed: {failed}", *[""] * 5]
    low, high = cost
    text = f"{low:.1f}-{high:.1f}"
    if parts > 1:
        text += f" ({low / parts:.1f} per part)"
    if failed:
        count = len(mine) - len(of_rounds.good(mine))
        text += f" ({count} of {len(mine)} rounds failed: {failed})"
    ratio = of_rounds.ratio(rounds, work, peer)
    best = min(of_rounds.good(mine), key=lambda r: r.cpu_us)
    load = best.load
    return [
        work,
        peer,
        text,
        "" if ratio is None else f"{ratio:.2f}",
        f"{load.rate:.0f}",
        _ms(load.p50_ms),
        _ms(load.p99_ms),
        f"{best.memory_mib:.0f}",
    ]


def _ms(value: float | None) -> str:
    # Kept runs of before have 0.0 for what was not known.
    return f"{value:.2f}" if value else "-"


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
