from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.config.snapshot import Route
from gwd.http.problem import Refusal
from gwd.routing.pattern import PatternError
from gwd.routing.table import Match, RouteTable, conflicts

MakeRoute = Callable[..., Route]


def taken(table: RouteTable, request: str) -> Any:
    """What `table` says to "METHOD host path": (index, captures), a status, or (405, Allow)."""
    method, host, path = request.split(" ")
    found = table.match(host, method, path)
    if isinstance(found, Match):
        return found.index, found.captures
    return (405, dict(found.headers)["Allow"]) if found.status == 405 else found.status


def build(routes: list[Route]) -> tuple[RouteTable, int]:
    """The table as a worker builds it, and in how many slices."""
    building = RouteTable.build(routes)
    slices = 0
    while True:
        try:
            next(building)
        except StopIteration as done:
            return done.value, slices
        slices += 1


def built(routes: list[Route]) -> RouteTable:
    return build(routes)[0]


def test_an_exact_host_comes_before_wildcards_and_the_longest_wildcard_before_none(
    make_route: MakeRoute,
) -> None:
    table = RouteTable(
        [
            make_route("/*"),
            make_route("/*", host="*.company.com"),
            make_route("/*", host="*.eu.company.com"),
            make_route("/*", host="api.company.com"),
        ]
    )
    assert taken(table, "GET api.company.com /x") == (3, ("/x",))
    assert taken(table, "GET a.b.eu.company.com /x") == (2, ("/x",))
    assert taken(table, "GET eu.company.com /x") == (1, ("/x",))
    assert taken(table, "GET company.com /x") == (0, ("/x",))
    assert taken(table, "GET  /x") == (0, ("/x",))


def test_a_host_without_a_route_for_the_path_falls_back_to_less_specific_hosts(
    make_route: MakeRoute,
) -> None:
    table = RouteTable(
        [
            make_route("/health"),
            make_route("/orders", host="*.company.com"),
            make_route("/api", host="api.company.com"),
        ]
    )
    assert taken(table, "GET api.company.com /orders") == (1, ())
    assert taken(table, "GET api.company.com /health") == (0, ())
    assert taken(table, "GET elsewhere.com /orders") == 404


def test_an_exact_path_comes_before_parameters_before_the_longest_prefix(
    make_route: MakeRoute,
) -> None:
    table = RouteTable(
        [
            make_route("/*"),
            make_route("/orders/*"),
            make_route("/orders/{id}"),
            make_route("/orders/me"),
            make_route("/orders/{id}/items/*"),
        ]
    )
    assert taken(table, "GET  /orders/me") == (3, ())
    assert taken(table, "GET  /orders/7") == (2, ("7",))
    assert taken(table, "GET  /orders/7/pay") == (1, ("/7/pay",))
    assert taken(table, "GET  /orders/7/items/1") == (4, ("7", "/1"))
    assert taken(table, "GET  /else") == (0, ("/else",))


def test_a_prefix_takes_the_path_without_its_slash_and_the_capture_tells_them_apart(
    make_route: MakeRoute,
) -> None:
    table = RouteTable([make_route("/orders/*"), make_route("/{tenant}/files/*")])
    assert taken(table, "GET  /orders") == (0, ("",))
    assert taken(table, "GET  /orders/") == (0, ("/",))
    assert taken(table, "GET  /ordersome") == 404
    assert taken(table, "GET  /acme/files") == (1, ("acme", ""))
    assert taken(table, "GET  /acme/files/") == (1, ("acme", "/"))


def test_a_literal_beats_a_parameter_at_the_first_segment_that_differs(
    make_route: MakeRoute,
) -> None:
    table = RouteTable([make_route("/{x}/b/c"), make_route("/a/{y}/c"), make_route("/{x}/{y}/d")])
    assert taken(table, "GET  /a/b/c") == (1, ("b",))
    assert taken(table, "GET  /z/b/c") == (0, ("z",))


def test_matching_goes_back_to_a_parameter_if_the_literal_leads_nowhere(
    make_route: MakeRoute,
) -> None:
    table = RouteTable([make_route("/a/b/{x}/end"), make_route("/{p}/{q}/{r}/other")])
    assert taken(table, "GET  /a/b/c/other") == (1, ("a", "b", "c"))
    assert taken(table, "GET  /a/b/c/end") == (0, ("c",))


def test_a_parameter_is_never_empty(make_route: MakeRoute) -> None:
    table = RouteTable([make_route("/users/{id}"), make_route("/users/{id}/")])
    assert taken(table, "GET  /users/") == 404
    assert taken(table, "GET  /users/7") == (0, ("7",))
    assert taken(table, "GET  /users/7/") == (1, ("7",))


