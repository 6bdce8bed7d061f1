from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.config.snapshot import Route
from gwd.http.problem import Refusal
from gwd.routing.explain import describe, explain
from gwd.routing.table import Match, RouteTable, conflicts

MakeRoute = Callable[..., Route]


def reasons(routes: list[Route], request: str) -> dict[str, str]:
    """Why each route did not win "METHOD host path", by its name, nearest first."""
    method, host, path = request.split(" ")
    explanation = explain(routes, RouteTable(routes), host, method, path)
    return {routes[loser.index].name: loser.why for loser in explanation.losers}


def test_the_losers_of_the_contract_example(make_route: MakeRoute) -> None:
    routes = [
        make_route("/orders/*", host="api.company.com", name="orders"),
        make_route("/home/{user}", name="home"),
        make_route("/*", name="fallback"),
    ]
    assert reasons(routes, "GET api.company.com /orders/7") == {
        "fallback": "matches, but routes without host come last",
        "home": "/home/{user} differs at segment 1",
    }
    assert describe(routes[0]) == "exact host, prefix /orders/*"
    assert describe(routes[1]) == "any host, parameters /home/{user}"


@pytest.mark.parametrize(
    ("winner", "loser", "request_", "why"),
    [
        ({"path": "/a"}, {"path": "/a", "host": "h.io"}, "GET x.io /a", "host h.io is not x.io"),
        ({"path": "/a"}, {"path": "/a", "host": "*.io"}, "GET  /a", "host *.io is not no host"),
        ({"path": "/a"}, {"path": "/a/b"}, "GET  /a", "/a/b has 2 segments, the path 1"),
        ({"path": "/a/b"}, {"path": "/a"}, "GET  /a/b", "/a ends before segment 2"),
        (
            {"path": "/a/"},
            {"path": "/a"},
            "GET  /a/",
            "/a has no slash at the end, the path has one",
        ),
        (
            {"path": "/a/"},
            {"path": "/a/{x}"},
            "GET  /a/",
            "/a/{x} has a parameter at segment 2, where the path is empty",
        ),
        ({"path": "/a"}, {"path": "/a", "methods": ["GET"]}, "PUT  /a", "takes GET only"),
        (
            {"path": "/a", "host": "a.io"},
            {"path": "/a", "host": "*.io"},
            "GET a.io /a",
            "matches, but wildcard host *.io comes after an exact host",
        ),
        (
            {"path": "/a", "host": "*.b.io"},
            {"path": "/a", "host": "*.io"},
            "GET a.b.io /a",
            "matches, but wildcard host *.io is shorter than *.b.io",
        ),
        (
            {"path": "/a"},
            {"path": "/{x}"},
            "GET  /a",
            "matches, but parameters come after an exact path",
        ),
        (
            {"path": "/a"},
            {"path": "/*"},
            "GET  /a",
            "matches, but a prefix comes after an exact path",
        ),
        (
            {"path": "/{x}"},
            {"path": "/*"},
            "GET  /a",
            "matches, but a prefix comes after parameters",
        ),
        (
            {"path": "/a/{x}/*"},
            {"path": "/a/*"},
            "GET  /a/b/c",
            "matches, but prefix /a/* is shorter than /a/{x}/*",
        ),
        (
            {"path": "/a/{x}"},
            {"path": "/{x}/b"},
            "GET  /a/b",
            "matches, but at segment 1 a literal comes before a parameter",
        ),
        (
            {"path": "/a", "methods": ["GET"]},
            {"path": "/a"},
            "GET  /a",
            "matches, but a route that lists the method comes first",
        ),
    ],
)
def test_the_first_rule_that_decides_is_the_one_said(
    make_route: MakeRoute,
    winner: dict[str, object],
    loser: dict[str, object],
    request_: str,
    why: str,
) -> None:
    routes = [make_route(**loser, name="loser"), make_route(**winner, name="winner")]
    assert reasons(routes, request_) == {"loser": why}


def test_losers_come_nearest_first(make_route: MakeRoute) -> None:
    routes = [
        make_route("/z", name="path"),
        make_route("/a/c", name="longer path"),
        make_route("/a/b", host="h", name="host"),
        make_route("/a/b", methods=["PUT"], name="method"),
        make_route("/a/*", name="match"),
        make_route("/a/b", name="winner"),
    ]
    assert list(reasons(routes, "GET  /a/b")) == ["match", "method", "longer path", "path", "host"]


def test_without_a_winner_every_route_has_a_reason(make_route: MakeRoute) -> None:
    routes = [make_route("/a", methods=["GET"], name="get"), make_route("/b", name="b")]
    explanation = explain(routes, RouteTable(routes), "", "POST", "/a")
    assert isinstance(explanation.outcome, Refusal)
    assert explanation.outcome.status == 405
    assert reasons(routes, "POST  /a") == {"get": "takes GET only", "b": "/b differs at segment 1"}


PATTERNS = st.sampled_from(
    ["/", "/a", "/a/", "/*", "/a/*", "/{x}", "/{x}/b", "/a/{x}", "/{x}/*", "/a/{x}/*", "/a/b/{x}"]
)
HOSTS = st.sampled_from([None, "x.io", "*.io", "*.x.io"])
METHODS = st.sampled_from([(), ("GET", "HEAD"), ("POST",)])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(PATTERNS, HOSTS, METHODS), max_size=10),
    st.sampled_from(["", "x.io", "y.io", "a.x.io"]),
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sampled_from(["/", "/a", "/a/", "/a/b", "/b/b", "/a/b/c", "/a/b/c/d"]),
)
def test_the_words_agree_with_what_matches(
    make_route: MakeRoute,
    reference: Callable[[list[Route]], object],
    drawn: list[tuple[str, str | None, tuple[str, ...]]],
    host: str,
    method: str,
    path: str,
) -> None:
    routes = [make_route(p, host=h, methods=m) for p, h, m in drawn]
    clashing = {id(conflict.second) for conflict in conflicts(routes)}
    routes = [route for route in routes if id(route) not in clashing]
    explanation = explain(routes, RouteTable(routes), host, method, path)
    takers = {index for index, _ in reference(routes).takers(host, method, path)}  # type: ignore[attr-defined]
    matching = {loser.index for loser in explanation.losers if loser.why.startswith("matches")}
    if isinstance(explanation.outcome, Match):
        matching.add(explanation.outcome.index)
    assert matching == takers
