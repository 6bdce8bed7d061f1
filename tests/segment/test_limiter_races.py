"""Several real processes on one bucket: what they admit together, whatever becomes of them.

Bounds. Due is rate x time + burst, with the time between the first and the last judgement. All
processes ask without pause, so nearly all of it must be admitted; above it is allowed what may be
admitted at the same instant: one request per process, and one more per process killed.
"""

from __future__ import annotations

import os
import random
import struct
import time

import pytest

from gwd.segment.layout import WAYS
from gwd.segment.limiter import Limiter
from gwd.segment.processes import ALLOWED, LIMITED, WORKER, ProcessTable

RATE, BURST = 2000, 500
"""The burst is a quarter of a second: that long a machine may stand still without a loss."""


def now_us():
    return time.monotonic_ns() // 1000


def hammer(segment, column, keys, until, out=None):
    """Ask without pause; write (first, last judgement, admitted) to the fd `out`."""
    limiter = Limiter(segment, column, b"r", RATE, BURST)
    first = now = now_us()
    admitted = 0
    while now < until:
        for key in keys:
            admitted += limiter.admit(key, now) == 0
        now = now_us()
    if out is not None:
        os.write(out, struct.pack("QQQ", first, now, admitted))


@pytest.mark.parametrize("processes", [2, 4, 12])
def test_racing_processes_admit_what_one_would(make, fork, processes):
    segment = make(columns=processes)
    read, write = os.pipe()
    until = now_us() + 1_200_000
    children = [
        fork(lambda column=column: hammer(segment, column, [b"abcd"], until, write))
        for column in range(processes)
    ]
    assert [child.wait() for child in children] == [0] * processes
    told = list(struct.iter_unpack("QQQ", os.read(read, 24 * processes)))
    os.close(read)
    os.close(write)
    span = max(last for _, last, _ in told) - min(first for first, _, _ in told)
    admitted = sum(count for _, _, count in told)
    due = RATE * span / 1e6 + BURST
    # One that was made to wait at its end tells so much later that it is over; what fell due
    # after `until` nobody asked for.
    asked_for = RATE * (until - min(first for first, _, _ in told)) / 1e6 + BURST
    assert 0.95 * asked_for <= admitted <= 1.01 * due + processes
    table = ProcessTable(segment)
    assert table.total(ALLOWED) == admitted
    assert table.total(LIMITED) > admitted


def test_killing_workers_all_the_time_admits_no_more(make, fork):
    """Each is replaced on the lowest free column, as the supervisor does it."""
    segment = make()
    table = ProcessTable(segment)
    chance = random.Random(5)
    begun = now_us()
    until = begun + 60_000_000

    def start():
        column = table.claim(WORKER, 0, 1)
        return column, fork(lambda: hammer(segment, column, [b"abcd"], until))

    workers = [start() for _ in range(3)]
    kills = 0
    while now_us() < begun + 2_000_000:
        time.sleep(chance.uniform(0.001, 0.08))
        column, child = workers.pop(chance.randrange(3))
        child.kill()
        kills += 1
        if chance.random() < 0.5:
            table.release(column)
            workers.append(start())
        else:  # the replacement is there before the column is free
            workers.append(start())
            table.release(column)
    for _, child in workers:
        child.kill()
    due = RATE * (now_us() - begun) / 1e6 + BURST
    assert kills > 10
    assert 0.9 * due <= table.total(ALLOWED) <= 1.01 * due + 4 + kills


def test_killed_while_they_make_and_lose_rows_processes_leave_a_table_that_works(make, fork):
    """A small table and many addresses: rows change hands all the time."""
    segment = make(max_ips=4 * WAYS)
    table = ProcessTable(segment)
    chance = random.Random(7)

    def churn(column):
        limiter = Limiter(segment, column, b"r", 1000, 3)
        number = column
        while True:
            number += 7
            key = (number % 997).to_bytes(4, "big")
            for _ in range(4):
                limiter.admit(key, now_us())

    def start():
        column = table.claim(WORKER, 0, 1)
        return column, fork(lambda: churn(column))

    workers = [start() for _ in range(3)]
    for _ in range(40):
        time.sleep(chance.uniform(0.001, 0.03))
        column, child = workers.pop(0)
        child.kill()
        table.release(column)
        workers.append(start())
    for _, child in workers:
        child.kill()

    places = segment.layout.addresses
    for bucket in range(segment.sizes.buckets):
        first = places.row(bucket * WAYS)
        marks = [mark for mark in segment.words[first : first + WAYS * 8 : 8].tolist() if mark]
        assert len(set(marks)) == len(marks), "an address has two rows"
    survivor = Limiter(segment, table.claim(WORKER, 0, 1), b"r", 1000, 3)
    later = now_us() + 60_000_000
    for number in range(100):
        now = later + number * 10_000
        passed = [survivor.admit(number.to_bytes(4, "big"), now) == 0 for _ in range(5)]
        assert passed == [True] * 3 + [False] * 2


def test_a_neighbour_below_its_rate_loses_nothing_to_a_flood(make, fork):
    segment = make(columns=3, max_ips=1024)
    until = now_us() + 1_000_000
    flood = [fork(lambda c=c: hammer(segment, c, [b"evil"], until)) for c in range(2)]
    limiter = Limiter(segment, 2, b"r", RATE, BURST)
    refused = asked = 0
    while now_us() < until:
        for _ in range(10):
            asked += 1
            refused += limiter.admit(b"good", now_us()) != 0
        time.sleep(0.01)
    for child in flood:
        child.wait()
    assert asked > 0
    assert refused == 0
