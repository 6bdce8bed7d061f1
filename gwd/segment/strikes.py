"""Strikes: how often an address was refused lately, over all processes.

Counted as the limiter counts, in rows of the same table: the row's start says when the present
window began, cells that carry it as their tag are of that window, and each process writes only its
own. The window begins with the first refusal after the last one has ended, so whoever goes too far
from a standing start is judged by exactly what it did; a window is no sliding one, so two halves
in two windows may add up to twice as much before they are noticed, never to more.

A row looks the emptier the fewer strikes it holds, so those who were refused once make room first.
An address for which the table has no room is not counted here: it is limited with its neighbours,
for whose sake nobody is banned.
"""

from __future__ import annotations

from hashlib import blake2b

from gwd.segment.memory import Segment
from gwd.segment.rows import COUNT_BITS, COUNT_MASK, TAG_MASK, RowTable, address_kind


class Strikes:
    """The refusals of one rule, as seen by the process that owns `column`.

    `most` is how many in `window_us` are too many: it says how long a row is worth its place.
    """

    __slots__ = ("_hash_key", "_interval", "_prefix", "_rows", "_window", "_words", "lasted")

    def __init__(
        self, segment: Segment, column: int, most: int, window_us: int, *, ipv6_prefix: int = 64
    ) -> None:
        self._words = segment.words
        self._rows = RowTable(segment, column)
        self._hash_key = segment.secret
        self._window = window_us
        self._interval = max(1, window_us * 1_000_000 // max(1, most))
        self._prefix = ipv6_prefix
        self.lasted = 0
        """How long the window of the last strike had lasted, µs."""

    def strike(self, key: bytes, now_us: int) -> int:
        """Count a refusal of `key`: how many it had in this window, with this one; 0 if nobody
        can count it."""
        bucket, mark = self._place(key)
        row = self._rows.find(bucket, mark)
        if row is None:
            kind = address_kind(key, 32 if len(key) == 4 else self._prefix)
            row = self._rows.make(bucket, mark, self._interval, kind, now_us)
            if row is None:
                return 0
        at_mark, at_start, mark, cells, own = row
        words = self._words
        start = words[at_start]
        if words[at_mark] != mark:
            return 0  # given away just now: it was nobody's first
        if now_us - start > self._window:
            words[at_start] = start = now_us
        self.lasted = now_us - start
        base = (start & TAG_MASK) << COUNT_BITS
        cell = words[own]
        words[own] = cell + 1 if 0 <= cell - base < COUNT_MASK else base + 1
        return self._rows.count(cells, start)

    def forget(self, key: bytes, now_us: int) -> None:
        """Begin a new window for `key`: what it did until now has been dealt with."""
        row = self._rows.find(*self._place(key))
        if row is not None:
            self._words[row[1]] = max(now_us, self._words[row[1]] + 1)

    def _place(self, key: bytes) -> tuple[int, int]:
        digest = blake2b(key, digest_size=16, key=self._hash_key, person=b"strikes").digest()
        return self._rows.place(digest)
