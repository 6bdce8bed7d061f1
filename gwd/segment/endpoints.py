"""How every endpoint fares, as all processes see it.

Health is written by the controller alone: state and since when in one word, so nobody reads one of
each; the reason in words beside it. What workers count about an endpoint lies in cells per process.
Rows belong to names (upstream and address), so health and counts outlive a reload.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gwd.segment import layout
from gwd.segment.layout import ENDPOINT_NAME
from gwd.segment.memory import Segment

UNKNOWN, HEALTHY, UNHEALTHY = 0, 1, 2

IN_FLIGHT, CONNECTIONS, REQUESTS, FAILURES, STREAK, LAST_SUCCESS_NS, EWMA_US = range(7)
"""Cells per process. The first two are what is so now, the others go on for ever."""

_HEALTH, _REASON = 0, 1
_STATE_BITS = 2
_STATE_MASK = (1 << _STATE_BITS) - 1
_TRIES = 10


class TableFull(RuntimeError):
    """More names than `[segment]` has room for."""


@dataclass(frozen=True, slots=True)
class Health:
    """`state` of an endpoint since `since_ns` (monotonic), for `reason` (a few words or "")."""

    state: int
    since_ns: int
    reason: str


class EndpointTable:
    """`words` is the segment's; `cell` gives indexes into it."""

    def __init__(self, segment: Segment) -> None:
        self.words = segment.words
        self._segment = segment
        self._rows = segment.layout.endpoints
        self._cells = segment.layout.endpoint_cells
        self._columns = segment.sizes.columns
        self._known: dict[bytes, int] = {}

    def assign(self, names: Iterable[bytes]) -> None:
        """Give every one of `names` a row, keeping those that have one; free all other rows.

        Supervisor only. Raises TableFull, or ValueError for a name above 248 bytes or empty,
        having changed nothing.
        """
        wanted = dict.fromkeys(names)
        present = self.names()
        if len(wanted) > self._rows.rows:
            raise TableFull(f"room for {self._rows.rows} endpoints, not for {len(wanted)}")
        for name in wanted:
            layout.check_name(name)
        for name, index in present.items():
            if name not in wanted:
                self._clear(index)
        taken = {index for name, index in present.items() if name in wanted}
        free = (index for index in range(self._rows.rows) if index not in taken)
        for name in wanted:
            if name not in present:
                start = self._rows.row(next(free)) + ENDPOINT_NAME
                self._segment.put_text(start, layout.NAME_WORDS, name)

    def names(self) -> dict[bytes, int]:
        """Name to row, of all rows."""
        found = {}
        for index in range(self._rows.rows):
            start = self._rows.row(index) + ENDPOINT_NAME
            if self.words[start]:
                found[self._segment.text(start, layout.NAME_WORDS)] = index
        return found

    def find(self, name: bytes) -> int:
        """The row of `name`. Raises KeyError."""
        index = self._known.get(name)
        start = -1 if index is None else self._rows.row(index) + ENDPOINT_NAME
        if index is None or self._segment.text(start, layout.NAME_WORDS) != name:
            self._known = self.names()
            index = self._known[name]
        return index

    def health(self, row: int) -> Health:
        start = self._rows.row(row)
        for _ in range(_TRIES):
            word = self.words[start + _HEALTH]
            text = self._segment.text(start + _REASON, layout.REASON_WORDS)
            if self.words[start + _HEALTH] == word:
                break
        return Health(word & _STATE_MASK, word >> _STATE_BITS, text.decode("utf-8", "replace"))

    def state(self, row: int) -> int:
        return self.words[self._rows.row(row) + _HEALTH] & _STATE_MASK

    def set_health(self, row: int, state: int, now_ns: int, reason: str) -> None:
        """Controller only."""
        start = self._rows.row(row)
        self._segment.put_text(start + _REASON, layout.REASON_WORDS, reason.encode())
        self.words[start + _HEALTH] = now_ns << _STATE_BITS | state

    def cell(self, row: int, column: int, cell: int) -> int:
        """The word of one cell of one process."""
        return self._cells.row(row * self._columns + column) + cell

    def total(self, row: int, cell: int) -> int:
        """The sum over all processes. What is so now is zero in the columns of dead ones."""
        used = self.words[layout.HEAD_COLUMNS_USED]
        first = self._cells.row(row * self._columns) + cell
        width = self._cells.width
        return sum(self.words[first : first + used * width : width].tolist())

    def _clear(self, index: int) -> None:
        """Nobody's row, all zero: the name first, as it is what makes it somebody's."""
        start = self._rows.row(index)
        self.words[start + ENDPOINT_NAME] = 0
        for word in range(start, start + layout.ENDPOINT_WIDTH):
            self.words[word] = 0
        first = self._cells.row(index * self._columns)
        used = self.words[layout.HEAD_COLUMNS_USED] * self._cells.width
        for word in range(first, first + used):
            self.words[word] = 0
