"""The limiter's table: a bounded number of rows, found by a keyed hash and taken over when cold.

A row is one bucket of tokens (gwd.segment.limiter says how it is counted):

    mark       half of the keyed hash of rule and key; 0: nobody's row
    start      E, monotonic µs
    interval   picoseconds a request costs: the rule's rate
    kind       family << 8 | prefix length: 4 or 6, of what `address` is; 0: of no address
    address    16 bytes; IPv4 as IPv4-mapped

and a cell per column. The other half of the hash chooses a bucket of `WAYS` rows where the row may
stand, so nobody can choose whom to push out (SEC-41), and a search reads one small place.

Invariants:

- A row is made and given away under a POSIX lock on its bucket's byte, which dies with its holder.
  The mark is cleared first and written last. So a holder killed at any instant leaves a free row.
- `start` only grows while a row changes hands, so cells of the former owner carry other tags and
  count for nobody; nothing else needs to be cleared. A reader takes `start` first and looks at the
  mark then: a start that belongs to the mark, or the mark differs.
- The coldest row is the one whose bucket ran empty first. A row that is empty by now says nothing
  that a new row would not say, so giving it away loses nothing. Rows that are not empty are
  never given away, and the coldest of the others goes first.
- Who finds no place is counted with its neighbours (/24, /48) in the shared row of a bucket. That
  row is one per bucket and always to be had; neighbourhoods that meet there are counted together.
  A full table never stops limiting (SEC-42).
- A lock is waited for a bounded time (gwd.segment.lock): a holder that was stopped (not killed)
  costs its bucket new rows until it goes on.

x86 keeps the order of stores. arm64 need not; there a reader may pair a new mark with an old start
for an instant, in which the request is counted under a tag that nobody reads.
"""

from __future__ import annotations

import struct

from gwd.segment import layout
from gwd.segment.layout import GROUP, ROW_WIDTH, WAYS, WORD
from gwd.segment.lock import lock, unlock
from gwd.segment.memory import Segment
from gwd.segment.processes import EVICTED, TRACKED, ProcessTable

COUNT_BITS = 24
COUNT_MASK = (1 << COUNT_BITS) - 1
TAG_MASK = (1 << 40) - 1

READ = tuple(struct.Struct(f"{count}Q").unpack_from for count in range(GROUP + 1))
"""By count: the first so many cells of a row and group, from (bytes, byte). Faster than a slice of
words, and each cell is read whole, as by index."""

Row = tuple[int, int, int, int, int]
"""(at_mark, at_start, mark, cells, own): where a row lies, and how to know it is still the same.
The first two and `own` (its cell in our column) are words; `cells` (those of the first group) is a
byte, as `READ` takes it. A plain tuple: the hot path takes one apart per request."""


def address_kind(key: bytes, prefix: int) -> tuple[int, int, int]:
    """The words kind, high and low of the address `key` (4 or 16 bytes) with `prefix` bits."""
    family = 4 if len(key) == 4 else 6
    padded = bytes(10) + b"\xff\xff" + key if family == 4 else key
    high, low = int.from_bytes(padded[:8], "big"), int.from_bytes(padded[8:], "big")
    return family << 8 | prefix, high, low


NO_ADDRESS = (0, 0, 0)


