"""The routing table: which route takes a request.

The order among the routes that match a request, whatever their order in the file:

1. host: exact, then the longest wildcard, then none;
2. path: exact, then parameters, then the longest prefix (most segments);
   between two of one kind and length a literal beats a parameter at the first segment in which
   they differ: `/a/{x}/c` beats `/{y}/b/c` on `/a/b/c`;
3. methods: a route that lists the method beats one without `methods`.

A route that does not take the method does not match; the next in this order may (as in KrakenD,
Traefik or Go's mux). Only if every route that fits host and path refuses the method is the answer
405, its Allow the union of theirs.

Strategy. Per host one `tree.Paths`; for each known host the groups to try are a chain computed
beforehand.

Invariants: paths handed in are in normal form (`gwd.http.paths`), hosts lower-case without port.
A table never changes once built.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from gwd.config.snapshot import Route
from gwd.http.problem import Refusal
from gwd.routing.conflict import RouteConflict, Witnesses
from gwd.routing.pattern import PathPattern, wildcard_suffix
from gwd.routing.tree import SLICE, Match, Paths

__all__ = ["Match", "RouteTable", "conflicts", "uses_captures"]


class RouteTable:
    """All routes, immutable.

    Raises, when made, RouteConflict for two routes that no request can tell apart (same host, same
    path but for parameters' names, and a method that both list or that neither restricts), and
    PatternError for a host or path that means nothing. `build` is the same in slices.
    """

    __slots__ = ("_chains", "_default", "_lean", "_suffix_chains", "_suffix_depths")

    _lean: bool

    def __init__(self, routes: Sequence[Route]) -> None:
        self._lean = False
        for _ in self._raising(routes):
            pass

    @classmethod
    def build(cls, routes: Sequence[Route]) -> Generator[None, None, RouteTable]:
        """Build in slices of about a millisecond: `table = yield from RouteTable.build(routes)`.

        Matches of routes that make nothing of their captures are then without. Raises as the
        constructor does.
        """
        table = cls(())
        table._lean = True
        yield from table._raising(routes)
        return table

    def match(self, host: str, method: str, path: str) -> Match | Refusal:
        """The route for a request, or why there is none.

        `host` lower-case without port ("" if the request has none), `path` in normal form.
        Returns a Refusal 404 "no_route" or 405 "method_not_allowed" with Allow.
        """
        if path[0] != "/":
            return _nowhere()  # "*", which is no path: no pattern is meant for it
        chain = self._chains.get(host)
        if chain is None:
            chain = self._chain_of(host) if self._suffix_depths else self._default
        first = path.split("/", 2)[1]
        for paths in chain:
            match = paths.whole.get(first, paths.rest) or paths.find(method, path)
            if match is not None:
                return match
        allowed = {method for paths in chain for method in paths.methods(path)}
        if not allowed:
            return _nowhere()
        allow = ", ".join(sorted(allowed))
        return Refusal(
            405,
            "method_not_allowed",
            f"This path takes {allow}.",
            headers=(("Allow", allow),),
        )

    def _raising(self, routes: Sequence[Route]) -> Iterator[None]:
        found: list[RouteConflict] = []
        yield from self._grow(routes, found)
        if found:
            raise found[0]

    def _grow(self, routes: Sequence[Route], conflicts: list[RouteConflict]) -> Iterator[None]:
        hosts: dict[str | None, Paths] = {}
        rivals: list[tuple[int, int]] = []
        work = 0
        for index, route in enumerate(routes):
            paths = hosts.get(route.host)
            if paths is None:
                paths = hosts[route.host] = Paths()
            pattern = PathPattern(route.path)
            rival = paths.leaf(pattern).add(
                index, route.methods, self._lean and not uses_captures(route)
            )
            if rival is not None:
                rivals.append((rival, index))
            work += len(pattern.segments) + 1
            if work >= SLICE:
                work = 0
                yield
        for paths in hosts.values():
            yield from paths.close()
        yield from self._link(hosts)
        if rivals:
            witnesses = Witnesses(routes, self._gives)
            conflicts.extend(witnesses.conflict(first, second) for first, second in rivals)

    def _gives(self, host: str, method: str, path: str, index: int) -> bool:
        match = self.match(host, method, path)
        return isinstance(match, Match) and match.index == index

    def _link(self, hosts: dict[str | None, Paths]) -> Iterator[None]:
        """Compute which groups a host tries, in order."""
        suffixes: list[tuple[str, Paths]] = []
        exact: list[tuple[str, Paths]] = []
        for host, paths in hosts.items():
            if host is not None:
                suffix = wildcard_suffix(host)
                if suffix is None:
                    exact.append((host, paths))
                else:
                    suffixes.append((suffix, paths))
        suffixes.sort(key=lambda item: item[0].count("."))
        self._default = (hosts[None],) if None in hosts else ()
        self._chains: dict[str, tuple[Paths, ...]] = {}
        self._suffix_chains: dict[str, tuple[Paths, ...]] = {}
        self._suffix_depths: tuple[int, ...] = ()
        for number, (suffix, paths) in enumerate(suffixes, 1):
            # A host under "*.a.b" is under "*.b" too, if that exists: its chain is known by now.
            self._suffix_chains[suffix] = (paths, *self._chain_of(suffix))
            depth = suffix.count(".") + 1
            if self._suffix_depths[:1] != (depth,):
                self._suffix_depths = (depth, *self._suffix_depths)
            if not number % SLICE:
                yield
        for number, (host, paths) in enumerate(exact, 1):
            self._chains[host] = (paths, *self._chain_of(host))
            if not number % SLICE:
                yield

    def _chain_of(self, host: str) -> tuple[Paths, ...]:
        """What a host without routes of its own tries: its longest wildcard's chain, or none's."""
        depths = self._suffix_depths
        if depths:
            labels = host.rsplit(".", depths[0])
            for depth in depths:
                if depth < len(labels):
                    chain = self._suffix_chains.get(".".join(labels[-depth:]))
                    if chain is not None and not host.startswith("."):
                        return chain
        return self._default


def uses_captures(route: Route) -> bool:
    """Whether what a request's path captures goes anywhere."""
    redirects = route.respond is not None and route.respond.redirect is not None
    return route.rewrite is not None or bool(route.parts) or redirects


def conflicts(routes: Sequence[Route]) -> list[RouteConflict]:
    """Every route that cannot be told from an earlier one, each with the first such.

    Raises PatternError.
    """
    found: list[RouteConflict] = []
    table = RouteTable(())
    for _ in table._grow(routes, found):
        pass
    return found


def _nowhere() -> Refusal:
    return Refusal(404, "no_route", "No route takes this host and path.")
