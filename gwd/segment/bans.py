"""Who is banned, for all processes: a bounded table beside the limiter's.

A ban is a row of its own and not a word in the limiter's row, so that it needs no rate to exist,
is never pushed out by a flood of addresses, and all bans can be listed by looking at a small place
(in the limiter's 131,072 rows that took 30 times as long). Rows:

    mark      keyed hash of the key; 0: nobody's row
    until     monotonic µs; in the past: the ban has ended or was lifted
    start     monotonic µs
    kind      family << 8 | prefix length of the address
    address   16 bytes; IPv4 as IPv4-mapped
    why       what for, whether it was met as a TCP peer, and how busy it was
    sequence  the change that wrote the row

The key is that of the limiter: 4 bytes of IPv4, 16 of IPv6 with zeros past the prefix. Workers ban
who goes too far, `gwd ban` whom the operator names; the kernel's filter is compiled from it.

Invariants:

- Changes are made under one POSIX lock, which dies with its holder; the mark is cleared first and
  written last. So a holder killed at any instant leaves a free row, or a ban that stands.
- A reader takes nothing for a ban that it did not see twice: a row that is given away clears its
  mark first, so nobody is ever banned by another's time.
- The sequence is odd while a change is made, and even, and higher, when it is done. Who has looked
  at an even one need not look again while it is the same. A killed holder leaves it odd: then
  everybody looks each time, until the next change. Nothing is repaired.
- A bucket has `WAYS` rows. When more are banned that fall into one, the ban that ends first makes
  room, those by hand last: 0.2 % with a quarter of the table in use, a tenth with nearly all of
  it. Who finds no room is still limited.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from gwd.segment import layout
from gwd.segment.layout import BAN_WIDTH, WAYS
from gwd.segment.lock import lock, unlock
from gwd.segment.memory import Segment
from gwd.segment.rows import address_kind

RATE, BY_HAND = 1, 2
"""What for: too many refused requests; an operator's word."""
MOST_WEIGHT = (1 << 32) - 1
_PEER = 1 << 8
LOOKS = 16
"""At a row that changes while it is read: a change takes less than a look."""

# What the supervisor says about the kernel's filter.
FILTER_OFF, FILTER_ON, FILTER_FAILED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Ban:
    """One running ban. Times are monotonic µs."""

    key: bytes
    """4 or 16 bytes, as the limiter's."""
    prefix: int
    start: int
    until: int
    reason: int
    """RATE or BY_HAND."""
    peer: bool
    """It was met as the peer of a TCP connection, not only named by a proxy: the kernel may drop
    its packets."""
    weight: int
    """How busy it was before: requests per second, roughly."""


@dataclass(frozen=True, slots=True)
class FilterView:
    """What the kernel does about bans: `state` is FILTER_OFF, FILTER_ON or FILTER_FAILED (with
    `errno`); `addresses` of the bans are in it, or were in what failed, as of change `sequence`."""

    state: int
    errno: int
    addresses: int
    sequence: int


