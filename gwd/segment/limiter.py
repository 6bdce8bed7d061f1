"""Token buckets over all workers, without a lock on the path.

A bucket has a start E (µs, monotonic) in one word; every process has one cell for it, in its own
column, which holds E's low 40 bits and, in 24 bits, what the process admitted since. In time: a
request costs `interval` µs, and the backlog of a bucket is

    interval * (sum of the counts whose tag is E's)  -  (now - E)

At or below zero a new bucket starts (E = now); below `burst` requests' worth one is admitted and
counted; else it is refused, and not counted. The start is the generation: nothing is ever set back,
a cell with another tag counts for nobody, and a process killed between two instructions leaves a
table that means what it meant before.

What races cost. Processes that read at the same instant may each admit one more than is left; all
but those that start a bucket at the same instant are counted, so the next is refused for longer.
One that is overtaken between its look at the mark and its store may start a bucket anew, or be
counted for another address, by one request. Nothing adds up over time.

Who asks in quick succession may be counted some requests in advance (`advance`); what was not used
of them is taken back within a tick (`settle`). They are few against what is left, over all
processes together, so nobody is refused for them who is not about to be; and they end with the
bucket that they were counted in. So a request counts as if it had come up to a tick before it did,
and what is admitted above the limit by that is at most what falls into the bucket in a tick.

Rows are found once and remembered by every process in two halves: when the recent one is full it
becomes the old one and what was in that is forgotten, unless it was asked for meanwhile. A flood of
new addresses does not push out those that keep coming.
"""

from __future__ import annotations

import math
from hashlib import blake2b

from gwd.segment.layout import GROUP
from gwd.segment.layout import HEAD_COLUMNS_USED as COLUMNS_USED
from gwd.segment.memory import Segment
from gwd.segment.processes import ALLOWED, COARSE, LIMITED, UNCOUNTED, ProcessTable
from gwd.segment.rows import (
    COUNT_BITS,
    COUNT_MASK,
    NO_ADDRESS,
    READ,
    TAG_MASK,
    Row,
    RowTable,
    address_kind,
)

MOST_COUNT = 1 << 23
"""A process's count at which the bucket is rebased."""
LONGEST = 86_400_000_000
"""µs after which a bucket that never emptied is rebased: tags repeat after 12 days."""
MOST_BURST = 1 << 22
SPARE = 16
"""What all processes together count in advance is at most this part of what a bucket has left."""
LEAST_ADVANCE = 4
"""Fewer are not worth it: small limits are kept to the request."""
REMEMBERED = 16384
"""Rows in each half of what a process remembers, per limiter: about 2 MiB."""
COARSE_IPV4, COARSE_IPV6 = 24, 48
"""Prefixes by which addresses are counted for which the table has no room (SECURITY §4)."""


Advance = tuple[int, int, int]
"""(count, at_start, start): requests that were counted in advance, good as long as the word at
`at_start` is `start`."""
NO_ADVANCE: Advance = (0, 0, 0)


