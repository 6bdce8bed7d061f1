"""Counts and durations per route: cells per process, summed by whoever asks.

Durations go into a histogram with fixed edges, which contain those that operators know (1, 2.5 ms
and OpenTelemetry's 5 ms to 10 s) and finer ones between. A route's cells outlive reloads by its
name.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from gwd.segment import layout
from gwd.segment.memory import Segment

EDGES = (
    *(0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.0025, 0.0035, 0.005, 0.0075),
    *(0.01, 0.015, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75),
    *(1.0, 1.5, 2.5, 3.5, 5.0, 7.5, 10.0),
)
"""Upper edges in seconds, inclusive; one more bucket holds what is above."""

_EDGES_US = tuple(round(edge * 1e6) for edge in EDGES)

UNROUTED = b"-"
"""The name under which requests are counted that no route took. It always has a row."""

_CLASSES, _SUM_US, _BUCKETS = 0, 6, 8


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one route: requests by class of status (index 0 for none, 1 to 5), seconds in all, and
    requests per bucket of `EDGES`."""

    by_class: tuple[int, ...]
    seconds: float
    buckets: tuple[int, ...]

    @property
    def requests(self) -> int:
        return sum(self.by_class)


class RouteMetrics:
    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._words = segment.words
        self._rows = segment.layout.routes
        self._cells = segment.layout.route_cells
        self._columns = segment.sizes.columns
        self._known: dict[bytes, int] = {}

    def assign(self, names: Iterable[bytes]) -> None:
        """Give every one of `names`, and UNROUTED, a row.

        Rows of other names are kept as long as there is room: a route that comes back goes on
        counting. Supervisor only. Raises ValueError if full, or for a name above 248 bytes or
        empty, having changed nothing.
        """
        wanted = dict.fromkeys((UNROUTED, *names))
        present = self.names()
        for name in wanted:
            layout.check_name(name)
        missing = [name for name in wanted if name not in present]
        taken = set(present.values())
        free = [index for index in range(self._rows.rows) if index not in taken]
        idle = [index for name, index in present.items() if name not in wanted]
        room = free + idle
        if len(missing) > len(room):
            raise ValueError(f"room for {self._rows.rows} routes, not for {len(wanted)}")
        for name, index in zip(missing, room, strict=False):
            self._words[self._rows.row(index)] = 0  # nobody's, until its cells are zero
            first = self._cells.row(index * self._columns)
            used = self._words[layout.HEAD_COLUMNS_USED] * self._cells.width
            for word in range(first, first + used):
                self._words[word] = 0
            self._segment.put_text(self._rows.row(index), layout.NAME_WORDS, name)

    def names(self) -> dict[bytes, int]:
        """Name to row."""
        found = {}
        for index in range(self._rows.rows):
            start = self._rows.row(index)
            if self._words[start]:
                found[self._segment.text(start, layout.NAME_WORDS)] = index
        return found

    def find(self, name: bytes) -> int:
        """The row of `name`. Raises KeyError."""
        index = self._known.get(name)
        if index is None or self._segment.text(self._rows.row(index), layout.NAME_WORDS) != name:
            self._known = self.names()
            index = self._known[name]
        return index

    def cells(self, row: int, column: int) -> int:
        """The word at which the cells of `row` begin, of the process that owns `column`."""
        return self._cells.start + (row * self._columns + column) * layout.ROUTE_CELLS

    def record(self, cells: int, status: int, micros: int) -> None:
        """Count one request of the route and process that `cells` are of."""
        words = self._words
        words[cells + status // 100] += 1
        words[cells + _SUM_US] += micros
        words[cells + _BUCKETS + bisect_left(_EDGES_US, micros)] += 1

    def totals(self, row: int) -> Totals:
        """The sums over all processes that ever were."""
        sums = [0] * layout.ROUTE_CELLS
        for column in range(self._words[layout.HEAD_COLUMNS_USED]):
            first = self._cells.row(row * self._columns + column)
            for number, value in enumerate(self._words[first : first + self._cells.width].tolist()):
                sums[number] += value
        end = _BUCKETS + len(EDGES) + 1
        return Totals(tuple(sums[:_SUM_US]), sums[_SUM_US] / 1e6, tuple(sums[_BUCKETS:end]))
