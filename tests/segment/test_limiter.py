"""One bucket over all workers: what is admitted, what is refused, for how long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.segment import limiter as limiter_module
from gwd.segment.limiter import LONGEST, MOST_BURST, MOST_COUNT, NO_ADVANCE, SPARE, Limiter
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import (
    ALLOWED,
    CONTROLLER,
    LIMITED,
    TRACKED,
    WORKER,
    ProcessTable,
)
from gwd.segment.rows import COUNT_BITS, COUNT_MASK, TAG_MASK

KEY = b"abcd"
NOW = 5_000_000_000
SECOND = 1_000_000


def admitted(limiter, now, tries, key=KEY):
    return sum(limiter.admit(key, now) == 0 for _ in range(tries))


def own_cell(limiter):
    """The word of the limiter's own cell for KEY."""
    return limiter._recent[KEY][4]


def test_100_per_second_with_burst_50_admits_2050_in_20_s(make):
    segment = make(columns=4)
    limiters = [Limiter(segment, column, b"r", 100, 50) for column in range(4)]
    assert sum(
        limiters[step % 4].admit(KEY, NOW + step * 1000) == 0 for step in range(20_000)
    ) == pytest.approx(2050, abs=1)


def test_a_refusal_says_when_the_next_is_admitted(make):
    limiter = Limiter(make(columns=1), 0, b"r", 10, 5)
    now = NOW
    for step in range(200):
        now += step * 997 % 50_000
        wait = limiter.admit(KEY, now)
        if wait:
            assert wait <= 100_001
            assert limiter.admit(KEY, now + wait // 2) == wait - wait // 2
            if wait > 1:
                assert limiter.admit(KEY, now + wait - 1) == 1
            now += wait
            assert limiter.admit(KEY, now) == 0


def test_refused_requests_do_not_count(make):
    limiter = Limiter(make(columns=1), 0, b"r", 10, 5)
    assert admitted(limiter, NOW, 10_000) == 5
    assert admitted(limiter, NOW + SECOND // 2, 100) == 5


@pytest.mark.parametrize("columns", [4, 20])
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 19), st.integers(0, 400_000), st.integers(0, 2)), max_size=150
    ),
    rate=st.sampled_from([1, 7, 10, 100, 1000]),
    burst=st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_columns_together_are_one_bucket(columns, steps, rate, burst):
    """Against a bucket in real numbers: a request passes if and only if the level is below the
    burst (where that is not a matter of rounding)."""
    segment = Segment.create(Sizes(max_workers=8, max_ips=64, max_endpoints=1, max_routes=1))
    table = ProcessTable(segment)
    limiters = [
        Limiter(segment, table.claim(WORKER, slot, 1), b"r", rate, burst) for slot in range(columns)
    ]
    now = NOW
    levels = {}
    for column, gap, who in steps:
        now += gap
        level, then = levels.get(who, (0.0, now))
        level = max(0.0, level - rate * (now - then) / 1e6)
        passed = limiters[column % columns].admit(bytes([who] * 4), now) == 0
        if abs(level - burst) > 1e-6:
            assert passed == (level < burst)
        levels[who] = (level + 1 if passed else level, now)
    segment.close()


def test_rules_rates_and_kinds_of_keys_have_buckets_of_their_own(make):
    segment = make(columns=1)
    limiters = [
        Limiter(segment, 0, b"1", 1, 1),
        Limiter(segment, 0, b"2", 1, 1),
        Limiter(segment, 0, b"1", 2, 1),
        Limiter(segment, 0, b"1", 1, 2),
        Limiter(segment, 0, b"1", 1, 1, opaque=True),
    ]
    for limiter in limiters:
        assert limiter.admit(KEY, NOW) == 0
    assert limiters[0].admit(KEY, NOW) > 0


def test_the_same_rule_after_a_reload_goes_on_with_its_bucket(make):
    segment = make(columns=1)
    assert admitted(Limiter(segment, 0, b"r", 1, 5), NOW, 3) == 3
    assert admitted(Limiter(segment, 0, b"r", 1, 5), NOW, 5) == 2


def test_remaining_tells_and_touches_nothing(make):
    segment = make(columns=2)
    limiter, other = (Limiter(segment, column, b"r", 1, 5) for column in range(2))
    assert limiter.remaining(KEY, NOW) == 5
    assert ProcessTable(segment).total(TRACKED) == 0
    for left in (4, 3, 2, 1, 0):
        limiter.admit(KEY, NOW)
        assert limiter.remaining(KEY, NOW) == other.remaining(KEY, NOW) == left
    limiter.admit(KEY, NOW)
    assert limiter.remaining(KEY, NOW) == 0
    assert limiter.remaining(KEY, NOW + SECOND) == 1
    assert admitted(limiter, NOW + SECOND, 5) == 1
    assert limiter.remaining(KEY, NOW + 60 * SECOND) == 5


