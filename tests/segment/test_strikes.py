"""Strikes: how often an address was refused lately, by all processes, whatever becomes of them."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.segment import layout
from gwd.segment.layout import ROW_WIDTH, WAYS
from gwd.segment.limiter import Limiter
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import WORKER, ProcessTable
from gwd.segment.strikes import Strikes

NOW = 5_000_000_000
SECOND = 1_000_000
WINDOW = 10 * SECOND
MOST = 100


def address(number):
    return bytes([10, number >> 8 & 255, number & 255, 1])


def strikes_of(segment, column=0, most=MOST):
    return Strikes(segment, column, most, WINDOW)


def marks(segment):
    places = segment.layout.addresses
    found = segment.words[places.start : places.end : ROW_WIDTH].tolist()
    return [mark for mark in found if mark]


def test_every_refusal_is_one_strike(make):
    strikes = strikes_of(make(columns=1))
    assert [strikes.strike(address(1), NOW + n) for n in range(5)] == [1, 2, 3, 4, 5]
    assert strikes.strike(address(2), NOW) == 1


def test_strikes_are_counted_over_all_processes(make):
    segment = make(columns=3)
    workers = [strikes_of(segment, column) for column in range(3)]
    counted = [workers[n % 3].strike(address(1), NOW + n) for n in range(9)]
    assert counted == list(range(1, 10))


def test_a_window_begins_with_the_first_strike_after_the_last_one_has_ended(make):
    segment = make(columns=2)
    one, two = strikes_of(segment, 0), strikes_of(segment, 1)
    assert [one.strike(address(1), NOW), two.strike(address(1), NOW + WINDOW)] == [1, 2]
    assert two.strike(address(1), NOW + WINDOW + 1) == 1
    assert one.strike(address(1), NOW + WINDOW + 2) == 2
    assert one.strike(address(1), NOW + 2 * WINDOW + 1) == 3


def test_a_strike_that_was_told_late_counts_in_the_window_that_runs(make):
    strikes = strikes_of(make(columns=1))
    strikes.strike(address(1), NOW)
    assert strikes.strike(address(1), NOW - SECOND) == 2


def test_the_columns_next_owner_goes_on_from_what_a_dead_one_counted(make):
    segment = make(columns=2)
    for _ in range(3):
        strikes_of(segment, 1).strike(address(1), NOW)
    ProcessTable(segment).release(1)
    assert strikes_of(segment, 0).strike(address(1), NOW) == 4


def test_strikes_and_requests_of_an_address_are_counted_apart(make):
    segment = make(columns=1)
    limiter, strikes = Limiter(segment, 0, b"r", 1, 3), strikes_of(segment)
    for _ in range(3):
        assert limiter.admit(address(1), NOW) == 0
    assert strikes.strike(address(1), NOW) == 1
    assert limiter.admit(address(1), NOW) > 0
    assert limiter.admit(address(1), NOW + SECOND) == 0


def test_ipv6_is_known_by_the_prefix_it_is_counted_by(make):
    segment = make(columns=1)
    strikes = Strikes(segment, 0, MOST, WINDOW, ipv6_prefix=56)
    strikes.strike((0x20010DB8 << 96).to_bytes(16, "big"), NOW)
    places = segment.layout.addresses
    rows = (segment.words[places.row(n) : places.row(n + 1)].tolist() for n in range(places.rows))
    (row,) = [row for row in rows if row[layout.ROW_MARK]]
    assert row[layout.ROW_KIND] == 6 << 8 | 56


def test_who_was_struck_least_makes_room_first(make):
    segment = make(columns=1, max_ips=WAYS)
    strikes = strikes_of(segment)
    for number in range(WAYS):
        for _ in range(MOST if number else 1):
            strikes.strike(address(number), NOW)
    assert strikes.strike(address(100), NOW + SECOND) == 1  # one strike is worth a tenth of it
    for number in range(1, WAYS):
        assert strikes.strike(address(number), NOW + SECOND) == MOST + 1


def test_for_whom_there_is_no_room_nothing_is_counted_and_nobody_is_pushed_out(make):
    segment = make(columns=1, max_ips=WAYS)
    strikes = strikes_of(segment, most=1)
    for number in range(WAYS):
        strikes.strike(address(number), NOW)
    for number in range(WAYS, 50):
        assert [strikes.strike(address(number), NOW + 1) for _ in range(3)] == [0, 0, 0]
    for number in range(WAYS):
        assert strikes.strike(address(number), NOW + 1) == 2


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 3),
        st.sampled_from([0, 1, SECOND, WINDOW // 2, WINDOW, WINDOW + 1, 3 * WINDOW]),
    ),
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_processes_together_count_as_one_list_of_times_would(steps):
    segment = Segment.create(Sizes(max_workers=4, max_ips=512, max_endpoints=1, max_routes=1))
    try:
        for slot in range(3):
            ProcessTable(segment).claim(WORKER, slot, os.getpid())
        workers = [strikes_of(segment, column) for column in range(3)]
        windows: dict[int, list[int]] = {}
        now = NOW
        for column, number, pause in steps:
            now += pause
            window = windows.setdefault(number, [now])
            if now - window[0] > WINDOW:
                window = windows[number] = [now]
            counted = len(window)  # the first entry stands for the start
            window.append(now)
            assert workers[column].strike(address(number), now) == counted
    finally:
        segment.close()


# processes that race, are killed, or stand still


@pytest.mark.parametrize("processes", [2, 4])
def test_racing_processes_lose_no_strike_of_a_window_that_runs(make, fork, processes):
    segment = make(columns=processes)
    strikes_of(segment).strike(address(1), NOW)
    read, write = os.pipe()

    def run(column):
        os.close(write)
        os.read(read, 1)  # all at once, when the last writer is gone
        strikes = strikes_of(segment, column)
        told = [strikes.strike(address(1), NOW + n) for n in range(3000)]
        assert told == sorted(told), "a strike was taken back"

    children = [fork(lambda column=column: run(column)) for column in range(processes)]
    os.close(write)
    assert [child.wait() for child in children] == [0] * processes
    os.close(read)
    assert strikes_of(segment).strike(address(1), NOW) == 3000 * processes + 2


def test_processes_that_begin_a_window_at_once_count_from_the_last_who_did(make, fork):
    """Nobody is ever told more than there were, and all of the last one's are there."""
    segment = make(columns=3)
    strikes = strikes_of(segment)
    strikes.strike(address(1), NOW)
    for _ in range(20):
        read, write = os.pipe()
        now = _next_window(segment)

        def run(column, read=read, write=write, now=now):
            os.close(write)
            os.read(read, 1)
            mine = strikes_of(segment, column)
            for number in range(50):
                mine.strike(address(1), now + number + column)

        children = [fork(lambda column=column: run(column)) for column in range(3)]
        os.close(write)
        assert [child.wait() for child in children] == [0, 0, 0]
        os.close(read)
        assert 50 <= strikes.strike(address(1), now + SECOND) - 1 <= 150


