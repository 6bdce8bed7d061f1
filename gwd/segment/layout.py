"""What lies where in the segment, declared as data.

A section is a number of rows of so many 8-byte words. Sizes come from `[segment]`; the number of
columns follows from `max_workers`: a worker, its replacement and one that still drains may share a
slot, and the controller has the same (DESIGN §3). Pages that nobody touched cost no memory.

Changing anything here changes VERSION: a program that finds another version starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass

MAGIC = int.from_bytes(b"gwd\0seg\1", "big")
VERSION = 1
WORD = 8

WAYS = 8
"""Rows of one bucket of the limiter: where an address may stand."""
NAME_WORDS = 32
"""A name of at most 248 bytes, its length first."""
TEXT_WORDS = 512
REASON_WORDS = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """Capacities, as in the table `[segment]` of the config."""

    max_workers: int
    max_ips: int
    max_endpoints: int
    max_routes: int

    @property
    def columns(self) -> int:
        return 3 * self.max_workers + 3

    @property
    def buckets(self) -> int:
        return max(1, self.max_ips // WAYS)


@dataclass(frozen=True, slots=True)
class Section:
    """`rows` rows of `width` words each, from word `start` on; `writer` says who writes them."""

    name: str
    rows: int
    width: int
    writer: str
    start: int

    def row(self, index: int) -> int:
        """The first word of row `index`."""
        return self.start + index * self.width


# The words of the head.
HEAD_MAGIC, HEAD_VERSION, HEAD_WORKERS, HEAD_IPS, HEAD_ENDPOINTS, HEAD_ROUTES = range(6)
HEAD_SECRET = 6  # two words
HEAD_COLUMNS_USED = 8
HEAD_WIDTH = 16

BOARD_WIDTH = 16 + TEXT_WORDS
PROCESS_WIDTH = 24
ENDPOINT_WIDTH = 8 + NAME_WORDS
ENDPOINT_CELLS = 8
ROUTE_WIDTH = NAME_WORDS
ROUTE_CELLS = 48
ADDRESS_WIDTH = 8
OPEN_PLACES = 4096


class Layout:
    """The sections for `sizes`, one after the other. `words` is the length of all."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.words = 0
        columns = sizes.columns
        self.head = self._next("head", 1, HEAD_WIDTH, "supervisor")
        self.board = self._next("board", 1, BOARD_WIDTH, "supervisor")
        self.live = self._next("live", -(-columns // 64), 1, "supervisor")
        self.processes = self._next("processes", columns, PROCESS_WIDTH, "its process")
        self.endpoints = self._next(
            "endpoints", sizes.max_endpoints, ENDPOINT_WIDTH, "supervisor (name), controller"
        )
        self.endpoint_cells = self._next(
            "endpoint cells", sizes.max_endpoints * columns, ENDPOINT_CELLS, "the column's process"
        )
        self.routes = self._next("routes", sizes.max_routes + 1, ROUTE_WIDTH, "supervisor")
        self.route_cells = self._next(
            "route cells", (sizes.max_routes + 1) * columns, ROUTE_CELLS, "the column's process"
        )
        self.addresses = self._next(
            "addresses", sizes.buckets * WAYS, ADDRESS_WIDTH, "whoever holds the bucket's lock"
        )
        self.address_cells = self._next(
            "address cells", sizes.buckets * WAYS, columns, "the column's process"
        )

        self.open_connections = self._next(
            "open connections", columns, OPEN_PLACES, "the column's process"
        )

    def _next(self, name: str, rows: int, width: int, writer: str) -> Section:
        section = Section(name, rows, width, writer, self.words)
        self.words += rows * width
        return section
