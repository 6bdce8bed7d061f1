"""One bucket over all workers, whatever they do at once, and however they end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.segment.limiter import Limiter
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import ALLOWED, COARSE, EVICTED, LIMITED, WORKER, ProcessTable

SIZES = Sizes(max_workers=4, max_ips=64, max_endpoints=4, max_routes=4)


def make(sizes: Sizes = SIZES, columns: int = 1) -> Segment:
    segment = Segment.create(sizes)
    table = ProcessTable(segment)
    for slot in range(columns):
        table.claim(WORKER, slot, os.getpid())
    return segment


@pytest.fixture
def segment() -> Iterator[Segment]:
    segment = make(columns=4)
    yield segment
    segment.close()


def test_a_burst_is_admitted_and_then_the_rate(segment: Segment) -> None:
    limiter = Limiter(segment, 0, b"r", 100, 50)
    now = 1_000_000
    assert sum(limiter.admit(b"abcd", now) == 0 for _ in range(200)) == 50
    admitted = 0
    for step in range(20_000):  # 20 s at 1,000/s
        admitted += limiter.admit(b"abcd", now + step * 1000) == 0
    assert abs(50 + admitted - 2050) <= 1


def test_a_refusal_says_when_the_next_is_admitted(segment: Segment) -> None:
    limiter = Limiter(segment, 0, b"r", 10, 1)
    assert limiter.admit(b"abcd", 5_000_000) == 0
    wait = limiter.admit(b"abcd", 5_000_000)
    assert limiter.admit(b"abcd", 5_000_000 + wait - 1000) > 0
    assert limiter.admit(b"abcd", 5_000_000 + wait) == 0


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 400_000), st.integers(0, 2)), max_size=200
    ),
    rate=st.sampled_from([1, 10, 100, 1000]),
    burst=st.integers(1, 60),
)
@settings(max_examples=100, deadline=None)
def test_columns_together_are_one_bucket(
    steps: list[tuple[int, int, int]], rate: int, burst: int
) -> None:
    """Against a bucket in exact numbers: a request passes if and only if its level is below the
    burst, up to what the table may round (it drops a level that has fallen to zero)."""
    segment = make(columns=4)
    limiters = [Limiter(segment, column, b"r", rate, burst) for column in range(4)]
    now = 10_000_000
    levels: dict[int, tuple[float, int]] = {}
    for column, gap, who in steps:
        now += gap
        level, then = levels.get(who, (0.0, now))
        level = max(0.0, level - rate * (now - then) / 1e6)
        admitted = limiters[column].admit(bytes([who] * 4), now) == 0
        if abs(level - burst) > 1e-6:
            assert admitted == (level < burst)
        levels[who] = (level + 1 if admitted else level, now)
    segment.close()


def test_rules_have_buckets_of_their_own(segment: Segment) -> None:
    one, other = Limiter(segment, 0, b"1", 1, 1), Limiter(segment, 0, b"2", 1, 1)
    assert one.admit(b"abcd", 1) == 0
    assert one.admit(b"abcd", 1) > 0
    assert other.admit(b"abcd", 1) == 0


def test_a_full_table_still_limits_and_counts() -> None:
    segment = make(Sizes(max_workers=1, max_ips=8, max_endpoints=1, max_routes=1))
    limiter = Limiter(segment, 0, b"r", 1, 5)
    admitted = 0
    for number in range(500):
        for _ in range(10):
            admitted += limiter.admit(bytes([10, 0, number // 256, number % 256]), 1_000_000) == 0
    table = ProcessTable(segment)
    assert table.total(COARSE) > 0
    assert admitted < 500 * 5 / 4, "neighbours share a limit once the table is full and warm"
    assert table.total(ALLOWED) == admitted
    assert table.total(LIMITED) == 5000 - admitted
    segment.close()


def test_cold_rows_make_room() -> None:
    segment = make(Sizes(max_workers=1, max_ips=8, max_endpoints=1, max_routes=1))
    limiter = Limiter(segment, 0, b"r", 100, 5)
    for number in range(100):
        now = 1_000_000 * (number + 1)
        for _ in range(5):
            assert limiter.admit(bytes([10, 0, 0, number]), now) == 0
        assert limiter.admit(bytes([10, 0, 0, number]), now) > 0
    assert ProcessTable(segment).total(EVICTED) == 92
    assert ProcessTable(segment).total(COARSE) == 0
    segment.close()


def _race(segment: Segment, column: int, end: float, out: int) -> None:
    limiter = Limiter(segment, column, b"r", 1000, 50)
    admitted = 0
    while (now := time.monotonic()) < end:
        admitted += limiter.admit(b"abcd", int(now * 1e6)) == 0
    os.write(out, admitted.to_bytes(8, "big"))


def test_racing_processes_admit_what_one_would(segment: Segment) -> None:
    read, write = os.pipe()
    start = time.monotonic()
    end = start + 1.0
    children = []
    for column in range(4):
        pid = os.fork()
        if not pid:
            try:
                _race(segment, column, end, write)
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    os.close(write)
    counts = os.read(read, 64)
    os.close(read)
    admitted = sum(int.from_bytes(counts[i : i + 8], "big") for i in range(0, len(counts), 8))
    # 1,050 are due. Processes that read at the same instant may each let one more through.
    assert 900 <= admitted <= 1050 * 1.1 + 8


def test_killed_at_any_instant_nothing_is_left_to_repair() -> None:
    segment = make(Sizes(max_workers=2, max_ips=64, max_endpoints=1, max_routes=1), columns=3)
    for round_number in range(20):
        pid = os.fork()
        if not pid:
            limiter = Limiter(segment, 1, b"r", 1, 5)
            number = 0
            while True:
                number += 1
                limiter.admit(number.to_bytes(4, "big"), time.monotonic_ns() // 1000)
        time.sleep(0.01 + round_number * 0.0007)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        limiter = Limiter(segment, 0, b"r%d" % round_number, 1, 5)
        now = time.monotonic_ns() // 1000
        for number in range(64):  # every lock can be had, every row works
            limiter.admit(number.to_bytes(4, "big"), now)
        fresh = b"\xff\xff\xff" + bytes([round_number])
        passed = [limiter.admit(fresh, now) == 0 for _ in range(8)]
        assert passed == sorted(passed, reverse=True)
    segment.close()