def test_remaining_is_right_where_a_row_was_lost_and_made_again_elsewhere(make):
    segment = make(columns=2, max_ips=8)
    limiter, other = (Limiter(segment, column, b"r", 1, 5) for column in range(2))
    limiter.admit(KEY, NOW)
    now = NOW + 10 * SECOND
    for number in range(8):
        other.admit(bytes([9, 9, 9, number]), now)
    assert limiter.remaining(KEY, now) == 5
    now += 10 * SECOND
    other.admit(bytes([8, 8, 8, 8]), now)  # takes another's row first
    assert admitted(other, now, 3) == 3
    assert limiter.remaining(KEY, now) == 2


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (1, 1 << 23)])
def test_what_is_no_rate_is_refused(make, rate, burst):
    with pytest.raises(ValueError, match="no rate"):
        Limiter(make(columns=1), 0, b"r", rate, burst)


def test_everything_is_accounted_for(make):
    segment = make(columns=2)
    limiters = [Limiter(segment, column, b"r", 1, 5) for column in range(2)]
    passed = sum(admitted(limiter, NOW, 4) for limiter in limiters)
    table = ProcessTable(segment)
    assert passed == 5
    assert (table.total(ALLOWED), table.total(LIMITED), table.total(TRACKED)) == (5, 3, 1)


def test_what_is_counted_in_advance_is_counted_for_all_and_taken_back_by_its_process(make):
    segment = make(columns=2)
    limiter, other = (Limiter(segment, column, b"r", 100, 500) for column in range(2))
    table = ProcessTable(segment)
    assert limiter.advance(KEY, 10, NOW) == NO_ADVANCE, "nobody was admitted"
    assert limiter.admit(KEY, NOW) == 0
    count, at_start, start = limiter.advance(KEY, 10, NOW)
    assert (count, segment.words[at_start]) == (10, start)
    assert other.remaining(KEY, NOW) == 489
    assert table.total(ALLOWED) == 1
    limiter.settle(KEY, start, 4, 6)
    assert other.remaining(KEY, NOW) == 495
    assert table.total(ALLOWED) == 5


@pytest.mark.parametrize("columns", [1, 3, 12])
def test_all_processes_together_count_a_part_of_what_is_left_in_advance_at_most(make, columns):
    segment = make(columns=columns)
    limiters = [Limiter(segment, column, b"r", 1000, 1000) for column in range(columns)]
    for limiter in limiters:
        assert limiter.admit(KEY, NOW) == 0
    left = limiters[0].remaining(KEY, NOW)
    counted = sum(limiter.advance(KEY, 1000, NOW)[0] for limiter in limiters)
    assert 0 < counted <= left / SPARE
    assert limiters[0].remaining(KEY, NOW) == left - counted
    # Where little is left, everybody is judged one by one.
    assert admitted(limiters[0], NOW, left) == left - counted
    assert limiters[0].advance(KEY, 1000, NOW) == NO_ADVANCE


def test_what_was_counted_in_advance_ends_with_its_bucket(make):
    segment = make(columns=2)
    limiter, other = (Limiter(segment, column, b"r", 100, 500) for column in range(2))
    limiter.admit(KEY, NOW)
    _, at_start, start = limiter.advance(KEY, 10, NOW)
    later = NOW + 60 * SECOND
    assert other.admit(KEY, later) == 0
    assert segment.words[at_start] != start
    assert other.remaining(KEY, later) == 499
    limiter.settle(KEY, start, 0, 10)
    assert other.remaining(KEY, later) == 499
    limiter.admit(KEY, later)
    limiter.settle(KEY, start, 0, 1)
    assert other.remaining(KEY, later) == 498


def test_what_was_counted_in_advance_ends_with_its_row(make):
    segment = make(columns=2, max_ips=8)
    limiter, other = (Limiter(segment, column, b"r", 100, 500) for column in range(2))
    limiter.admit(KEY, NOW)
    _, at_start, start = limiter.advance(KEY, 10, NOW)
    later = NOW + 60 * SECOND
    for number in range(8):
        other.admit(bytes([9, 9, 9, number]), later)
    assert segment.words[at_start] != start
    before = segment.words.tobytes()
    limiter.settle(KEY, start, 0, 10)
    assert segment.words.tobytes() == before


def test_no_more_is_counted_in_advance_than_falls_in_within_a_second(make):
    limiter = Limiter(make(columns=1), 0, b"r", 7.5, 1000)
    limiter.admit(KEY, NOW)
    assert limiter.advance(KEY, 100, NOW)[0] == 7
    rare = Limiter(make(columns=1), 0, b"r", 0.5, 1000)
    rare.admit(KEY, NOW)
    assert rare.advance(KEY, 100, NOW) == NO_ADVANCE


def test_a_full_cell_is_counted_no_further_in_advance(make):
    segment = make(columns=1)
    limiter = Limiter(segment, 0, b"r", 1e6, MOST_BURST)
    limiter.admit(KEY, NOW)
    segment.words[own_cell(limiter)] += MOST_COUNT
    assert limiter.advance(KEY, 10, NOW + 10 * SECOND) == NO_ADVANCE