class Limiter:
    """One rule, as seen by the process that owns `column`.

    `rule` names it; the rate belongs to the name, so another rate has buckets of its own. Keys are
    addresses of 4 or 16 bytes, the latter with zeros past `ipv6_prefix` bits, or, if `opaque`,
    bytes of any kind (a claim, a header), which the table keeps nothing of but their hash.

    Raises ValueError unless `per_second` is above 0 and `burst` from 1 to 2^22.
    """

    __slots__ = (
        "_allowed",
        "_coarse",
        "_depth",
        "_hash_key",
        "_interval",
        "_limited",
        "_mapping",
        "_old",
        "_opaque",
        "_prefix",
        "_read",
        "_recent",
        "_rows",
        "_rule",
        "_uncounted",
        "_words",
    )

    def __init__(
        self,
        segment: Segment,
        column: int,
        rule: bytes,
        per_second: float,
        burst: int,
        *,
        ipv6_prefix: int = 64,
        opaque: bool = False,
    ) -> None:
        if not (per_second > 0 and 1 <= burst <= MOST_BURST):
            raise ValueError(f"no rate to limit by: {per_second} per second, burst {burst}")
        self._words = segment.words
        self._mapping = segment.mapping
        self._rows = rows = RowTable(segment, column)
        far = segment.sizes.columns - GROUP
        self._read = (*READ, *[lambda _, cells: rows.read(cells)] * far)
        """By the number of columns in use: the cells of all of them, from (bytes, byte)."""
        self._interval = 1e6 / per_second
        self._depth = burst * self._interval
        self._hash_key = segment.secret
        self._rule = b"%d %r %d %d %b" % (len(rule), per_second, burst, opaque, rule)
        self._prefix = ipv6_prefix
        self._opaque = opaque
        self._recent: dict[bytes, Row] = {}
        self._old: dict[bytes, Row] = {}
        table = ProcessTable(segment)
        self._allowed, self._limited = table.cell(column, ALLOWED), table.cell(column, LIMITED)
        self._coarse, self._uncounted = table.cell(column, COARSE), table.cell(column, UNCOUNTED)

    def admit(self, key: bytes, now_us: int) -> int:
        """Judge a request of `key` at `now_us` (monotonic µs).

        Returns 0 if it is admitted, else the µs until one would be.
        """
        words = self._words
        row = self._recent.get(key) or self._recall(key, now_us)
        if row is None:
            words[self._allowed] += 1
            return 0
        at_mark, at_start, mark, cells, own = row
        start = words[at_start]
        while words[at_mark] != mark:  # the row was given away
            row = self._find(key, now_us)
            if row is None:
                words[self._allowed] += 1
                return 0
            at_mark, at_start, mark, cells, own = row
            start = words[at_start]
        # A cell of this bucket is `base` plus its count. One with an older tag lies below it; one
        # with a younger tag (the clock of tags came round) so far above that the sum shows it.
        base = (start & TAG_MASK) << COUNT_BITS
        tokens = 0
        for cell in self._read[words[COLUMNS_USED]](self._mapping, cells):
            if cell >= base:
                tokens += cell - base
        if tokens > COUNT_MASK:
            tokens = self._rows.count(cells, start)
        elapsed = now_us - start
        if elapsed < 0:
            elapsed = 0  # the bucket's first request began after this one, but came here before
        backlog = tokens * self._interval - elapsed
        if backlog < self._depth:
            cell = words[own]
            if words[at_start] != start:
                # Another process began it anew while we were held up: to put our start over its
                # own would forget what was admitted since.
                return self.admit(key, now_us)
            if backlog <= 0 and elapsed:
                words[at_start] = now_us
                words[own] = (now_us & TAG_MASK) << COUNT_BITS | 1
            elif 0 <= cell - base < MOST_COUNT and elapsed < LONGEST:
                words[own] = cell + 1
            elif 0 <= cell - base <= COUNT_MASK:
                self._rebase(row, backlog, now_us)
            else:
                words[own] = base + 1
            words[self._allowed] += 1
            return 0
        words[self._limited] += 1
        return int(backlog - self._depth) + 1

    def advance(self, key: bytes, most: int, now_us: int) -> Advance:
        """Count up to `most` requests of `key`, which was admitted just now, in advance."""
        row = self._recent.get(key)
        if row is None:
            return NO_ADVANCE
        words = self._words
        at_mark, at_start, mark, cells, own = row
        start = words[at_start]
        if words[at_mark] != mark:
            return NO_ADVANCE
        left = self._left(cells, start, now_us)
        # A second's worth at most: what a process that dies leaves unused is gone by then.
        count = min(most, int(left / (SPARE * words[COLUMNS_USED])), int(1e6 / self._interval))
        here = words[own] - _base(start)
        if count < LEAST_ADVANCE or not 0 < here < MOST_COUNT or words[at_start] != start:
            return NO_ADVANCE
        words[own] += count
        return count, at_start, start

    def settle(self, key: bytes, start: int, used: int, unused: int) -> None:
        """The counterpart of `advance`, with the `start` that it told: so many of what was counted
        in advance were admitted, and so many were not."""
        words = self._words
        words[self._allowed] += used
        row = self._recent.get(key) or self._old.get(key)
        if row is None or not unused:
            return
        at_mark, at_start, mark, _, own = row
        here = words[own] - _base(start)
        if words[at_start] == start and words[at_mark] == mark and unused <= here <= COUNT_MASK:
            words[own] -= unused

    def counted_alone(self, key: bytes) -> bool:
        """Whether `key`, which was judged just now, has a row of its own: what became of it is its
        own doing, and not its neighbours'."""
        return key in self._recent

    def remaining(self, key: bytes, now_us: int) -> int:
        """Requests of `key` that would be admitted at once; the bucket is not touched."""
        full = math.ceil(self._depth / self._interval)
        row = self._rows.find(*self._place(key))
        if row is None:
            return full
        at_mark, at_start, mark, cells, _ = row
        start = self._words[at_start]
        if self._words[at_mark] != mark:
            return full  # given away just now, so it was empty
        return max(0, math.ceil(self._left(cells, start, now_us)))

    def _left(self, cells: int, start: int, now_us: int) -> float:
        """Requests, and parts of one, that the bucket begun at `start` has room for."""
        tokens = self._rows.count(cells, start)
        backlog = tokens * self._interval - max(0, now_us - start)
        return (self._depth - max(0.0, backlog)) / self._interval

    def _rebase(self, row: Row, backlog: float, now_us: int) -> None:
        """Start the bucket anew with the same backlog, and count one request."""
        _, at_start, _, _, own = row
        tokens = math.ceil(backlog / self._interval)
        start = now_us - int(tokens * self._interval - backlog)
        start = max(start, self._words[at_start] + 1)
        self._words[at_start] = start
        self._words[own] = _base(start) + tokens + 1

    def _recall(self, key: bytes, now_us: int) -> Row | None:
        row = self._old.get(key)
        if row is None:
            return self._find(key, now_us)
        self._remember(key, row)
        return row

    def _remember(self, key: bytes, row: Row) -> None:
        if len(self._recent) >= REMEMBERED:
            self._old, self._recent = self._recent, {}
        self._recent[key] = row

    def _find(self, key: bytes, now_us: int) -> Row | None:
        """The row under which `key` is counted now, made if need be.

        None, which is counted, if a stopped process holds every lock that it would take.
        """
        bucket, mark = self._place(key)
        interval = max(1, round(self._interval * 1e6))
        row = self._rows.find(bucket, mark)
        if row is None:
            kind = NO_ADDRESS if self._opaque else address_kind(key, self._prefix_of(key))
            row = self._rows.make(bucket, mark, interval, kind, now_us)
            if row is None:
                return self._find_shared(key, interval, now_us)
        self._remember(key, row)
        return row

    def _find_shared(self, key: bytes, interval: int, now_us: int) -> Row | None:
        """The row of `key`'s neighbourhood. It is not remembered: room may come any time."""
        if self._opaque:
            # No neighbours: 256 groups, by a hash of the key.
            group, kind = bytes([self._place(key)[1] & 0xFF]), NO_ADDRESS
        else:
            bits = min(COARSE_IPV4 if len(key) == 4 else COARSE_IPV6, self._prefix_of(key))
            bits -= bits % 8
            group = key[: bits // 8] + bytes(len(key) - bits // 8)
            kind = address_kind(group, bits)
        bucket, mark = self._place(group, b"shared\0")
        row = self._rows.share(bucket, mark, interval, kind, now_us)
        self._words[self._uncounted if row is None else self._coarse] += 1
        return row

    def _prefix_of(self, key: bytes) -> int:
        return 32 if len(key) == 4 else self._prefix

    def _place(self, key: bytes, what: bytes = b"") -> tuple[int, int]:
        digest = blake2b(self._rule + key, digest_size=16, key=self._hash_key, person=what)
        return self._rows.place(digest.digest())


def _base(start: int) -> int:
    """A cell of the bucket begun at `start`, with nothing counted. `admit` has it written out."""
    return (start & TAG_MASK) << COUNT_BITS
