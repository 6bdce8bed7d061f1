"""Rows of endpoints: names, health, cells."""

from __future__ import annotations

import pytest

from gwd.segment.endpoints import (
    HEALTHY,
    IN_FLIGHT,
    REQUESTS,
    UNHEALTHY,
    UNKNOWN,
    EndpointTable,
    TableFull,
)


def test_health_and_counts_outlive_a_reload_by_name(make):
    table = EndpointTable(make(columns=1))
    table.assign([b"a\0x", b"a\0y"])
    row = table.find(b"a\0y")
    table.set_health(row, HEALTHY, 77, "a reason")
    table.words[table.cell(row, 0, REQUESTS)] = 5
    table.assign([b"a\0y", b"b\0z"])
    assert table.find(b"a\0y") == row
    health = table.health(row)
    assert (health.state, health.since_ns, health.reason) == (HEALTHY, 77, "a reason")
    assert table.state(row) == HEALTHY
    assert table.total(row, REQUESTS) == 5
    with pytest.raises(KeyError):
        table.find(b"a\0x")
    assert table.health(table.find(b"b\0z")).state == UNKNOWN


def test_a_row_given_to_another_endpoint_begins_anew(make):
    segment = make(columns=1)
    table, elsewhere = EndpointTable(segment), EndpointTable(segment)
    table.assign([b"a\0x"])
    row = elsewhere.find(b"a\0x")
    table.words[table.cell(row, 0, REQUESTS)] = 5
    table.set_health(row, UNHEALTHY, 9, "status 500")
    table.assign([b"a\0y"])
    assert table.find(b"a\0y") == row
    assert table.total(row, REQUESTS) == 0
    health = table.health(row)
    assert (health.state, health.since_ns, health.reason) == (UNKNOWN, 0, "")
    with pytest.raises(KeyError):
        elsewhere.find(b"a\0x")


def test_too_many_endpoints_are_refused_and_nothing_changes(make):
    table = EndpointTable(make())
    table.assign([b"a"])
    with pytest.raises(TableFull):
        table.assign([b"1", b"2", b"3", b"4", b"5"])
    with pytest.raises(ValueError, match="1 to 248"):
        table.assign([b"1", b"x" * 300])
    assert table.names() == {b"a": 0}


def test_a_full_table_can_be_filled_anew(make):
    table = EndpointTable(make())
    table.assign([b"1", b"2", b"3", b"4"])
    table.assign([b"5", b"3", b"6", b"7", b"5"])
    assert sorted(table.names()) == [b"3", b"5", b"6", b"7"]
    assert table.find(b"3") == 2


def test_what_is_in_flight_is_summed_over_processes(make):
    table = EndpointTable(make(columns=12))
    table.assign([b"a", b"b"])
    for column in range(12):
        table.words[table.cell(table.find(b"b"), column, IN_FLIGHT)] = column
    assert table.total(table.find(b"b"), IN_FLIGHT) == 66
    assert table.total(table.find(b"a"), IN_FLIGHT) == 0


def test_state_and_since_are_of_one_moment(make, fork):
    table = EndpointTable(make(columns=1))
    table.assign([b"a"])

    def flap() -> None:
        while True:
            table.set_health(0, HEALTHY, 1, "")
            table.set_health(0, UNHEALTHY, 2_000_000_000_000_000_000, "connection refused")

    child = fork(flap)
    seen = set()
    for _ in range(5000):
        health = table.health(0)
        seen.add((health.state, health.since_ns))
    child.kill()
    assert seen <= {
        (UNKNOWN, 0),
        (HEALTHY, 1),
        (UNHEALTHY, 2_000_000_000_000_000_000),
    }
