"""Processes, endpoints, metrics and the board, as their readers see them."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator

import pytest

from gwd.segment.board import OK, REFUSED, RUNNING, Board
from gwd.segment.endpoints import (
    CONNECTIONS,
    HEALTHY,
    IN_FLIGHT,
    REQUESTS,
    UNKNOWN,
    EndpointTable,
    TableFull,
)
from gwd.segment.memory import NotASegment, Segment, Sizes
from gwd.segment.metrics import EDGES, RouteMetrics
from gwd.segment.open_connections import OpenConnections
from gwd.segment.processes import CONTROLLER, READY, WORKER, NoColumn, ProcessTable


@pytest.fixture
def segment() -> Iterator[Segment]:
    segment = Segment.create(Sizes(max_workers=2, max_ips=16, max_endpoints=4, max_routes=3))
    yield segment
    segment.close()


def test_who_attaches_sees_the_same_words_and_cannot_write(segment: Segment) -> None:
    other = Segment.attach(os.dup(segment.fd))
    segment.words[segment.layout.processes.start] = 12345
    assert other.words[other.layout.processes.start] == 12345
    assert other.sizes == segment.sizes
    with pytest.raises(TypeError):
        other.words[0] = 1
    other.close()


def test_what_is_no_segment_is_refused(tmp_path: object) -> None:
    fd = os.memfd_create("no-segment")
    os.ftruncate(fd, 4096)
    with pytest.raises(NotASegment):
        Segment.attach(fd)
    os.close(fd)


def test_sections_do_not_overlap(segment: Segment) -> None:
    sections = [s for s in vars(segment.layout).values() if hasattr(s, "width")]
    sections.sort(key=lambda s: s.start)
    for before, after in itertools.pairwise(sections):
        assert before.start + before.rows * before.width == after.start
    assert sections[-1].start + sections[-1].rows * sections[-1].width == segment.layout.words


def test_a_column_is_free_again_once_its_process_is_reaped(segment: Segment) -> None:
    table = ProcessTable(segment)
    columns = [table.claim(WORKER, slot % 2, 100 + slot) for slot in range(9)]
    assert len(set(columns)) == 9
    with pytest.raises(NoColumn):
        table.claim(CONTROLLER, 0, 1)
    table.set_connections(columns[3], 7)
    assert table.connections() == 7
    table.release(columns[3])
    assert table.connections() == 0
    assert table.claim(CONTROLLER, 0, 55) == columns[3]
    row = next(row for row in table.live() if row.column == columns[3])
    assert (row.pid, row.role, row.connections, row.heartbeat_ns) == (55, CONTROLLER, 0, 0)


def test_what_a_process_tells_of_itself_is_read(segment: Segment) -> None:
    table = ProcessTable(segment)
    column = table.claim(WORKER, 1, 4242)
    table.beat(column, 99)
    table.set_state(column, READY)
    table.set_generation(column, 3)
    (row,) = table.live()
    assert (row.slot, row.heartbeat_ns, row.state, row.generation) == (1, 99, READY, 3)


def test_health_and_counts_outlive_a_reload_by_name(segment: Segment) -> None:
    table = EndpointTable(segment)
    column = ProcessTable(segment).claim(WORKER, 0, 1)
    table.assign([b"a\0x", b"a\0y"])
    row = table.find(b"a\0y")
    table.set_health(row, HEALTHY, 77, "a reason")
    table.words[table.cell(row, column, REQUESTS)] = 5
    table.assign([b"a\0y", b"b\0z"])
    assert table.find(b"a\0y") == row
    health = table.health(row)
    assert (health.state, health.since_ns, health.reason) == (HEALTHY, 77, "a reason")
    assert table.total(row, REQUESTS) == 5
    with pytest.raises(KeyError):
        table.find(b"a\0x")
    assert table.health(table.find(b"b\0z")).state == UNKNOWN


def test_a_row_given_to_another_endpoint_begins_anew(segment: Segment) -> None:
    table = EndpointTable(segment)
    column = ProcessTable(segment).claim(WORKER, 0, 1)
    table.assign([b"a\0x"])
    row = table.find(b"a\0x")
    table.words[table.cell(row, column, REQUESTS)] = 5
    table.assign([b"a\0y"])
    assert table.find(b"a\0y") == row
    assert table.total(row, REQUESTS) == 0


def test_too_many_endpoints_are_refused_and_nothing_changes(segment: Segment) -> None:
    table = EndpointTable(segment)
    table.assign([b"a"])
    with pytest.raises(TableFull):
        table.assign([b"1", b"2", b"3", b"4", b"5"])
    assert table.names() == {b"a": 0}


def test_what_a_dead_process_had_in_flight_is_in_flight_no_more(segment: Segment) -> None:
    table, processes = EndpointTable(segment), ProcessTable(segment)
    table.assign([b"a"])
    row = table.find(b"a")
    first, second = processes.claim(WORKER, 0, 1), processes.claim(WORKER, 1, 2)
    for column in (first, second):
        table.words[table.cell(row, column, IN_FLIGHT)] = 3
        table.words[table.cell(row, column, CONNECTIONS)] = 2
        table.words[table.cell(row, column, REQUESTS)] = 10
    processes.release(first)
    assert table.total(row, IN_FLIGHT) == 3
    assert table.total(row, CONNECTIONS) == 2
    assert table.total(row, REQUESTS) == 20


def test_routes_count_over_processes_and_reloads(segment: Segment) -> None:
    metrics = RouteMetrics(segment)
    columns = [ProcessTable(segment).claim(WORKER, slot, 1) for slot in range(2)]
    metrics.assign([b"orders"])
    row = metrics.find(b"orders")
    metrics.record(row, columns[0], 200, 0.0025)
    metrics.record(row, columns[1], 404, 20.0)
    metrics.assign([b"home"])
    metrics.assign([b"orders"])
    totals = metrics.totals(metrics.find(b"orders"))
    assert totals.by_class == (0, 0, 1, 0, 1, 0)
    assert totals.requests == 2
    assert totals.buckets[EDGES.index(0.0025)] == 1
    assert totals.buckets[len(EDGES)] == 1
    assert totals.seconds == pytest.approx(20.0025)


def test_the_edges_operators_know_are_edges() -> None:
    known = (1, 2.5, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
    assert {ms / 1000 for ms in known} <= set(EDGES)
    assert list(EDGES) == sorted(EDGES)


def test_the_board_tells_how_a_reload_ended(segment: Segment) -> None:
    board = Board(segment)
    board.loaded(1, "abc123")
    board.reload_begun()
    assert board.read().state == RUNNING
    board.reload_done(False, "x.toml:3: no", 1, "abc123")
    view = board.read()
    assert (view.state, view.message, view.generation) == (REFUSED, "x.toml:3: no", 1)
    board.reload_begun()
    board.reload_done(True, "", 2, "def")
    view = board.read()
    assert (view.state, view.sequence, view.digest, view.generation) == (OK, 2, "def", 2)
    assert view.supervisor_pid == os.getpid()


def test_a_reader_never_sees_half_a_message(segment: Segment) -> None:
    board, stop = Board(segment), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            board.reload_done(True, str(number % 10) * 3000, number, "d")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        whole = sum(len(set(board.read().message)) <= 1 for _ in range(50))
    finally:
        stop.set()
        writer.join()
    assert whole >= 45  # a reader gives up after a bounded number of tries


def test_connections_of_an_address_are_counted_over_processes(segment: Segment) -> None:
    table = ProcessTable(segment)
    columns = [table.claim(WORKER, slot, 1) for slot in range(2)]
    one, two = (OpenConnections(segment, column) for column in columns)
    place = one.place(b"abcd")
    assert place == two.place(b"abcd")
    one.opened(place)
    two.opened(place)
    two.opened(place)
    assert one.total(place) == 3
    two.closed(place)
    assert one.total(place) == 2
    table.release(columns[1])
    assert one.total(place) == 1
