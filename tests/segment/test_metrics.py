"""Counts and durations per route."""

from __future__ import annotations

import pytest

from gwd.segment.metrics import EDGES, UNROUTED, RouteMetrics


def test_routes_count_over_processes_and_reloads(make):
    metrics = RouteMetrics(make(columns=2))
    metrics.assign([b"orders"])
    row = metrics.find(b"orders")
    metrics.record(metrics.cells(row, 0), 200, 2500)
    metrics.record(metrics.cells(row, 1), 404, 20_000_000)
    metrics.assign([b"home"])
    metrics.assign([b"orders"])
    totals = metrics.totals(metrics.find(b"orders"))
    assert totals.by_class == (0, 0, 1, 0, 1, 0)
    assert totals.requests == 2
    assert totals.buckets[EDGES.index(0.0025)] == 1
    assert totals.buckets[len(EDGES)] == 1
    assert totals.seconds == pytest.approx(20.0025)


def test_a_duration_counts_up_to_its_edge_and_a_little_more_in_the_next(make):
    metrics = RouteMetrics(make(columns=1))
    metrics.assign([])
    row = metrics.find(UNROUTED)
    for edge in EDGES:
        metrics.record(metrics.cells(row, 0), 200, round(edge * 1e6))
        metrics.record(metrics.cells(row, 0), 200, round(edge * 1e6) + 1)
    assert metrics.totals(row).buckets == (1, *[2] * (len(EDGES) - 1), 1)


def test_a_row_taken_from_a_route_that_is_gone_begins_at_zero(make):
    metrics = RouteMetrics(make(columns=2))  # rows for three routes
    metrics.assign([b"1", b"2", b"3"])
    for name in (b"1", b"2", b"3", UNROUTED):
        metrics.record(metrics.cells(metrics.find(name), 1), 200, 100_000)
    metrics.assign([b"2", b"4"])
    assert metrics.totals(metrics.find(b"4")).requests == 0
    assert metrics.totals(metrics.find(b"2")).requests == 1
    assert metrics.totals(metrics.find(UNROUTED)).requests == 1


def test_too_many_routes_are_refused_and_nothing_changes(make):
    metrics = RouteMetrics(make(columns=1))
    metrics.assign([b"a"])
    with pytest.raises(ValueError, match="room for"):
        metrics.assign([b"1", b"2", b"3", b"4"])
    with pytest.raises(ValueError, match="1 to 248"):
        metrics.assign([b"x" * 249])
    assert set(metrics.names()) == {UNROUTED, b"a"}
    with pytest.raises(KeyError):
        metrics.find(b"1")


def test_the_edges_operators_know_are_edges():
    known = (1, 2.5, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
    assert {ms / 1000 for ms in known} <= set(EDGES)
    assert list(EDGES) == sorted(EDGES)