class Bans:
    """The table, as seen by any process that has the segment open for writing."""

    __slots__ = ("_fd", "_hash_key", "_head", "_lock_byte", "_rows", "_words")

    def __init__(self, segment: Segment) -> None:
        self._fd = segment.fd
        self._words = segment.words
        self._hash_key = segment.secret
        self._head = segment.layout.bans_head.start
        self._rows = segment.layout.bans
        self._lock_byte = segment.sizes.buckets

    @property
    def sequence_word(self) -> int:
        """The word of the sequence, for those who look at it once per request."""
        return self._head + layout.BANS_SEQUENCE

    @property
    def sequence(self) -> int:
        """Changes with every ban and every lifting; 0 if nobody was ever banned."""
        return self._words[self._head + layout.BANS_SEQUENCE]

    def until(self, key: bytes, now_us: int) -> int:
        """When the ban of `key` ends (monotonic µs); 0 if it is not banned at `now_us`."""
        if not self.sequence:
            return 0
        bucket, mark = self._place(key)
        row = self._find(bucket, mark)
        if row < 0:
            return 0
        until = self._steady(row, mark)
        return until if until > now_us else 0

    def ban(
        self,
        key: bytes,
        prefix: int,
        now_us: int,
        until_us: int,
        reason: int,
        *,
        peer: bool,
        weight: int = 0,
    ) -> bool:
        """Ban `key` until `until_us`. A running ban that ends later stays, unless an operator
        says otherwise (BY_HAND). False if that could not be done now: another process, stopped
        in the middle of a change, keeps the lock, or all that stand where it might are banned for
        longer."""
        words = self._words
        bucket, mark = self._place(key)
        if not lock(self._fd, self._lock_byte):
            return False
        try:
            row = self._find(bucket, mark)
            why = min(weight, MOST_WEIGHT) << 16 | (_PEER if peer else 0) | reason
            if row >= 0 and words[row + layout.BAN_UNTIL] > now_us:
                why |= words[row + layout.BAN_WHY] & _PEER
                if reason != BY_HAND and words[row + layout.BAN_UNTIL] >= until_us:
                    if why & _PEER == words[row + layout.BAN_WHY] & _PEER:
                        return True
                    until_us = words[row + layout.BAN_UNTIL]
            if row < 0:
                row = self._room(bucket, now_us, (reason == BY_HAND, until_us))
                if row < 0:
                    return False
            change = self._begin()
            if words[row + layout.BAN_MARK] != mark:
                words[row + layout.BAN_MARK] = 0
            # Before the time: who is killed in between must not have an old peer banned anew.
            words[row + layout.BAN_WHY] = why
            words[row + layout.BAN_UNTIL] = until_us
            words[row + layout.BAN_START] = now_us
            kind, high, low = address_kind(key, prefix)
            words[row + layout.BAN_KIND] = kind
            words[row + layout.BAN_HIGH] = high
            words[row + layout.BAN_LOW] = low
            words[row + layout.BAN_SEQUENCE] = change + 1
            words[row + layout.BAN_MARK] = mark
            self._end(change)
            return True
        finally:
            unlock(self._fd, self._lock_byte)

    def unban(self, key: bytes, now_us: int) -> bool:
        """Lift the ban of `key`. Whether it was banned. Raises TimeoutError if the lock cannot be
        had."""
        if not lock(self._fd, self._lock_byte):
            raise TimeoutError("another process keeps the lock of the bans")
        try:
            row = self._find(*self._place(key))
            if row < 0 or self._words[row + layout.BAN_UNTIL] <= now_us:
                return False
            change = self._begin()
            self._words[row + layout.BAN_UNTIL] = 0
            self._words[row + layout.BAN_SEQUENCE] = change + 1
            self._end(change)
            return True
        finally:
            unlock(self._fd, self._lock_byte)

    def was_lifted(self, key: bytes) -> bool:
        """Whether the last ban of `key` was lifted; False as well once its row has another's."""
        row = self._find(*self._place(key))
        return row >= 0 and not self._words[row + layout.BAN_UNTIL]

    def running(self, now_us: int, since: int = 0) -> list[Ban]:
        """The bans that run at `now_us` and were made or renewed after the change `since`."""
        return list(self._running(now_us, since)) if self.sequence else []

    def _running(self, now_us: int, since: int) -> Iterator[Ban]:
        rows, words = self._rows, self._words
        untils, sequences = (
            words[rows.start + column : rows.end : BAN_WIDTH].tolist()
            for column in (layout.BAN_UNTIL, layout.BAN_SEQUENCE)
        )
        for number, until in enumerate(untils):
            if until > now_us and sequences[number] > since:
                row = rows.row(number)
                found = self._whole(row)
                if found is None:
                    continue  # changes now: who looks at the next change will see it
                mark, until, start, kind, high, low, why, sequence = found
                if mark and until > now_us and sequence > since:
                    address = high.to_bytes(8, "big") + low.to_bytes(8, "big")
                    yield Ban(
                        key=address[12:] if kind >> 8 == 4 else address,
                        prefix=kind & 0xFF,
                        start=start,
                        until=until,
                        reason=why & 0xFF,
                        peer=bool(why & _PEER),
                        weight=why >> 16,
                    )

    # the kernel's filter: the supervisor's words

    def filter_is(self, state: int, errno: int, addresses: int, sequence: int) -> None:
        """The supervisor has put a filter on all listeners, or has failed to, or taken it off."""
        words, head = self._words, self._head
        words[head + layout.BANS_FILTER_STATE] = state
        words[head + layout.BANS_FILTER_ERRNO] = errno
        words[head + layout.BANS_FILTER_ADDRESSES] = addresses
        words[head + layout.BANS_FILTER_SEQUENCE] = sequence

    @property
    def filters(self) -> bool:
        """Whether all listeners have a filter."""
        return self._words[self._head + layout.BANS_FILTER_STATE] == FILTER_ON

    def filter(self) -> FilterView:
        words, head = self._words, self._head
        return FilterView(
            state=words[head + layout.BANS_FILTER_STATE],
            errno=words[head + layout.BANS_FILTER_ERRNO],
            addresses=words[head + layout.BANS_FILTER_ADDRESSES],
            sequence=words[head + layout.BANS_FILTER_SEQUENCE],
        )

    def _begin(self) -> int:
        """Make the sequence odd; returns it."""
        odd = self.sequence | 1
        if odd == self.sequence:  # a killed holder left it so: what it changed is a change, too
            odd += 2
        self._words[self._head + layout.BANS_SEQUENCE] = odd
        return odd

    def _end(self, odd: int) -> None:
        self._words[self._head + layout.BANS_SEQUENCE] = odd + 1

    def _place(self, key: bytes) -> tuple[int, int]:
        digest = blake2b(key, digest_size=16, key=self._hash_key, person=b"ban").digest()
        mark = int.from_bytes(digest[:8], "big") or 1
        return int.from_bytes(digest[8:], "big") % (self._rows.rows // WAYS), mark

    def _steady(self, row: int, mark: int) -> int:
        """Until when the row at word `row` bans, as long as it is `mark`'s; else 0.

        Another may take it between two looks. It clears the mark first, so a time that stood there
        before and after the mark was seen is `mark`'s own.
        """
        words = self._words
        for _ in range(LOOKS):
            until = words[row + layout.BAN_UNTIL]
            if words[row + layout.BAN_MARK] != mark:
                return 0
            if words[row + layout.BAN_UNTIL] == until:
                return until
        return 0

    def _whole(self, row: int) -> list[int] | None:
        """The words of the row at word `row`, read the same twice; None if they keep changing."""
        words = self._words
        found = words[row : row + BAN_WIDTH].tolist()
        for _ in range(LOOKS):
            again = words[row : row + BAN_WIDTH].tolist()
            if again == found:
                return found
            found = again
        return None

    def _find(self, bucket: int, mark: int) -> int:
        """The word at which the row with `mark` begins, -1 if there is none."""
        first = self._rows.row(bucket * WAYS)
        marks = self._words[first : first + WAYS * BAN_WIDTH : BAN_WIDTH].tolist()
        return first + marks.index(mark) * BAN_WIDTH if mark in marks else -1

    def _room(self, bucket: int, now_us: int, newcomer: tuple[bool, int]) -> int:
        """The word at which a row begins that may be taken: a free one, else of a ban that has
        ended, else of the one that ends first, those by hand last. -1 if that still ranks above
        the `newcomer`."""
        words = self._words
        first = self._rows.row(bucket * WAYS)
        rows = range(first, first + WAYS * BAN_WIDTH, BAN_WIDTH)

        def rank(row: int) -> tuple[bool, bool, int]:
            until = words[row + layout.BAN_UNTIL]
            runs = until > now_us and words[row + layout.BAN_MARK] != 0
            return runs, words[row + layout.BAN_WHY] & 0xFF == BY_HAND, until

        row = min(rows, key=rank)
        runs, by_hand, until = rank(row)
        return -1 if runs and (by_hand, until) > newcomer else row
