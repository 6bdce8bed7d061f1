"""A million addresses in a running gateway's table, as if each had been there once.

They are judged by the gateway's own `Shed`, from its own config, on its segment opened for writing,
in a column that nobody has: the last one, which the supervisor gives out only when all others are
taken, here never. It is not marked as a process's, so nobody takes its owner for a worker, and as
no column that high was ever given out, nobody reads its cells: what the rows hold (marks, starts,
addresses) is what a crowd leaves that has stopped asking.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gwd.config.load import load
from gwd.policies.shed import Shed, Visitor
from gwd.segment.layout import HEAD_COLUMNS_USED
from gwd.segment.processes import EVICTED, TRACKED, ProcessTable
from loadtests.limits.gateway import Gateway

FIRST = 0x0A000000
"""10.0.0.0."""


@contextmanager
def visits(gateway: Gateway) -> Iterator[tuple[Callable[[int], None], Callable[[], int]]]:
    """While it lasts: a call by which the address of a number from 10.0.0.0 on visits, and one that
    tells how many addresses are tracked."""
    limits = load(str(gateway.config), {}).snapshot.limits
    with gateway.writable() as segment:
        column = segment.sizes.columns - 1
        if segment.words[HEAD_COLUMNS_USED] > column:
            raise RuntimeError("the last column is in use")
        shed = Shed(limits, segment, column)
        table = ProcessTable(segment)
        made, gone = table.cell(column, TRACKED), table.cell(column, EVICTED)
        words = segment.words

        def visit(number: int) -> None:
            key = (FIRST + number).to_bytes(4, "big")
            visitor = Visitor("", key, exempt=False, trusted=False, refusal=None)
            shed.judge(visitor, visitor, time.monotonic_ns())

        yield visit, lambda: int(words[made] - words[gone])


def fill(gateway: Gateway, wanted: int) -> tuple[int, int]:
    """Visit from 10.0.0.0 on, the last one first, until `wanted` addresses are tracked, or 2^21
    came. Returns (tracked, came)."""
    with visits(gateway) as (visit, tracked):
        number = 1 << 21
        while tracked() < wanted and number:
            for _ in range(min(1000, number)):
                number -= 1
                visit(number)
        return tracked(), (1 << 21) - number
