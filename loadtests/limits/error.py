"""error: how much more than is due several processes admit that share nothing but the segment.

No gateway and no network: forked processes, a column each, ask the limiter as workers do, at
instants that are steady, come in bursts, or are the worst there are. Due is rate x time + burst,
from the first judgement to the last. The bound that must hold is one request per process, and one
more per process that was killed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from gwd.segment.limiter import Limiter
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import ALLOWED, WORKER, ProcessTable
from loadtests.limits.beside import Beside
from loadtests.limits.report import Show

RATE, BURST = 100, 50
INTERVAL = 1_000_000 // RATE
"""µs in which a request's worth falls due."""
HEAD_START = 100_000
"""µs that processes have to be there before the first judgement."""
ONE_KEY = [b"\x7f\x00\x00\x02"]
CROWD = [bytes([10, 0, number, 1]) for number in range(12)]
"""More addresses than a bucket has rows: eight have their own, four share one."""
KILL_EVERY = 0.1

Instants = Callable[[int, int, int], Iterator[int]]
"""(begin, index of the process, processes) -> when it asks, monotonic µs, forever."""


def now_us() -> int:
    return time.monotonic_ns() // 1000


def steady(factor: float) -> Instants:
    def instants(begin: int, index: int, processes: int) -> Iterator[int]:
        between = processes * INTERVAL / factor
        number = 0
        while True:
            yield int(begin + (number + index / processes) * between)
            number += 1

    return instants


def on_and_off(begin: int, index: int, processes: int) -> Iterator[int]:
    """A tenth of a second at twenty times the rate, two tenths of nothing."""
    for at in steady(20)(0, index, processes):
        yield begin + at // 100_000 * 300_000 + at % 100_000


def at_refill(begin: int, _index: int, _processes: int) -> Iterator[int]:
    """All at the very µs at which the next request's worth falls due."""
    while True:
        yield begin
        begin += INTERVAL


def without_pause(begin: int, _index: int, _processes: int) -> Iterator[int]:
    """As often as they can: whoever runs asks within a µs or two of every refill."""
    while True:
        yield max(begin, now_us())


@dataclass(frozen=True, slots=True)
class Pattern:
    name: str
    instants: Instants
    keys: tuple[bytes, ...] = (ONE_KEY[0],)
    buckets: int = 1
    """Token buckets that there are to be filled."""
    burst: int = BURST
    kills: bool = False


PATTERNS = (
    Pattern("steady, 2 × the rate", steady(2)),
    Pattern("steady, 10 ×", steady(10)),
    Pattern("bursts of 20 ×, pauses", on_and_off),
    Pattern("all at the refill instants", at_refill),
    Pattern("without pause", without_pause),
    Pattern("without pause, burst 1", without_pause, burst=1),
    Pattern("12 addresses for 8 rows", steady(10), tuple(CROWD), 9),
    Pattern("10 ×, one killed every 0.1 s", steady(10), kills=True),
)


@dataclass(frozen=True, slots=True)
class Sample:
    admitted: int
    due: float
    kills: int

    @property
    def ratio(self) -> float:
        return self.admitted / self.due


def ask(
    segment: Segment, column: int, pattern: Pattern, begin: int, until: int, place: tuple[int, int]
) -> tuple[int, int]:
    """What one process does; the first and the last judgement."""
    limiter = Limiter(segment, column, b"r", RATE, pattern.burst)
    first, last = 0, now_us()
    for at in pattern.instants(begin, *place):
        if at >= until:
            return first or last, last
        now = now_us()
        if at < now - INTERVAL and pattern.kills:
            continue  # it was born later: what was due before it is not its own
        if at > now + 300:
            time.sleep((at - now - 200) / 1e6)
        while now < at:
            now = now_us()
        for key in pattern.keys:
            last = now_us()
            limiter.admit(key, last)
        first = first or last
    raise AssertionError("instants end")


def measure(pattern: Pattern, processes: int, seconds: float, chance: random.Random) -> Sample:
    sizes = Sizes(max_workers=processes, max_ips=8, max_endpoints=1, max_routes=1)
    segment = Segment.create(sizes)
    try:
        return _measure(segment, pattern, processes, seconds, chance)
    finally:
        segment.close()


def _measure(
    segment: Segment, pattern: Pattern, processes: int, seconds: float, chance: random.Random
) -> Sample:
    table = ProcessTable(segment)
    begin = now_us() + HEAD_START
    until = begin + int(seconds * 1e6)
    kills = 0
    with ExitStack() as stack:

        def start(slot: int) -> tuple[int, Beside[tuple[int, int]]]:
            column = table.claim(WORKER, slot, 1)
            place = (slot, processes)
            child = Beside(ask, segment, column, pattern, begin, until, place)
            return column, stack.enter_context(child)

        children = [start(slot) for slot in range(processes)]
        first, last = until, begin
        while pattern.kills and now_us() < until - KILL_EVERY * 1e6:
            time.sleep(KILL_EVERY)
            slot = chance.randrange(processes)
            column, child = children[slot]
            child.kill()
            kills += 1
            # The successor is there before the column of the dead is free, as with workers.
            children[slot] = start(slot)
            table.release(column)
            first, last = begin, until
        for _, child in children:
            early, late = child.result()
            first, last = min(first, early), max(last, late)
    due = pattern.buckets * (RATE * (last - first) / 1e6 + pattern.burst)
    return Sample(table.total(ALLOWED), due, kills)


def show(
    seconds: float,
    repetitions: int,
    processes: Sequence[int] = (2, 4, 8),
    patterns: Sequence[Pattern] = PATTERNS,
) -> Show:
    table = Show(
        "error",
        "How much more than is due",
        f"Real processes on one segment, {RATE}/s with burst {BURST}, {seconds:g} s each, "
        f"{repetitions} repetitions. Ratio: admitted ÷ due, lowest to highest. Above: the most "
        "requests admitted above what was due, and how many may be: one per process, one more per "
        "kill.",
        ("arrivals", "processes", "kills", "due", "ratio", "above", "may be"),
    )
    chance = random.Random(7)
    for pattern in patterns:
        for count in processes:
            samples = [measure(pattern, count, seconds, chance) for _ in range(repetitions)]
            ratios = [sample.ratio for sample in samples]
            worst = max(samples, key=lambda s: s.admitted - s.due)
            table.add(
                pattern.name,
                count,
                max(sample.kills for sample in samples),
                f"{worst.due:.0f}",
                f"{min(ratios):.4f}-{max(ratios):.4f}",
                f"{max(0.0, worst.admitted - worst.due):.1f}",
                pattern.buckets * count + worst.kills,
            )
    return table