def test_a_crash_refunds_nobody(make):
    """What a dead process admitted stays counted, before its column is reused and after."""
    segment = make(columns=2)
    table = ProcessTable(segment)
    assert admitted(Limiter(segment, 1, b"r", 1, 50), NOW, 40) == 40
    table.release(1)
    survivor = Limiter(segment, 0, b"r", 1, 50)
    assert survivor.remaining(KEY, NOW) == 10
    assert admitted(survivor, NOW, 5) == 5
    assert table.claim(CONTROLLER, 0, 1) == 1
    assert survivor.remaining(KEY, NOW) == 5
    table.release(1)
    assert table.claim(WORKER, 0, 1) == 1
    assert admitted(Limiter(segment, 1, b"r", 1, 50), NOW, 10) == 5


def test_cells_of_an_earlier_bucket_count_for_nobody_in_a_reused_column(make):
    segment = make(columns=2)
    table = ProcessTable(segment)
    assert admitted(Limiter(segment, 1, b"r", 1, 50), NOW, 40) == 40
    table.release(1)
    now = NOW + 60 * SECOND
    survivor = Limiter(segment, 0, b"r", 1, 50)
    assert survivor.admit(KEY, now) == 0  # a new bucket
    assert table.claim(WORKER, 0, 1) == 1
    assert survivor.remaining(KEY, now) == 49
    successor = Limiter(segment, 1, b"r", 1, 50)
    assert admitted(successor, now, 60) == 49


def test_a_request_that_began_before_the_bucket_is_judged_as_of_now(make):
    """Its head came slowly; meanwhile others were admitted."""
    limiter = Limiter(make(columns=1), 0, b"r", 1, 5)
    assert admitted(limiter, NOW, 3) == 3
    assert limiter.admit(KEY, NOW - 10 * SECOND) == 0
    assert limiter.admit(KEY, NOW) == 0
    assert limiter.admit(KEY, NOW - 10 * SECOND) == 1
    assert limiter.admit(KEY, NOW + SECOND) == 0


def test_a_start_never_goes_back(make):
    """It would come upon tags that it has had. Here nobody was counted yet: who began the bucket
    was killed."""
    segment = make(columns=1)
    limiter = Limiter(segment, 0, b"r", 1, 5)
    limiter.admit(KEY, NOW)
    at_start, own = limiter._recent[KEY][1], own_cell(limiter)
    segment.words[own] = 0
    assert admitted(limiter, NOW - SECOND, 6) == 5
    assert segment.words[at_start] == NOW


def test_a_cell_of_a_younger_tag_counts_for_nobody(make):
    """Tags come round every 12.7 days: then an old cell bears a larger one than the bucket."""
    segment = make(columns=2)
    one, two = (Limiter(segment, column, b"r", 1, 5) for column in range(2))
    before = 7 * (TAG_MASK + 1) - 100
    assert admitted(one, before, 5) == 5
    after = before + 100 * SECOND
    assert after & TAG_MASK < before & TAG_MASK
    assert admitted(two, after, 10) == 5
    assert admitted(one, after, 10) == 0


def test_a_full_count_is_rebased_and_keeps_its_level(make):
    segment = make(columns=2)
    one, two = (Limiter(segment, column, b"r", 1000, 100) for column in range(2))
    one.admit(KEY, NOW)
    now = NOW + MOST_COUNT * 1000 - 20_000  # 20 tokens are left of so many
    segment.words[own_cell(one)] = (NOW & TAG_MASK) << COUNT_BITS | MOST_COUNT
    assert one.remaining(KEY, now) == two.remaining(KEY, now) == 80
    assert one.admit(KEY, now) == 0
    assert segment.words[own_cell(one)] & COUNT_MASK == 21
    assert one.remaining(KEY, now) == two.remaining(KEY, now) == 79
    assert admitted(two, now, 100) == 79


def test_a_bucket_that_never_emptied_is_rebased_daily(make):
    segment = make(columns=2)
    one, two = (Limiter(segment, column, b"r", 1 / 3600, 100) for column in range(2))
    assert admitted(one, NOW, 100) == 100
    now = NOW + LONGEST + 1800 * SECOND  # 24.5 hours: 75.5 are left
    assert one.remaining(KEY, now) == 25
    assert one.admit(KEY, now) == 0
    start = segment.words[one._recent[KEY][1]]
    assert now - 3600 * SECOND < start <= now
    assert one.remaining(KEY, now) == two.remaining(KEY, now) == 24
    assert two.remaining(KEY, now + 1799 * SECOND) == 24
    assert two.remaining(KEY, now + 1801 * SECOND) == 25
    assert admitted(two, now, 100) == 24


@pytest.mark.plain
def test_what_a_process_remembers_is_bounded_and_a_flood_does_not_flush_it(make, monkeypatch):
    monkeypatch.setattr(limiter_module, "REMEMBERED", 16)
    segment = make(columns=1, max_ips=1024)
    limiter = Limiter(segment, 0, b"r", 100, 50)
    for number in range(500):
        limiter.admit(number.to_bytes(4, "big"), NOW + number)
        if number % 8 == 0:
            limiter.admit(KEY, NOW + number)
        assert len(limiter._recent) + len(limiter._old) <= 2 * 16
        assert KEY in limiter._recent or KEY in limiter._old
