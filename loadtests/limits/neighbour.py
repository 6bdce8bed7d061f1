"""The neighbour: somebody with an address of its own who asks by the clock, whatever others do."""

from __future__ import annotations

from collections import Counter

from loadtests.limits.paced import Told

NEIGHBOUR, ASKS = "127.200.0.1", 50
"""Its address, and how often it asks in a second."""


def lost(seen: Told) -> str:
    """What became of requests that were not answered 200, if there are any."""
    found = Counter({str(status): n for status, n in seen.statuses.items() if status != 200})
    found += Counter({"cut": seen.cut, "silent": seen.silent, "unsent": seen.wanted - seen.offered})
    return f" ({told(found)})" if found else ""


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "-"
