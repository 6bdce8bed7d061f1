"""What lies where in the segment, declared as data.

A section is a number of rows of so many 8-byte words, and begins on a cache line. Sizes come from
`[segment]`; the number of columns follows from `max_workers`: three generations of processes (one
that serves, one that drains, one that comes) may share a slot, and the controller has the same
(DESIGN §3). Nothing is reserved but address space: pages that nobody touched cost no memory.

The limiter's cells lie in groups of eight columns, a cache line per row and group. So a full table
costs what the processes use that there really are, not what `max_workers` would allow, and the
check of an address touches two lines.

Changing anything here changes VERSION: a program that finds another version starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass

MAGIC = int.from_bytes(b"gwd\0seg\1", "big")
VERSION = 3
WORD = 8
LINE = 8
"""Words of a cache line."""

WAYS = 8
"""Rows of one bucket of the limiter: where an address may stand."""
GROUP = 8
"""Columns whose cells of one row share a cache line."""
NAME_WORDS = 32
"""A name of at most 248 bytes, its length first."""
TEXT_WORDS = 513
"""A message of at most 4 KiB, its length first."""
DIGEST_WORDS = 4
REASON_WORDS = 4

# The words of the head.
HEAD_MAGIC, HEAD_VERSION, HEAD_WORKERS, HEAD_IPS, HEAD_ENDPOINTS, HEAD_ROUTES = range(6)
HEAD_SECRET = 6  # two words
HEAD_COLUMNS_USED = 8
"""How many columns were ever given out: no cell of a later one holds anything."""
HEAD_WORDS = 9
"""How long the segment is, in words: guards against a layout changed without its VERSION."""
HEAD_WIDTH = 16

# The words of the board.
BOARD_SEQUENCE, BOARD_PID, BOARD_STARTED, BOARD_GENERATION, BOARD_LOADED = range(5)
BOARD_RELOADS, BOARD_STATE = 5, 6
BOARD_DIGEST = 8
BOARD_TEXT = 16
BOARD_WIDTH = BOARD_TEXT + TEXT_WORDS

PROCESS_WIDTH = 24
ENDPOINT_NAME = 8
ENDPOINT_WIDTH = ENDPOINT_NAME + NAME_WORDS
ENDPOINT_CELLS = 8
ENDPOINT_GAUGES = 2
"""The first cells tell what is so now; they go to zero with their process."""
ROUTE_WIDTH = NAME_WORDS
ROUTE_CELLS = 48
OPEN_PLACES = 4096

# The words of an address row: see gwd.segment.rows.
ROW_MARK, ROW_START, ROW_INTERVAL, ROW_KIND, ROW_HIGH, ROW_LOW = range(6)
ROW_WIDTH = 8

# The words of the bans: see gwd.segment.bans.
BANS_SEQUENCE = 0
BANS_FILTER_STATE, BANS_FILTER_ERRNO, BANS_FILTER_ADDRESSES, BANS_FILTER_SEQUENCE = range(1, 5)
BANS_WIDTH = 8
BAN_MARK, BAN_UNTIL, BAN_START, BAN_KIND, BAN_HIGH, BAN_LOW, BAN_WHY, BAN_SEQUENCE = range(8)
BAN_WIDTH = 8


def check_name(name: bytes) -> None:
    """Raises ValueError for a name that cannot stand in a row whole, or that means "free"."""
    most = (NAME_WORDS - 1) * WORD
    if not 0 < len(name) <= most:
        raise ValueError(f"a name of {len(name)} bytes; 1 to {most} are allowed: {name[:80]!r}")


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
        return -(-self.max_ips // WAYS)

    @property
    def bans(self) -> int:
        """How many may be banned at a time: a quarter as many as are limited, and some."""
        return WAYS * max(128, self.buckets // 4)


@dataclass(frozen=True, slots=True)
class Section:
    """`rows` rows of `width` words each, from word `start` on; `writer` says who writes them."""

    name: str
    rows: int
    width: int
    writer: str
    start: int

    @property
    def end(self) -> int:
        return self.start + self.rows * self.width

    def row(self, index: int) -> int:
        """The first word of row `index`."""
        return self.start + index * self.width


class Layout:
    """The sections for `sizes`, one after the other. `words` is the length of all."""

    def __init__(self, sizes: Sizes) -> None:
        self.sections: list[Section] = []
        columns = sizes.columns
        groups = -(-columns // GROUP)
        self.head = self._next("head", 1, HEAD_WIDTH, "supervisor")
        self.board = self._next("board", 1, BOARD_WIDTH, "supervisor")
        self.live = self._next("live columns, a bit each", -(-columns // 64), 1, "supervisor")
        self.processes = self._next("processes", columns, PROCESS_WIDTH, "the column's process")
        self.endpoints = self._next(
            "endpoints", sizes.max_endpoints, ENDPOINT_WIDTH, "supervisor (name), controller"
        )
        self.endpoint_cells = self._next(
            "endpoint cells", sizes.max_endpoints * columns, ENDPOINT_CELLS, "the column's process"
        )
        # One more route than configured: the requests that no route took.
        self.routes = self._next("routes", sizes.max_routes + 1, ROUTE_WIDTH, "supervisor")
        self.route_cells = self._next(
            "route cells", (sizes.max_routes + 1) * columns, ROUTE_CELLS, "the column's process"
        )
        self.open_connections = self._next(
            "open connections", columns, OPEN_PLACES, "the column's process"
        )
        # A bucket's rows lie together; after all buckets comes one shared row for each.
        self.shared_rows = sizes.buckets * WAYS
        rows = self.shared_rows + sizes.buckets
        self.addresses = self._next(
            "addresses", rows, ROW_WIDTH, "who holds the lock; start: who admits"
        )
        self.address_cells = self._next(
            "address cells", groups * rows, GROUP, "the column's process"
        )
        self.bans_head = self._next(
            "bans", 1, BANS_WIDTH, "who holds the lock (sequence), supervisor (filter)"
        )
        self.bans = self._next("banned addresses", sizes.bans, BAN_WIDTH, "who holds the lock")
        self.words = self.sections[-1].end

    def _next(self, name: str, rows: int, width: int, writer: str) -> Section:
        end = self.sections[-1].end if self.sections else 0
        section = Section(name, rows, width, writer, -(-end // LINE) * LINE)
        self.sections.append(section)
        return section
