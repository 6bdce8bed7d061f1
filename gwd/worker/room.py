"""Room for one more connection: `max_connections`, descriptors, and who leaves when there is none.

Strategy. Whoever waits in the kernel's queue may be the one who needs us, so at the limit those
make room who are least likely to miss their connection. First those who have owed a request's head
for a while, or what comes before it (a PROXY header, a handshake): a client that means it sends one
at once, and they would otherwise hold all places for `head_timeout` at a time. Who fills a good
part of the places in this way from one address is given less time than others. If there are none,
those between two requests, idle longest first. Requests under way are never ended for it.

Descriptors end before `max_connections` where their limit is low. Some of them are kept for the
connections to upstreams: a client that was accepted and cannot be served is worse off than one that
waits.
"""

from __future__ import annotations

import heapq
import os
import resource
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Protocol

from gwd.config.snapshot import Upstream

SPARE = 64
"""The part of the connections (one in so many) that is closed at a time."""
LEAST = 16
"""And so many at least, where they are few."""
PATIENCE = 1.0
"""Seconds that a client may take for its request's head while others find no room."""
CROWDED, CROWD = 0.1, 8
"""The same for the clients of an address that so dawdle with more than LEAST, and more than one in
so many of all connections."""
OWN = 16
"""Descriptors for what comes and goes in a worker besides: logs, reloads, adopted listeners."""


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd")) - 1  # that of the listing itself


def places(used: int, upstreams: Iterable[Upstream], limit: int | None = None) -> int:
    """How many clients' connections the descriptors of this process are enough for, of which so
    many are `used` without any connection. `limit`: of its descriptors, by default what holds
    now."""
    if limit is None:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return 1 << 30
    wanted = sum(len(upstream.endpoints) * upstream.max_connections for upstream in upstreams)
    return max(1, limit - used - OWN - min(wanted, limit // 4))


class Holder(Protocol):
    """Who has a place: a connection, or one who is opening one."""

    deadline: float

    @property
    def address(self) -> bytes:
        """Whom it counts for."""

    @property
    def idle_since(self) -> float: ...

    @property
    def spare(self) -> bool:
        """Whether it is between two requests."""

    def dawdles(self, now: float, patience: float) -> bool:
        """Whether it has owed us something for more than `patience` seconds."""

    def make_room(self) -> None: ...


def make_room(connections: Collection[Holder], now: float) -> int:
    """Close some of `connections`, as said above. How many; 0 if all of them are needed. They are
    gone with the next turn of the loop."""
    count = max(len(connections) // SPARE, min(LEAST, len(connections) // 8), 1)
    dawdling = [connection for connection in connections if connection.dawdles(now, CROWDED)]
    owed = Counter(connection.address for connection in dawdling)
    crowd = max(LEAST, len(connections) // CROWD)
    late = (c for c in dawdling if owed[c.address] > crowd or c.dawdles(now, PATIENCE))
    leaving = heapq.nsmallest(count, late, key=lambda connection: connection.deadline)
    if not leaving:
        between = (connection for connection in connections if connection.spare)
        leaving = heapq.nsmallest(count, between, key=lambda connection: connection.idle_since)
    for connection in leaving:
        connection.make_room()
    return len(leaving)
