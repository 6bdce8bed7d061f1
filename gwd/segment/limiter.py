"""Token buckets over all workers, without a lock on the path.

A row of the table is one bucket. It holds the bucket's start E (µs, monotonic) in one word; every
process has one cell for it, in its own column, which holds E's low 40 bits and a count of what the
process admitted since. The bucket's level is

    sum of the counts whose tag is E's  -  rate * (now - E)

At or below zero a new bucket starts (E = now); below `burst` a request is admitted and counted;
else it is refused, and not counted. The start is the generation: nothing is ever set back, a cell
with another tag counts for nobody, and a process killed between two instructions leaves a table
that means what it meant before.

Rows lie in buckets of `WAYS`, chosen by a keyed hash of rule and address, so no client can choose
whom to push out. A missing row is made under a POSIX lock on its bucket's byte, which dies with
its holder. It takes the place of the coldest row; if all are warm, the address is limited together
with its neighbours (/24, /48), and that is counted: a full table never stops limiting (SEC-42).
"""

from __future__ import annotations

import fcntl
import os
from hashlib import blake2b

from gwd.segment import layout
from gwd.segment.memory import Segment
from gwd.segment.processes import ALLOWED, COARSE, EVICTED, LIMITED, TRACKED, ProcessTable

COUNT_BITS = 24
COUNT_MASK = (1 << COUNT_BITS) - 1
TAG_MASK = (1 << 40) - 1
MOST_COUNT = 1 << 23
"""A process's count at which the bucket is rebased."""
LONGEST = 86_400_000_000
"""µs after which a bucket that never emptied is rebased: tags repeat after 12 days."""
REMEMBERED = 65536
"""Addresses whose row a process remembers; then it forgets them all."""

KEY, START, ADDRESS_HIGH, ADDRESS_LOW, KIND, BAN_UNTIL, BAN_FROM, BAN_REASON = range(8)


