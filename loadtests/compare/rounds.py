"""What a run brought: rounds, and what is read from those of one work and peer.

A round with an error has no cost that counts. The cost of a work is told as the lowest and the
highest of its good rounds; ratios are between the lowest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtests.compare.wrk import Load

OWN = "gwd"


@dataclass(frozen=True, slots=True)
class Round:
    peer: str
    work: str
    cpu_us: float
    memory_mib: float
    load: Load


def failure(peer: str, work: str, errors: str) -> Round:
    """A round that never began."""
    return Round(peer, work, 0.0, 0.0, Load(0, 0.0, None, None, " ".join(errors.split())[:300]))


def of(rounds: Iterable[Round], work: str, peer: str) -> list[Round]:
    return [r for r in rounds if (r.work, r.peer) == (work, peer)]


def good(rounds: Iterable[Round]) -> list[Round]:
    return [r for r in rounds if not r.load.errors]


def cost(rounds: Iterable[Round], work: str, peer: str) -> tuple[float, float] | None:
    """Lowest and highest CPU µs per request; None without a good round."""
    costs = [r.cpu_us for r in good(of(rounds, work, peer))]
    return (min(costs), max(costs)) if costs else None


def ratio(rounds: Sequence[Round], work: str, peer: str) -> float | None:
    """gwd's lowest cost over `peer`'s; None where one has none."""
    own, other = cost(rounds, work, OWN), cost(rounds, work, peer)
    return own[0] / other[0] if own and other and peer != OWN else None


def names(rounds: Iterable[Round]) -> tuple[list[str], list[str]]:
    """The works and the peers there are, each once, as they first came."""
    found = list(rounds)
    return list(dict.fromkeys(r.work for r in found)), list(dict.fromkeys(r.peer for r in found))
