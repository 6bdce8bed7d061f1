"""The limiter over any history, against a model that does it all by hand.

The model is exact: intervals are powers of two in µs, so nothing is rounded anywhere. It knows a
table of one bucket of rows (so that rows are given away all the time), the shared row beside it,
columns that die and are reused, reloads, bans, and pauses from 1 µs to days.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gwd.segment.layout import WAYS
from gwd.segment.limiter import Limiter
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import (
    ALLOWED,
    COARSE,
    EVICTED,
    LIMITED,
    TRACKED,
    WORKER,
    NoColumn,
    ProcessTable,
)

SIZES = Sizes(max_workers=3, max_ips=WAYS, max_endpoints=1, max_routes=1)
KEYS = [bytes([10, 0, number // 4, number]) for number in range(20)]


class Bucket:
    """What a row holds: who has it, and when it is empty, in µs."""

    def __init__(self, key, now):
        self.key = key
        self.empty_at = now


class LimiterMachine(RuleBasedStateMachine):
    @initialize(interval=st.sampled_from([1 << 10, 1 << 20, 1 << 32]), burst=st.integers(1, 12))
    def begin(self, interval, burst):
        self.segment = Segment.create(SIZES)
        self.table = ProcessTable(self.segment)
        self.interval, self.burst = interval, burst
        self.limiters = {}
        self.now = 1 << 42
        self.rows = [None] * WAYS
        self.shared = None
        self.counts = dict.fromkeys((ALLOWED, LIMITED, TRACKED, EVICTED, COARSE), 0)
        self.start_process()

    def limiter(self, column):
        return Limiter(self.segment, column, b"r", 1e6 / self.interval, self.burst)

    def chosen(self, number):
        return sorted(self.limiters)[number % len(self.limiters)]

    @rule()
    def start_process(self):
        try:
            column = self.table.claim(WORKER, 0, 1)
        except NoColumn:
            assert len(self.limiters) == SIZES.columns
            return
        assert column not in self.limiters
        self.limiters[column] = self.limiter(column)

    @precondition(lambda self: len(self.limiters) > 1)
    @rule(number=st.integers(0, 50))
    def process_dies(self, number):
        column = self.chosen(number)
        del self.limiters[column]
        self.table.release(column)

    @rule(number=st.integers(0, 50))
    def reload(self, number):
        column = self.chosen(number)
        self.limiters[column] = self.limiter(column)

    @rule(
        gap=st.one_of(
            st.integers(1, 5000), st.integers(1, 30_000_000), st.integers(1, 300_000_000_000)
        )
    )
    def time_passes(self, gap):
        self.now += gap

    @rule(number=st.integers(0, 50), key=st.sampled_from(KEYS), tries=st.integers(1, 4))
    def requests(self, number, key, tries):
        for _ in range(tries):
            self.now += 1
            self.request(self.limiters[self.chosen(number)], key)

    def request(self, limiter, key):
        bucket = self.bucket_of(key)
        backlog = max(0, bucket.empty_at - self.now)
        depth = self.burst * self.interval
        wait = limiter.admit(key, self.now)
        if backlog < depth:
            assert wait == 0
            bucket.empty_at = self.now + backlog + self.interval
            self.counts[ALLOWED] += 1
        else:
            assert wait == backlog - depth + 1
            self.counts[LIMITED] += 1

    def bucket_of(self, key):
        for bucket in self.rows:
            if bucket is not None and bucket.key == key:
                return bucket
        if None in self.rows:
            number = self.rows.index(None)
        else:
            cold = [number for number, bucket in enumerate(self.rows) if bucket.empty_at < self.now]
            if not cold:
                self.counts[COARSE] += 1
                if self.shared is None:
                    self.shared = Bucket(None, self.now)
                return self.shared
            number = min(cold, key=lambda number: self.rows[number].empty_at)
            self.counts[EVICTED] += 1
        self.counts[TRACKED] += 1
        self.rows[number] = Bucket(key, self.now)
        return self.rows[number]

    @invariant()
    def counted(self):
        if hasattr(self, "counts"):
            assert {cell: self.table.total(cell) for cell in self.counts} == self.counts

    @invariant()
    def what_remains_is_told(self):
        if hasattr(self, "counts"):
            limiter = self.limiters[min(self.limiters)]
            for bucket in self.rows:
                if bucket is not None:
                    backlog = max(0, bucket.empty_at - self.now)
                    left = -(-(self.burst * self.interval - backlog) // self.interval)
                    assert limiter.remaining(bucket.key, self.now) == max(0, left)

    def teardown(self):
        if hasattr(self, "segment"):
            self.segment.close()


TestLimiter = LimiterMachine.TestCase
TestLimiter.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