class Limiter:
    """One rule, as seen by the process that owns `column`.

    `rule` names the rule with its rate: another rate has buckets of its own. `per_second` and
    `burst` are those of the bucket.
    """

    def __init__(
        self, segment: Segment, column: int, rule: bytes, per_second: float, burst: int
    ) -> None:
        self._segment = segment
        self._words = segment.words
        self._addresses = segment.layout.addresses
        self._cells = segment.layout.address_cells
        self._buckets = segment.sizes.buckets
        self._column = column
        self._rate = per_second / 1e6  # per µs
        self._burst = burst
        self._hash_key = segment.secret
        self._rule = rule
        self._known: dict[bytes, tuple[int, int, int]] = {}
        self._counts = [
            ProcessTable(segment).cell(column, c)
            for c in (ALLOWED, LIMITED, EVICTED, COARSE, TRACKED)
        ]

    def admit(self, key: bytes, now_us: int) -> int:
        """Judge a request of the address `key` (4 or 16 bytes) at `now_us` (monotonic µs).

        Returns 0 if it is admitted, else the µs until one would be.
        """
        words = self._words
        known = self._known.get(key)
        if known is None or words[known[0]] != known[2]:
            known = self._find(key, now_us)
        row, cells, _ = known
        start = words[row + 1]
        tag = start & TAG_MASK
        level = 0
        for cell in words[cells : cells + words[layout.HEAD_COLUMNS_USED]].tolist():
            if cell >> COUNT_BITS == tag:
                level += cell & COUNT_MASK
        elapsed = now_us - start
        rest = level - self._rate * elapsed
        own = cells + self._column
        if rest <= 0:
            words[row + 1] = now_us
            words[own] = (now_us & TAG_MASK) << COUNT_BITS | 1
        elif rest < self._burst:
            cell = words[own]
            count = cell & COUNT_MASK if cell >> COUNT_BITS == tag else 0
            if count >= MOST_COUNT or elapsed > LONGEST:
                words[row + 1] = now_us
                words[own] = (now_us & TAG_MASK) << COUNT_BITS | int(rest) + 1
            else:
                words[own] = tag << COUNT_BITS | count + 1
        else:
            words[self._counts[1]] += 1
            return max(1, int((rest - self._burst) / self._rate) + 1)
        words[self._counts[0]] += 1
        return 0

    def remaining(self, key: bytes, now_us: int) -> int:
        """Requests that would be admitted at once; the bucket is not touched."""
        bucket, mark = self._place(key)
        row = self._row_of(bucket, mark)
        if row is None:
            return self._burst
        return max(0, int(self._burst - max(0.0, self._level(row, now_us))))

    def _level(self, row: int, now_us: int) -> float:
        words = self._words
        start = words[row + START]
        cells = self._cells_of(row)
        level = 0
        for cell in words[cells : cells + words[layout.HEAD_COLUMNS_USED]].tolist():
            if cell >> COUNT_BITS == start & TAG_MASK:
                level += cell & COUNT_MASK
        return level - self._rate * (now_us - start)

    def _place(self, key: bytes) -> tuple[int, int]:
        """The bucket in which `key` may stand, and the mark of its row."""
        digest = blake2b(self._rule + b"\0" + key, digest_size=16, key=self._hash_key).digest()
        mark = int.from_bytes(digest[:8], "big") or 1
        return int.from_bytes(digest[8:], "big") % self._buckets, mark

    def _row_of(self, bucket: int, mark: int) -> int | None:
        first = self._addresses.row(bucket * layout.WAYS)
        for row in range(first, first + layout.WAYS * layout.ADDRESS_WIDTH, layout.ADDRESS_WIDTH):
            if self._words[row] == mark:
                return row
        return None

    def _cells_of(self, row: int) -> int:
        return self._cells.row((row - self._addresses.start) // layout.ADDRESS_WIDTH)

    def _find(self, key: bytes, now_us: int) -> tuple[int, int, int]:
        """The row of `key`, made if need be; (row, first cell, mark)."""
        bucket, mark = self._place(key)
        row = self._row_of(bucket, mark)
        if row is None:
            row = self._make(bucket, mark, key, now_us)
        if row is None:
            # All its bucket is warm: it shares a limit with its neighbours.
            self._words[self._counts[3]] += 1
            coarse = key[:3] if len(key) == 4 else key[:6]
            bucket, mark = self._place(coarse)
            row = self._row_of(bucket, mark)
            if row is None:
                row = self._make(bucket, mark, coarse, now_us, force=True)
            assert row is not None
            return row, self._cells_of(row), mark  # not remembered: room may come
        found = (row, self._cells_of(row), mark)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = found
        return found

    def _make(
        self, bucket: int, mark: int, key: bytes, now_us: int, *, force: bool = False
    ) -> int | None:
        """Make a row for `key`, in the coldest one's place; None if all are warm and not `force`.

        What the row means is written before its mark, so a reader may see an old mark with a new
        start (an empty bucket) but never a new mark with an old one.
        """
        fd = self._segment.fd
        fcntl.lockf(fd, fcntl.LOCK_EX, 1, bucket, os.SEEK_SET)
        try:
            row = self._row_of(bucket, mark)
            if row is not None:
                return row
            row = self._coldest(bucket, now_us, force)
            if row is None:
                return None
            words = self._words
            if words[row]:
                words[self._counts[2]] += 1
            words[self._counts[4]] += 1
            words[row + KEY] = 0
            # Two buckets that start in one µs in one row would share tags; the clock is finer.
            words[row + START] = max(now_us, words[row + START] + 1)
            padded = key.rjust(16, b"\0")
            words[row + ADDRESS_HIGH] = int.from_bytes(padded[:8], "big")
            words[row + ADDRESS_LOW] = int.from_bytes(padded[8:], "big")
            words[row + KIND] = len(key)
            words[row + BAN_UNTIL] = words[row + BAN_FROM] = words[row + BAN_REASON] = 0
            words[row + KEY] = mark
            return row
        finally:
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, bucket, os.SEEK_SET)

    def _coldest(self, bucket: int, now_us: int, force: bool) -> int | None:
        """The row to be replaced: a free one, else the one that has been empty for longest."""
        words = self._words
        first = self._addresses.row(bucket * layout.WAYS)
        best, best_level = None, 0.0
        for row in range(first, first + layout.WAYS * layout.ADDRESS_WIDTH, layout.ADDRESS_WIDTH):
            if not words[row]:
                return row
            if words[row + BAN_UNTIL] > now_us:
                continue
            level = self._level(row, now_us)
            if best is None or level < best_level:
                best, best_level = row, level
        if best is None:
            return first if force else None
        return best if force or best_level <= 0 else None
