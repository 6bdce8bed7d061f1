from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.config.snapshot import Route
from gwd.routing.conflict import RouteConflict
from gwd.routing.table import RouteTable, conflicts

MakeRoute = Callable[..., Route]


def split(witness: str) -> tuple[str, str, str]:
    """host, method, path of a witness as it is printed."""
    method, url = witness.split(" ")
    if url.startswith("http://"):
        host, slash, path = url.removeprefix("http://").partition("/")
        return host, method, slash + path
    return "", method, url


def test_equal_routes_are_refused_with_a_request_both_would_take(make_route: MakeRoute) -> None:
    routes = [
        make_route("/orders/{id}", name="one", host="api.company.com", line=5),
        make_route("/orders/{number}", name="two", host="api.company.com", line=9),
    ]
    with pytest.raises(RouteConflict) as caught:
        RouteTable(routes)
    assert caught.value.first is routes[0]
    assert caught.value.second is routes[1]
    assert caught.value.witness == "GET http://api.company.com/orders/x"
    assert str(caught.value) == (
        '"two" cannot be told from "one" (line 5):'
        " both would take GET http://api.company.com/orders/x"
    )


def test_building_in_slices_refuses_the_same(make_route: MakeRoute) -> None:
    with pytest.raises(RouteConflict):
        list(RouteTable.build([make_route("/a/*"), make_route("/a/*")]))


def test_routes_that_share_one_method_conflict_in_it(make_route: MakeRoute) -> None:
    routes = [make_route("/a", methods=["GET", "PUT"]), make_route("/a", methods=["POST", "PUT"])]
    assert [conflict.witness for conflict in conflicts(routes)] == ["PUT /a"]


def test_routes_apart_in_any_way_do_not_conflict(make_route: MakeRoute) -> None:
    assert not conflicts(
        [
            make_route("/a"),
            make_route("/a/"),
            make_route("/a/*"),
            make_route("/{x}"),
            make_route("/a", host="h"),
            make_route("/a", methods=["GET"]),
            make_route("/a", methods=["POST"]),
            make_route("/A"),
        ]
    )


def test_every_conflict_is_reported(make_route: MakeRoute) -> None:
    routes = [
        make_route(path, name=str(i)) for i, path in enumerate(["/a", "/b", "/a", "/b", "/a"])
    ]
    found = [(conflict.first.name, conflict.second.name) for conflict in conflicts(routes)]
    assert found == [("0", "2"), ("1", "3"), ("0", "4")]


def test_a_witness_avoids_the_routes_that_would_take_it_away(make_route: MakeRoute) -> None:
    routes = [
        make_route("/{x}/*", host="*.io"),
        make_route("/{y}/*", host="*.io"),
        make_route("/x/*", host="*.io"),
        make_route("/{a}/{b}", host="*.io"),
        make_route("/{a}/*", host="x.io"),
        make_route("/{a}/*", host="*.io", methods=["GET"]),
    ]
    (conflict,) = conflicts(routes)
    assert conflict.witness == "POST http://xx.io/xx/xx/xx"


PATTERNS = st.sampled_from(
    ["/", "/*", "/x", "/x/*", "/{a}", "/{b}", "/{a}/x", "/{a}/*", "/{b}/*", "/x/{a}", "/x/{a}/*"]
)
HOSTS = st.sampled_from([None, None, "x.io", "*.io", "*.x.io"])
METHODS = st.sampled_from([(), (), ("GET", "HEAD"), ("GET", "POST"), ("POST",)])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PATTERNS, HOSTS, METHODS), max_size=10))
def test_conflicts_are_those_of_a_pairwise_search_and_their_witnesses_are_taken_by_both(
    make_route: MakeRoute,
    reference: Callable[[list[Route]], Any],
    drawn: list[tuple[str, str | None, tuple[str, ...]]],
) -> None:
    routes = [
        make_route(path, host=host, methods=methods, name=str(i))
        for i, (path, host, methods) in enumerate(drawn)
    ]
    found = conflicts(routes)
    scan = reference(routes)
    pairs = {(int(conflict.first.name), int(conflict.second.name)) for conflict in found}
    assert pairs <= scan.ambiguous()
    left = [r for r in routes if r.name not in {conflict.second.name for conflict in found}]
    assert not reference(left).ambiguous()
    assert not conflicts(left)
    for conflict in found:
        takers = {index for index, _ in scan.takers(*split(conflict.witness))}
        assert {int(conflict.first.name), int(conflict.second.name)} <= takers