class RowTable:
    """The rows, as seen by the process that owns `column`."""

    __slots__ = (
        "_addresses",
        "_buckets",
        "_cells",
        "_evicted",
        "_fd",
        "_mapping",
        "_own",
        "_plane",
        "_shared",
        "_tracked",
        "_words",
    )

    def __init__(self, segment: Segment, column: int) -> None:
        self._fd = segment.fd
        self._words = segment.words
        self._mapping = segment.mapping
        self._buckets = segment.sizes.buckets
        self._addresses = segment.layout.addresses.start
        self._cells = segment.layout.address_cells.start
        self._shared = segment.layout.shared_rows
        self._plane = segment.layout.addresses.rows * GROUP
        self._own = column // GROUP * self._plane + column % GROUP
        table = ProcessTable(segment)
        self._tracked, self._evicted = table.cell(column, TRACKED), table.cell(column, EVICTED)

    def place(self, digest: bytes) -> tuple[int, int]:
        """The bucket and the mark that the 16 bytes of `digest` give."""
        mark = int.from_bytes(digest[:8], "big") or 1
        return int.from_bytes(digest[8:], "big") % self._buckets, mark

    def find(self, bucket: int, mark: int) -> Row | None:
        """The row with `mark`, if there is one."""
        marks = self._marks(bucket)
        return self._row(bucket * WAYS + marks.index(mark), mark) if mark in marks else None

    def make(
        self, bucket: int, mark: int, interval: int, address: tuple[int, int, int], now_us: int
    ) -> Row | None:
        """The row with `mark`, which is a new one unless another process was faster.

        None if all rows of the bucket are in use, or if its lock cannot be had.
        """
        if not lock(self._fd, bucket):
            return None
        try:
            row = self.find(bucket, mark)
            if row is not None:
                return row
            number = self._room(bucket, now_us)
            if number < 0:
                return None
            if self._words[self._addresses + number * ROW_WIDTH]:
                self._words[self._evicted] += 1
            self._words[self._tracked] += 1
            self._take(number, mark, interval, address, now_us)
            return self._row(number, mark)
        finally:
            unlock(self._fd, bucket)

    def share(
        self, bucket: int, mark: int, interval: int, address: tuple[int, int, int], now_us: int
    ) -> Row | None:
        """The shared row of `bucket`: `mark`'s own if nobody else needs it now, else that of who
        has it. With another rate that is too strict or too lax by the ratio of the two, but it
        never stops limiting; to begin it anew for each in turn would. None if it is nobody's and
        its lock cannot be had."""
        number = self._shared + bucket
        word = self._addresses + number * ROW_WIDTH
        found = self._words[word]
        if found == mark:
            return self._row(number, mark)
        if not lock(self._fd, bucket):
            return self._row(number, found) if found else None
        try:
            found = self._words[word]
            if found and found != mark and self._empty_at(number) > now_us:
                return self._row(number, found)
            if found != mark:
                self._take(number, mark, interval, address, now_us)
            return self._row(number, mark)
        finally:
            unlock(self._fd, bucket)

    def count(self, cells: int, start: int) -> int:
        """What all processes counted in the bucket that began at `start`, in the row with `cells`.

        Columns whose process has died count too: what it admitted is admitted, and a crash must
        refund nobody. The column's next owner goes on from there.
        """
        tag = start & TAG_MASK
        return sum([cell & COUNT_MASK for cell in self.read(cells) if cell >> COUNT_BITS == tag])

    def read(self, cells: int) -> tuple[int, ...]:
        """The cells of all columns, in the row whose first group is at `cells`."""
        memory, plane = self._mapping, self._plane * WORD
        found = READ[GROUP](memory, cells)
        for number in range(1, (self._words[layout.HEAD_COLUMNS_USED] + GROUP - 1) // GROUP):
            found += READ[GROUP](memory, cells + number * plane)
        return found

    def _empty_at(self, number: int) -> float:
        """When the bucket of row `number` is or was empty, in monotonic µs."""
        words, word = self._words, self._addresses + number * ROW_WIDTH
        start = words[word + layout.ROW_START]
        tokens = self.count((self._cells + number * GROUP) * WORD, start)
        return start + tokens * words[word + layout.ROW_INTERVAL] / 1e6

    def _marks(self, bucket: int) -> list[int]:
        first = self._addresses + bucket * WAYS * ROW_WIDTH
        return self._words[first : first + WAYS * ROW_WIDTH : ROW_WIDTH].tolist()

    def _row(self, number: int, mark: int) -> Row:
        word, cells = self._addresses + number * ROW_WIDTH, self._cells + number * GROUP
        return word, word + layout.ROW_START, mark, cells * WORD, cells + self._own

    def _room(self, bucket: int, now_us: int) -> int:
        """The number of the row to be given away, -1 if none may be."""
        first = bucket * WAYS
        marks = self._marks(bucket)
        if 0 in marks:
            return first + marks.index(0)
        coldest = (float(now_us), -1)
        at_start = self._addresses + first * ROW_WIDTH + layout.ROW_START
        starts = self._words[at_start : at_start + WAYS * ROW_WIDTH : ROW_WIDTH].tolist()
        for start, number in sorted(zip(starts, range(first, first + WAYS), strict=True)):
            if start > coldest[0]:
                break  # no bucket is empty before its start
            coldest = min(coldest, (self._empty_at(number), number))
        return coldest[1]

    def _take(
        self, number: int, mark: int, interval: int, address: tuple[int, int, int], now_us: int
    ) -> None:
        words, word = self._words, self._addresses + number * ROW_WIDTH
        words[word + layout.ROW_MARK] = 0
        # Never a start that the row has had: cells with its tag would count.
        words[word + layout.ROW_START] = max(now_us, words[word + layout.ROW_START] + 1)
        words[word + layout.ROW_INTERVAL] = interval
        words[word + layout.ROW_KIND] = address[0]
        words[word + layout.ROW_HIGH] = address[1]
        words[word + layout.ROW_LOW] = address[2]
        words[word + layout.ROW_MARK] = mark
