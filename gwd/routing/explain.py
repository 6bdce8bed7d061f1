"""Why this route and not another, in words.

Strategy: the winner is asked from the table that the gateway itself would use. Every other route
is then compared with the request by its own pattern alone, in the order of precedence (host, path,
method), and the first thing that speaks against it is said; if nothing does, it matches too, and
the first rule by which the winner ranks before it is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gwd.config.snapshot import Route
from gwd.http.problem import Refusal
from gwd.routing.pattern import EXACT, PARAMETERS, PathPattern, wildcard_suffix
from gwd.routing.table import Match, RouteTable

_HOST, _PATH, _METHOD, _MATCHES = range(4)


@dataclass(frozen=True, slots=True)
class Loser:
    """A route that did not win, and why."""

    index: int
    why: str
    closeness: tuple[int, int]
    """How far it came; the greater, the nearer to winning."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """`outcome`: the match or refusal, as the gateway decides it. `losers`: nearest first."""

    outcome: Match | Refusal
    losers: tuple[Loser, ...]


def explain(
    routes: Sequence[Route], table: RouteTable, host: str, method: str, path: str
) -> Explanation:
    """Explain `table.match(host, method, path)`; `table` must be built from `routes`."""
    outcome = table.match(host, method, path)
    winner = outcome.index if isinstance(outcome, Match) else None
    losers = [
        _compare(routes, index, winner, host, method, path)
        for index in range(len(routes))
        if index != winner
    ]
    losers.sort(key=lambda loser: loser.closeness, reverse=True)  # stable: file order within
    return Explanation(outcome, tuple(losers))


def describe(route: Route) -> str:
    """How specific a route is: "exact host, prefix /orders/*"."""
    if route.host is None:
        host = "any host"
    elif wildcard_suffix(route.host) is None:
        host = "exact host"
    else:
        host = f"wildcard host {route.host}"
    return f"{host}, {_kind(PathPattern(route.path))} {route.path}"


def _kind(pattern: PathPattern) -> str:
    return ("exact path", "parameters", "prefix")[pattern.kind]


def _compare(
    routes: Sequence[Route], index: int, winner: int | None, host: str, method: str, path: str
) -> Loser:
    route = routes[index]
    if not _host_matches(route, host):
        asked = host or "no host"
        return Loser(index, f"host {route.host} is not {asked}", (_HOST, 0))
    pattern = PathPattern(route.path)
    segments = path.split("/")[1:]
    agreed, against = _path_difference(pattern, segments)
    if against:
        return Loser(index, f"{route.path} {against}", (_PATH, agreed))
    if route.methods and method not in route.methods:
        return Loser(index, f"takes {', '.join(route.methods)} only", (_METHOD, agreed))
    if winner is None:  # cannot be: it would have been the winner
        return Loser(index, "matches", (_MATCHES, agreed))
    return Loser(index, f"matches, but {_outranked(routes[winner], route)}", (_MATCHES, agreed))


def _host_matches(route: Route, host: str) -> bool:
    if route.host is None:
        return True
    suffix = wildcard_suffix(route.host)
    if suffix is None:
        return host == route.host
    return host.endswith(f".{suffix}") and not host.startswith(".")


def _path_difference(pattern: PathPattern, segments: list[str]) -> tuple[int, str]:
    """How many segments agree, and what speaks against the pattern; "" if it matches."""
    wanted = pattern.segments
    for position, (want, have) in enumerate(zip(wanted, segments, strict=False)):
        if want is None and not have:
            return position, f"has a parameter at segment {position + 1}, where the path is empty"
        if want is not None and want != have:
            return position, f"differs at segment {position + 1}"
    if len(segments) < len(wanted):
        return len(segments), f"has {len(wanted)} segments, the path {len(segments)}"
    if len(segments) > len(wanted) and not pattern.rest:
        if segments[len(wanted) :] == [""]:
            return len(wanted), "has no slash at the end, the path has one"
        return len(wanted), f"ends before segment {len(wanted) + 1}"
    return len(wanted), ""


def _outranked(winner: Route, loser: Route) -> str:
    """The first rule by which `winner` ranks before `loser`; both match."""
    if winner.host != loser.host:
        if loser.host is None:
            return "routes without host come last"
        if winner.host is None or wildcard_suffix(winner.host) is None:
            return f"wildcard host {loser.host} comes after an exact host"
        return f"wildcard host {loser.host} is shorter than {winner.host}"
    first, second = PathPattern(winner.path), PathPattern(loser.path)
    if first.kind != second.kind:
        if first.kind == EXACT:
            return f"{_named(second)} after an exact path"
        return f"{_named(second)} after parameters"
    if len(first.segments) != len(second.segments):
        return f"prefix {second.text} is shorter than {first.text}"
    for position, (one, other) in enumerate(zip(first.segments, second.segments, strict=True), 1):
        if (one is None) != (other is None):
            return f"at segment {position} a literal comes before a parameter"
    return "a route that lists the method comes first"


def _named(pattern: PathPattern) -> str:
    return "parameters come" if pattern.kind == PARAMETERS else "a prefix comes"
