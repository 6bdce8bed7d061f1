"""Columns: who has one, and what a new owner finds in it."""

from __future__ import annotations

import pytest

from gwd.segment.endpoints import CONNECTIONS, FAILURES, IN_FLIGHT, REQUESTS, EndpointTable
from gwd.segment.open_connections import OpenConnections
from gwd.segment.processes import (
    ADMIN,
    ALLOWED,
    CONTROLLER,
    DRAINING,
    READY,
    STARTING,
    WORKER,
    NoColumn,
    ProcessTable,
)


def test_three_generations_share_a_slot_and_no_column(make):
    table = ProcessTable(make(max_workers=2))
    columns = [
        table.claim(role, slot, 100 * generation + slot)
        for generation in range(3)
        for role, slot in ((WORKER, 0), (WORKER, 1), (CONTROLLER, 0))
    ]
    assert sorted(columns) == list(range(9))
    assert sorted({(row.role, row.slot) for row in table.live()}) == [
        (WORKER, 0),
        (WORKER, 1),
        (CONTROLLER, 0),
    ]
    with pytest.raises(NoColumn):
        table.claim(ADMIN, 0, 1)


def test_a_released_column_is_the_next_one_given_out(make):
    table = ProcessTable(make(columns=5))
    table.release(3)
    table.release(1)
    assert [row.column for row in table.live()] == [0, 2, 4]
    assert table.claim(CONTROLLER, 0, 55) == 1
    assert table.claim(WORKER, 4, 56) == 3
    assert table.claim(WORKER, 5, 57) == 5


def test_what_a_process_tells_of_itself_is_read(make):
    table = ProcessTable(make())
    column = table.claim(WORKER, 1, 0)
    table.set_pid(column, 4242)
    (row,) = table.live()
    assert (row.state, row.heartbeat_ns, row.generation) == (STARTING, 0, 0)
    table.beat(column, 99)
    table.set_state(column, READY)
    table.set_generation(column, 3)
    table.set_connections(column, 8)
    (row,) = table.live()
    assert (row.pid, row.role, row.slot) == (4242, WORKER, 1)
    assert (row.heartbeat_ns, row.state, row.generation, row.connections) == (99, READY, 3, 8)
    assert row.started_ns > 0


def test_a_new_owner_finds_no_gauge_of_the_former_and_goes_on_counting(make):
    segment = make()
    table, endpoints = ProcessTable(segment), EndpointTable(segment)
    endpoints.assign([b"a", b"b"])
    column = table.claim(WORKER, 0, 1)
    row = endpoints.find(b"b")
    for cell in (IN_FLIGHT, CONNECTIONS, REQUESTS, FAILURES):
        segment.words[endpoints.cell(row, column, cell)] = 7
    segment.words[table.cell(column, ALLOWED)] = 11
    opened = OpenConnections(segment, column)
    opened.opened(5)
    table.beat(column, 99)
    table.set_state(column, DRAINING)
    table.set_connections(column, 4)
    table.release(column)
    assert endpoints.total(row, IN_FLIGHT) == endpoints.total(row, CONNECTIONS) == 0
    assert opened.total(5) == 0
    assert table.connections() == 0

    assert table.claim(WORKER, 0, 2) == column
    (living,) = table.live()
    assert (living.heartbeat_ns, living.state, living.connections) == (0, STARTING, 0)
    assert endpoints.total(row, REQUESTS) == endpoints.total(row, FAILURES) == 7
    assert table.total(ALLOWED) == 11


def test_gauges_left_by_a_supervisor_that_died_while_it_released_are_gone_too(make):
    segment = make(columns=1)
    table, opened = ProcessTable(segment), OpenConnections(segment, 0)
    opened.opened(3)
    table.set_connections(0, 9)
    segment.words[segment.layout.live.start] = 0  # all that it had come to
    assert table.claim(WORKER, 0, 2) == 0
    assert opened.total(3) == 0
    assert table.connections() == 0


def test_connections_are_counted_over_the_living(make):
    table = ProcessTable(make())
    assert table.connections() == 0
    for slot, count in enumerate((1, 20, 300)):
        table.set_connections(table.claim(WORKER, slot, 1), count)
    assert table.connections() == 321
    table.release(1)
    assert table.connections() == 301
    table.claim(WORKER, 1, 1)
    assert table.connections() == 301


def test_columns_past_a_word_of_the_bitmap_work_alike(make):
    table = ProcessTable(make(columns=70, max_workers=30))
    for column in range(70):
        table.set_connections(column, 1)
    assert table.connections() == 70
    table.release(65)
    assert table.connections() == 69
    assert len(table.live()) == 69
    assert table.claim(WORKER, 0, 1) == 65
