"""The table of a run: a row per attack."""

from __future__ import annotations

from collections import Counter

from loadtests.attacks.measure import Asked, Attack, Outcome
from loadtests.limits.neighbour import ASKS, lost, told
from loadtests.limits.report import Show

MIB = 1 << 20
METHOD = f"""One worker, a fresh gateway for each attack, nginx behind it. The neighbour asks {ASKS}
times a second from its own address, half of it on new connections, half on kept ones; a delay
counts from when a request was due. Answered: 200 of all it asked, before, during and after; p50/p99
in ms. MiB: the worker's own memory before, at most, after; kernel: what TCP sockets held at most,
on both sides. CPU: cores that the worker took. Attackers, neighbour, gateway and service share the
cores."""


def table() -> Show:
    return Show(
        "attacks",
        "What attacks do to a worker and to a neighbour",
        METHOD.replace("\n", " "),
        (
            "attack", "what it met", "open at once", "MiB", "kernel MiB", "CPU",
            "answered", "p50/p99 before", "during", "after",
        ),
    )  # fmt: skip


def add(show: Show, attack: Attack, outcome: Outcome) -> None:
    show.add(
        attack.name,
        met(outcome.met),
        outcome.connections,
        " → ".join(f"{size / MIB:.0f}" for size in outcome.rss),
        f"{outcome.kernel / MIB:.0f}",
        f"{outcome.cpu:.2f}",
        ", ".join(map(answered, (outcome.before, outcome.during, outcome.after))),
        *map(delays, (outcome.before, outcome.during, outcome.after)),
    )


def met(counts: Counter[str]) -> str:
    """How attackers ended, in words; how much they read does not matter."""
    return told(Counter({name: n for name, n in counts.items() if name != "bytes"}))


def answered(asked: Asked) -> str:
    """The share of what was asked that was answered 200, and what became of the rest."""
    both = asked.both
    share = both.good / both.wanted if both.wanted else 0.0
    return f"{share:.1%}{lost(both)}"


def delays(asked: Asked) -> str:
    both = asked.both
    return f"{both.quantile_ms(0.5):.1f}/{both.quantile_ms(0.99):.1f}"