def test_a_route_that_lists_the_method_beats_one_without_methods(make_route: MakeRoute) -> None:
    table = RouteTable([make_route("/a"), make_route("/a", methods=["GET", "HEAD"])])
    assert taken(table, "GET  /a") == (1, ())
    assert taken(table, "POST  /a") == (0, ())


def test_a_less_specific_route_takes_a_method_that_the_most_specific_does_not(
    make_route: MakeRoute,
) -> None:
    table = RouteTable(
        [
            make_route("/orders/{id}", methods=["GET"]),
            make_route("/orders/*", methods=["POST"]),
            make_route("/*", methods=["PUT"]),
            make_route("/orders/7", methods=["PATCH"]),
            make_route("/orders/7", host="h", methods=["DELETE"]),
        ]
    )
    for method, index in (("DELETE", 4), ("PATCH", 3), ("GET", 0), ("POST", 1), ("PUT", 2)):
        assert taken(table, f"{method} h /orders/7")[0] == index


def test_405_names_the_methods_of_every_route_for_the_path(make_route: MakeRoute) -> None:
    table = RouteTable(
        [
            make_route("/orders/{id}", methods=["GET", "HEAD"]),
            make_route("/orders/*", methods=["POST"]),
            make_route("/orders/7", host="h", methods=["DELETE"]),
            make_route("/users/*", methods=["PUT"]),
        ]
    )
    assert taken(table, "OPTIONS h /orders/7") == (405, "DELETE, GET, HEAD, POST")
    assert taken(table, "OPTIONS  /orders/7") == (405, "GET, HEAD, POST")
    assert taken(table, "OPTIONS  /") == 404


def test_patterns_match_in_normal_form(make_route: MakeRoute) -> None:
    table = RouteTable([make_route("/caf%c3%a9/%7Eme"), make_route("/straße/{x}")])
    assert taken(table, "GET  /caf%C3%A9/~me") == (0, ())
    assert taken(table, "GET  /stra%C3%9Fe/%2e") == (1, ("%2e",))


@pytest.mark.parametrize("target", ["*", "a/b", "host:443"])
def test_a_target_that_is_no_path_has_no_route(make_route: MakeRoute, target: str) -> None:
    table = RouteTable([make_route("/*"), make_route("/{a}/{b}"), make_route("/{a}")])
    assert taken(table, f"OPTIONS  {target}") == 404


def test_no_routes_at_all_is_404(make_route: MakeRoute) -> None:
    assert taken(RouteTable([]), "GET h /") == 404


def test_segments_past_the_deepest_pattern_reach_a_prefix_whole(make_route: MakeRoute) -> None:
    table = RouteTable([make_route("/{a}/*"), make_route("/{a}/b")])
    assert taken(table, "GET  /x/" + "y/" * 500) == (0, ("x", "/" + "y/" * 500))


@pytest.mark.parametrize(
    "path",
    ["", "orders", "/a//b", "/a/./b", "/a/%2e%2e/b", "/..;x/y", "/{a}/{a}", "/x{a}", "/a/*/b",
     "/a*", "/{}", "/{a b}", "/a%2", "//*"],
)  # fmt: skip
def test_a_path_that_means_nothing_is_refused(make_route: MakeRoute, path: str) -> None:
    with pytest.raises(PatternError):
        RouteTable([make_route(path)])


@pytest.mark.parametrize("host", ["*", "a.*.com", "*.*.com", "*."])
def test_a_wildcard_stands_only_before_a_domain(make_route: MakeRoute, host: str) -> None:
    with pytest.raises(PatternError):
        RouteTable([make_route("/", host=host)])


def test_building_yields_every_few_hundred_segments(make_route: MakeRoute) -> None:
    routes = [make_route(f"/s{i}/{{id}}", host=f"h{i}.example") for i in range(2000)]
    table, slices = build(routes)
    assert slices >= 20
    assert taken(table, "GET h1999.example /s1999/7") == (1999, ())  # captures go nowhere


SEGMENTS = st.sampled_from(["a", "b", "c"])
PATHS = st.builds(
    lambda segments, end: "/" + "/".join(segments) + (end if segments or end == "*" else ""),
    st.lists(SEGMENTS, max_size=5),
    st.sampled_from(["", "", "/"]),
)
PATTERNS = st.builds(
    lambda segments, end: (
        (
            "".join(
                f"/{{p{i}}}" if segment == "{}" else f"/{segment}"
                for i, segment in enumerate(segments)
            )
            + end
        )
        or "/"
    ),
    st.lists(st.sampled_from(["a", "b", "{}"]), max_size=4),
    st.sampled_from(["", "", "/", "/*"]),
)
HOSTS = st.sampled_from([None, None, "x.io", "a.x.io", "*.x.io", "*.a.x.io", "*.io"])
METHODS = st.sampled_from([(), (), ("GET", "HEAD"), ("POST",), ("GET", "POST"), ("PUT",)])
ASKED_HOSTS = st.sampled_from(["", "x.io", "a.x.io", "b.x.io", "b.a.x.io", "c.b.a.x.io", "io"])
ASKED_METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"])
Drawn = tuple[str, str | None, tuple[str, ...]]
ROUTES = st.lists(st.tuples(PATTERNS, HOSTS, METHODS), max_size=14)
REQUESTS = st.lists(st.tuples(ASKED_HOSTS, ASKED_METHODS, PATHS), min_size=1, max_size=12)