def _next_window(segment):
    places = segment.layout.addresses
    starts = segment.words[places.start + layout.ROW_START : places.end : ROW_WIDTH].tolist()
    return max(starts) + WINDOW + SECOND


def test_killed_at_random_processes_leave_counts_that_are_true(make, fork):
    """A small table and many addresses: rows change hands all the time."""
    segment = make(max_ips=4 * WAYS)
    table = ProcessTable(segment)
    chance = random.Random(3)

    def churn(column):
        strikes = Strikes(segment, column, 3, 2000)
        number = column
        while True:
            number += 7
            for _ in range(4):
                strikes.strike(address(number % 997), time.monotonic_ns() // 1000)

    def start():
        column = table.claim(WORKER, 0, 1)
        return column, fork(lambda: churn(column))

    workers = [start() for _ in range(3)]
    for _ in range(40):
        time.sleep(chance.uniform(0.001, 0.02))
        column, child = workers.pop(0)
        child.kill()
        table.release(column)
        workers.append(start())
    for _, child in workers:
        child.kill()

    assert len(set(marks(segment))) == len(marks(segment)), "an address has two rows"
    survivor = strikes_of(segment, table.claim(WORKER, 0, 1), most=3)
    later = time.monotonic_ns() // 1000 + 60 * SECOND
    for number in range(100):
        now = later + number * 2 * WINDOW
        assert [survivor.strike(address(number), now) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("known", [False, True], ids=["a new one", "one that was struck"])
def test_killed_before_any_line_of_its_code_a_process_has_struck_once_or_not_at_all(
    make, fork, known
):
    for line in range(200):
        segment = make(columns=2)
        ours, theirs = strikes_of(segment, 0), strikes_of(segment, 1)
        if known:
            ours.strike(address(1), NOW)
        child = fork(lambda t=theirs, n=line: _die_before(n, t))
        killed = child.wait() != 0
        assert ours.strike(address(1), NOW) - known in (1, 2)
        assert ours.strike(address(2), NOW) == 1
        assert len(set(marks(segment))) == len(marks(segment)) == 2
        if not killed:
            break
    else:
        raise AssertionError("the code has more lines than were tried")
    assert line > 12, "the code was not traced"


def _die_before(line, strikes):
    """Strike, killed before the `line`th line of the strikes' and the table's code."""
    seen = 0

    def trace(frame, event, _argument):
        nonlocal seen
        if not frame.f_code.co_filename.endswith(("segment/strikes.py", "segment/rows.py")):
            return None
        if event == "line":
            if seen == line:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1
        return trace

    sys.settrace(trace)
    strikes.strike(address(1), NOW)
    sys.settrace(None)


def test_a_stopped_holder_of_a_lock_costs_new_addresses_their_strikes_and_nobody_time(make, fork):
    segment = make(columns=1, max_ips=WAYS)
    strikes = strikes_of(segment)
    strikes.strike(address(1), NOW)
    read, write = os.pipe()

    def hold():
        fcntl.lockf(segment.fd, fcntl.LOCK_EX, 1, 0, os.SEEK_SET)
        os.write(write, b"x")
        signal.pause()

    child = fork(hold)
    os.read(read, 1)
    os.close(read)
    os.close(write)
    child.stop()
    assert strikes.strike(address(1), NOW) == 2
    assert [strikes.strike(address(2), NOW) for _ in range(2)] == [0, 0]
    child.kill()
    assert strikes.strike(address(2), NOW) == 1
