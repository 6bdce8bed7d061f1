"""Who lives: one column per process, not per slot.

A worker, its replacement and a draining one may share a slot at a time; each has a column of its
own and writes only its cells there. The supervisor alone gives columns out and takes them back,
the latter once the process has been waited for. A new owner goes on with the cumulative cells of
the column and finds the others (what is in flight, heartbeats, open connections) at zero.

The lowest free column is taken, so the columns in use stay few and readers sum few cells.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from gwd.segment import layout
from gwd.segment.memory import Segment

WORKER, CONTROLLER, ADMIN = 1, 2, 3
STARTING, READY, DRAINING = 1, 2, 3

_PID, _ROLE, _SLOT, _STATE, _GENERATION, _HEARTBEAT, _STARTED, _CONNECTIONS = range(8)
_GAUGES = (_STATE, _GENERATION, _HEARTBEAT, _CONNECTIONS)
ALLOWED, LIMITED, EVICTED, COARSE, TRACKED, UNCOUNTED = range(8, 14)
"""Cumulative counts of the limiter: requests admitted and refused; rows given away; requests judged
with their neighbours; rows made; requests admitted without being counted, as nobody could."""
LOG_DROPPED = 14
"""Access-log lines lost because nobody took them. Cumulative."""
BANNED, BANS_MADE = 15, 16
"""Connections and requests turned away for a ban; bans made for too many refusals. Cumulative."""


class NoColumn(RuntimeError):
    """All columns are taken: too many processes still drain."""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A living process. Times are monotonic nanoseconds."""

    column: int
    pid: int
    role: int
    slot: int
    state: int
    generation: int
    heartbeat_ns: int
    started_ns: int
    connections: int


class ProcessTable:
    __slots__ = ("_columns", "_layout", "_live", "_live_cells", "_rows", "_seen", "_words")

    def __init__(self, segment: Segment) -> None:
        self._words = segment.words
        self._layout = segment.layout
        self._rows = segment.layout.processes
        self._live = segment.layout.live
        self._columns = segment.sizes.columns
        self._seen: list[int] = []
        self._live_cells: tuple[int, ...] = ()

    # the supervisor's side

    def claim(self, role: int, slot: int, pid: int) -> int:
        """A free column for a new process. Raises NoColumn."""
        for column in range(self._columns):
            if not self._is_live(column):
                break
        else:
            raise NoColumn("every column of the segment is taken; old processes still drain")
        # A supervisor that was killed may have left a column half released.
        self._clear_gauges(column)
        row = self._rows.row(column)
        self._words[row + _PID] = pid
        self._words[row + _ROLE] = role
        self._words[row + _SLOT] = slot
        self._words[row + _STATE] = STARTING
        self._words[row + _STARTED] = time.monotonic_ns()
        used = self._words[layout.HEAD_COLUMNS_USED]
        self._words[layout.HEAD_COLUMNS_USED] = max(used, column + 1)
        self._words[self._live.start + column // 64] |= 1 << column % 64
        return column

    def set_pid(self, column: int, pid: int) -> None:
        self._words[self._rows.row(column) + _PID] = pid

    def release(self, column: int) -> None:
        """The process of `column` has been reaped: what it had in flight is in flight no more."""
        self._words[self._live.start + column // 64] &= ~(1 << column % 64) & (1 << 64) - 1
        self._clear_gauges(column)

    def _clear_gauges(self, column: int) -> None:
        words, places = self._words, self._layout
        row = self._rows.row(column)
        for cell in _GAUGES:
            words[row + cell] = 0
        cells = places.endpoint_cells
        for endpoint in range(places.endpoints.rows):
            # Only rows with a name: to look at a page is to allocate it.
            if words[places.endpoints.row(endpoint) + layout.ENDPOINT_NAME]:
                first = cells.row(endpoint * self._columns + column)
                for gauge in range(first, first + layout.ENDPOINT_GAUGES):
                    words[gauge] = 0
        if column < words[layout.HEAD_COLUMNS_USED]:
            opened = places.open_connections
            for place in range(opened.row(column), opened.row(column + 1)):
                if words[place]:
                    words[place] = 0

    # the process's own side

    def beat(self, column: int, now_ns: int) -> None:
        self._words[self._rows.row(column) + _HEARTBEAT] = now_ns

    def set_state(self, column: int, state: int) -> None:
        self._words[self._rows.row(column) + _STATE] = state

    def set_generation(self, column: int, generation: int) -> None:
        self._words[self._rows.row(column) + _GENERATION] = generation

    def set_connections(self, column: int, count: int) -> None:
        """How many client connections the process has open."""
        self._words[self._rows.row(column) + _CONNECTIONS] = count

    # everybody's side

    def connections(self) -> int:
        """Client connections open over all processes."""
        words = self._words
        return sum([words[cell] for cell in self._connection_cells()])

    def live(self) -> list[ProcessRow]:
        return [self._read(column) for column in range(self._columns) if self._is_live(column)]

    def total(self, cell: int) -> int:
        """A cumulative count (ALLOWED, …) over all processes that ever were."""
        used = self._words[layout.HEAD_COLUMNS_USED]
        return sum(self._words[self._rows.row(column) + cell] for column in range(used))

    def cell(self, column: int, cell: int) -> int:
        """The word of a process's cumulative count."""
        return self._rows.row(column) + cell

    def count(self, column: int, cell: int) -> int:
        """A cumulative count of the processes that had `column`."""
        return self._words[self._rows.row(column) + cell]

    def _connection_cells(self) -> tuple[int, ...]:
        start = self._live.start
        now = self._words[start : start + self._live.rows].tolist()
        if now != self._seen:
            self._seen = now
            self._live_cells = tuple(
                self._rows.row(column) + _CONNECTIONS
                for column in range(self._columns)
                if self._is_live(column)
            )
        return self._live_cells

    def _is_live(self, column: int) -> bool:
        return bool(self._words[self._live.start + column // 64] >> column % 64 & 1)

    def _read(self, column: int) -> ProcessRow:
        row = self._rows.row(column)
        pid, role, slot, state, generation, heartbeat, started, connections = self._words[
            row : row + 8
        ].tolist()
        return ProcessRow(
            column, pid, role, slot, state, generation, heartbeat, started, connections
        )
