"""Two routes that could never be told apart, and the request that shows it.

Strategy: routes of one host and one path shape match the same requests, so any host, path and
method made from the pattern is taken by both. A reader believes it best if no third route gets in
the way: of a few candidates the first is chosen for which the finished table names the pair; names
that stand in no pattern ("x", "xx", …) make sure that there nearly always is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gwd.config.snapshot import Route
from gwd.routing.pattern import PathPattern, wildcard_suffix

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class RouteConflict(Exception):
    """`first` and `second` (in file order) both take `witness`, and nothing ranks them.

    `witness` is a request as `gwd explain` takes it: "GET http://api.company.com/orders/x", or
    "GET /orders/x" where the routes have no host.
    """

    def __init__(self, first: Route, second: Route, witness: str) -> None:
        super().__init__(first, second, witness)
        self.first = first
        self.second = second
        self.witness = witness

    def __str__(self) -> str:
        line = f" (line {self.first.line})" if self.first.line else ""
        return (
            f'"{self.second.name}" cannot be told from "{self.first.name}"{line}:'
            f" both would take {self.witness}"
        )


class Witnesses:
    """Makes witnesses for the conflicts among `routes`.

    `wins(host, method, path, route)` tells whether the finished table gives that request to
    the route with that index.
    """

    def __init__(self, routes: Sequence[Route], wins: Callable[[str, str, str, int], bool]) -> None:
        patterns = [PathPattern(route.path) for route in routes]
        literals = {s for pattern in patterns for s in pattern.segments if s is not None}
        self._routes = routes
        self._wins = wins
        self._hosts = {route.host for route in routes}
        self._segment = _fresh(literals, "x")
        self._method = _fresh({method for route in routes for method in route.methods}, "X")
        self._deepest = max((len(pattern.segments) for pattern in patterns), default=0)

    def conflict(self, first: int, second: int) -> RouteConflict:
        """The conflict between two routes, by index, of one host and path shape."""
        one, other = self._routes[first], self._routes[second]
        host = self._host(one.host)
        requests = [
            (method, path)
            for method in self._methods(one, other)
            for path in self._paths(PathPattern(one.path))
        ]
        method, path = next(
            (request for request in requests if self._wins(host, *request, first)), requests[0]
        )
        place = f"http://{host}" if host else ""
        return RouteConflict(one, other, f"{method} {place}{path}")

    def _host(self, host: str | None) -> str:
        suffix = wildcard_suffix(host) if host is not None else None
        if suffix is None:
            return host or ""
        label = "x"
        while f"{label}.{suffix}" in self._hosts:
            label += "x"
        return f"{label}.{suffix}"

    def _methods(self, one: Route, other: Route) -> Iterator[str]:
        if one.methods:
            yield from (method for method in one.methods if method in other.methods)
        else:
            yield from _METHODS
            yield self._method

    def _paths(self, pattern: PathPattern) -> Iterator[str]:
        segments = [self._segment if segment is None else segment for segment in pattern.segments]
        path = "".join(f"/{segment}" for segment in segments)
        if not pattern.rest:
            yield path
            return
        yield f"{path}/{self._segment}"
        yield path + f"/{self._segment}" * (self._deepest + 1 - len(segments))
        yield f"{path}/"
        if path:
            yield path


def _fresh(used: set[str], letter: str) -> str:
    word = letter
    while word in used:
        word += letter
    return word