def without_conflicts(make_route: MakeRoute, drawn: list[Drawn]) -> list[Route]:
    routes = [make_route(path, host=host, methods=methods) for path, host, methods in drawn]
    clashing = {id(conflict.second) for conflict in conflicts(routes)}
    return [route for route in routes if id(route) not in clashing]


@settings(max_examples=200, deadline=None)
@given(ROUTES, REQUESTS)
def test_the_table_decides_as_a_linear_scan_does(
    make_route: MakeRoute,
    reference: Callable[[list[Route]], Any],
    drawn: list[Drawn],
    requests: list[tuple[str, str, str]],
) -> None:
    routes = without_conflicts(make_route, drawn)
    table, scan = RouteTable(routes), reference(routes)
    for request in requests:
        found = table.match(*request)
        expected = scan.match(*request)
        if isinstance(found, Match):
            assert (found.index, found.captures) == expected, request
        elif found.status == 404:
            assert expected is None, request
        else:
            assert set(dict(found.headers)["Allow"].split(", ")) == expected, request


@settings(max_examples=200, deadline=None)
@given(ROUTES, REQUESTS)
def test_a_table_without_captures_decides_as_one_with_them(
    make_route: MakeRoute,
    drawn: list[Drawn],
    requests: list[tuple[str, str, str]],
) -> None:
    routes = without_conflicts(make_route, drawn)
    lean, full = built(routes), RouteTable(routes)
    for request in requests:
        found, expected = lean.match(*request), full.match(*request)
        if isinstance(expected, Match):
            assert isinstance(found, Match), request
            assert found.index == expected.index, request
        else:
            assert isinstance(found, Refusal), request
            assert (found.status, found.headers) == (expected.status, expected.headers), request


def test_a_first_segment_decides_only_where_nothing_else_begins_with_it(
    make_route: MakeRoute,
) -> None:
    patterns = ["/*", "/a/*", "/b/*", "/b/c", "/d/*", "/d/{x}/e", "/f/*", "/f", "/g/*", "/"]
    table = built([*map(make_route, patterns), make_route("/g/*", methods=["PUT"])])
    (paths,) = table._default
    assert paths.rest is not None
    assert {first for first, match in paths.whole.items() if match is not None} == {"a"}
    assert taken(table, "GET  /a/b/c") == taken(table, "GET  /a") == (1, ())
    assert [taken(table, f"GET  {path}")[0] for path in ("/b/c", "/b/d", "/d/1/e", "/d/1")] == [
        *(3, 2, 5, 4)
    ]
    assert [taken(table, f"GET  {path}")[0] for path in ("/f", "/f/1", "/g/1", "/", "/z")] == [
        *(7, 6, 8, 9, 0)
    ]
    assert taken(table, "PUT  /g/1") == (10, ())
    forked = built([make_route("/{x}/b"), make_route("/a/*")])
    assert [taken(forked, f"GET  {path}")[0] for path in ("/a/b", "/a/c")] == [0, 1]


def test_refusals_carry_their_reason_for_the_log(make_route: MakeRoute) -> None:
    table = RouteTable([make_route("/a", methods=["GET"])])
    missing, refused = table.match("", "GET", "/b"), table.match("", "POST", "/a")
    assert isinstance(missing, Refusal)
    assert isinstance(refused, Refusal)
    assert (missing.status, missing.reason) == (404, "no_route")
    assert (refused.status, refused.reason) == (405, "method_not_allowed")


def test_a_table_built_for_serving_captures_what_a_route_makes_something_of(
    make_route: MakeRoute,
) -> None:
    routes = [make_route("/a/{id}", rewrite="/x/{id}"), make_route("/b/*", rewrite="/y/{*}")]
    table = built([*routes, make_route("/c/{id}"), make_route("/d/*")])
    assert taken(table, "GET - /a/7") == (0, ("7",))
    assert taken(table, "GET - /b/7/8") == (1, ("/7/8",))
    assert taken(table, "GET - /c/7") == (2, ())
    assert taken(table, "GET - /d/7") == (3, ())
