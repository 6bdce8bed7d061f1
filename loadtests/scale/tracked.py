"""Addresses in a running gateway's table, as if each had been there once.

A million requests would take a minute for every gateway. So they are judged here instead, by
gwd's own limiter under the config the gateway runs with, on its segment opened for writing, in the
last column: the supervisor gives that out only when all others are taken, and nobody reads cells of
a column that was never given out. What stays is what a crowd leaves: marks, starts, addresses.
"""

from __future__ import annotations

import time

from gwd.config.load import load
from gwd.policies.shed import Shed, Visitor
from gwd.segment.layout import HEAD_COLUMNS_USED
from gwd.segment.processes import EVICTED, TRACKED, ProcessTable
from loadtests.limits.gateway import Gateway

FIRST = 0x0A000000
"""10.0.0.0."""


def fill(gateway: Gateway, count: int) -> int:
    """Visit from the `count` addresses from 10.0.0.0 on; how many of them are tracked then."""
    limits = load(str(gateway.config), {}).snapshot.limits
    with gateway.writable() as segment:
        column = segment.sizes.columns - 1
        if segment.words[HEAD_COLUMNS_USED] > column:
            raise RuntimeError("the last column is in use")
        shed = Shed(limits, segment, column)
        for number in range(count):
            key = (FIRST + number).to_bytes(4, "big")
            visitor = Visitor("", key, exempt=False, trusted=False, refusal=None)
            shed.judge(visitor, time.monotonic_ns() // 1000, False)
        table = ProcessTable(segment)
        made, gone = table.cell(column, TRACKED), table.cell(column, EVICTED)
        return int(segment.words[made] - segment.words[gone])
