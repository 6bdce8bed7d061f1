"""Open connections per address."""

from __future__ import annotations

from gwd.segment.layout import OPEN_PLACES
from gwd.segment.open_connections import OpenConnections
from gwd.segment.processes import ProcessTable


def test_connections_of_an_address_are_counted_over_processes(make):
    segment = make(columns=2)
    one, two = (OpenConnections(segment, column) for column in range(2))
    place = one.place(b"abcd")
    assert place == two.place(b"abcd")
    one.opened(place)
    two.opened(place)
    two.opened(place)
    assert one.total(place) == 3
    two.closed(place)
    assert one.total(place) == 2
    ProcessTable(segment).release(1)
    assert one.total(place) == 1


def test_where_an_address_is_counted_differs_from_boot_to_boot(make):
    places = {OpenConnections(make(), 0).place(b"abcd") for _ in range(8)}
    assert len(places) > 1
    assert all(0 <= place < OPEN_PLACES for place in places)
