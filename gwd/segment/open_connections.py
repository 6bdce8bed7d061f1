"""How many connections an address has open, over all workers.

Every process has a row of counters, and an address one place in it, found by a keyed hash. Readers
add the rows up. Two addresses may share a place and are then counted together: with
thousands of them that is rare, and only ever too strict. The row of a dead process is cleared when
it has been reaped (ProcessTable.release), for its connections are gone.
"""

from __future__ import annotations

from hashlib import blake2b

from gwd.segment import layout
from gwd.segment.memory import Segment


class OpenConnections:
    """The counters, as seen by the process that owns `column`."""

    def __init__(self, segment: Segment, column: int) -> None:
        self._words = segment.words
        self._rows = segment.layout.open_connections
        self._own = self._rows.row(column)
        self._hash_key = segment.secret

    def place(self, key: bytes) -> int:
        """Where the address `key` (4 or 16 bytes) is counted."""
        digest = blake2b(key, digest_size=8, key=self._hash_key).digest()
        return int.from_bytes(digest, "big") % self._rows.width

    def total(self, place: int) -> int:
        """Connections open at `place` over all processes."""
        first = self._rows.start + place
        end = first + self._words[layout.HEAD_COLUMNS_USED] * self._rows.width
        return sum(self._words[first : end : self._rows.width].tolist())

    def opened(self, place: int) -> None:
        self._words[self._own + place] += 1

    def closed(self, place: int) -> None:
        self._words[self._own + place] -= 1
