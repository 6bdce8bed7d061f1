"""Who is connected: in this worker, from each address over all of them, and who has room.

Strategy. A socket counts from its accept on, wherever it stands: `opening` until its transport has
told that it is there, among `openings` as long as it says who it is or does its handshake, then
among `connections`. What bounds it are `max_connections`, of which each worker is sure of its share
and borrows what others leave, the descriptors, and `per_ip.connections`. At a bound others make
room (`gwd.worker.room`), or nobody is accepted for a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gwd.clock import Clock
from gwd.policies import Visitor
from gwd.process.child import Child
from gwd.segment.open_connections import OpenConnections
from gwd.segment.processes import ProcessTable
from gwd.worker.room import make_room, open_descriptors, places

if TYPE_CHECKING:
    from gwd.worker.client import ClientConnection
    from gwd.worker.opening import Opening
    from gwd.worker.tables import Tables

OUT_OF_DESCRIPTORS = "out of file descriptors: accepting rests"


class Census:
    """Of one worker. `complain` is told what operators should know."""

    __slots__ = (
        "_clock",
        "_column",
        "_complain",
        "_descriptors",
        "_most",
        "_most_per_ip",
        "_open",
        "_places",
        "_processes",
        "_vacant",
        "connections",
        "opening",
        "openings",
        "workers",
    )

    def __init__(self, child: Child, clock: Clock, complain: Callable[[str], None]) -> None:
        self.connections: set[ClientConnection] = set()
        self.opening = 0
        """How many are accepted, and no connections yet."""
        self.openings: set[Opening] = set()
        """Those of them that say who they are, or do their handshake."""
        self.workers = child.workers
        """How many share `max_connections`."""
        self._clock = clock
        self._complain = complain
        self._column = child.column
        self._processes = ProcessTable(child.segment)
        self._open = OpenConnections(child.segment, child.column)
        self._descriptors = open_descriptors()
        self._places = self._most = self._most_per_ip = 0
        self._vacant = 0
        """Places of those who were told to make room in this tick, not yet given to others."""

    def follow(self, tables: Tables, workers: int) -> None:
        """Take the bounds of a (new) config."""
        snapshot = tables.snapshot
        self.workers = workers
        self._places = places(self._descriptors, snapshot.upstreams)
        self._most = snapshot.server.max_connections
        self._most_per_ip = tables.connections_per_ip

    def tick(self) -> None:
        self._vacant = 0

    @property
    def empty(self) -> bool:
        """Whether nobody is left, nor on the way."""
        return not self.connections and not self.opening

    # who comes and goes

    def on_their_way(self, change: int) -> None:
        """So many more are opening, or fewer."""
        self.opening += change
        self._tell()

    def opened(self, connection: ClientConnection) -> None:
        self.opening -= 1
        self.connections.add(connection)
        self.count(connection)
        self._tell()

    def closed(self, connection: ClientConnection) -> None:
        self.connections.discard(connection)
        self.discount(connection)
        self._tell()

    def never_opened(self, connection: ClientConnection | Opening) -> None:
        """It was opening, and is gone."""
        self.on_their_way(-1)
        self.discount(connection)

    def _tell(self) -> None:
        """Tell the other workers: `max_connections` is over all of them."""
        self._processes.set_connections(self._column, len(self.connections) + self.opening)

    def count(self, connection: ClientConnection) -> None:
        """Count it among its address's, once. Plain ones as soon as they are accepted: the next one
        of the same batch must know."""
        if connection.place < 0:
            connection.place = self.take_place(connection.peer)

    def take_place(self, visitor: Visitor) -> int:
        """Count one more connection of `visitor`; where, -1 if nobody's are counted."""
        if not self._most_per_ip:
            return -1
        place = self._place(visitor)
        self._open.opened(place)
        return place

    def discount(self, connection: ClientConnection | Opening) -> None:
        """Take it off its address's."""
        if connection.place >= 0:
            self._open.closed(connection.place)
            connection.place = -1

    # who has room

    def has_room_for(self, peer: Visitor) -> bool:
        """Whether `peer` may open one more connection (`per_ip.connections`)."""
        most = self._most_per_ip
        if not most or peer.exempt or peer.trusted:
            return True
        return self._open.total(self._place(peer)) < most

    def _place(self, visitor: Visitor) -> int:
        if visitor.place < 0:
            visitor.place = self._open.place(visitor.key)
        return visitor.place

    def may_accept(self) -> bool:
        """Whether one more connection fits into `max_connections`, and into our descriptors. If
        not, others make room, or nobody is accepted for a moment."""
        mine = len(self.connections) + self.opening
        if mine >= self._places:
            self._complain(OUT_OF_DESCRIPTORS)
            return self._takes_a_place()
        if mine < self._most // self.workers:
            return True
        if self._processes.connections() < self._most:
            return True
        return self._takes_a_place()

    def ran_out_of_descriptors(self) -> bool:
        """The system has none for the next one. Whether others make room for it."""
        self._complain(OUT_OF_DESCRIPTORS)
        return self._make_room() > 0

    def _takes_a_place(self) -> bool:
        """Whether one more may take the place of one that leaves."""
        if not self._vacant:
            self._vacant = self._make_room()
            if not self._vacant:
                return False
        self._vacant -= 1
        return True

    def _make_room(self) -> int:
        return make_room([*self.openings, *self.connections], self._clock.now)
