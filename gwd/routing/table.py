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

Strategy: per host one dictionary of exact paths and one tree of segments; for each known host the
groups to try are a chain computed beforehand. The tree is walked depth-first, literal before
parameter, which yields the order of 2. by itself; prefixes met on the way are kept, the deepest
first. A walk visits no node twice: its cost is the depth of the deepest pattern where no literal
stands beside a parameter, and the size of the tree at worst, whatever a client sends.

Invariants: paths handed in are in normal form (`gwd.http.paths`), hosts lower-case without port.
A table never changes once built; matches without captures are shared between requests.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from operator import itemgetter

from gwd.config.snapshot import Route
from gwd.http.problem import Refusal
from gwd.routing.conflict import RouteConflict, Witnesses
from gwd.routing.pattern import PathPattern, wildcard_suffix

_SLICE = 256
"""Path segments added between two yields while building: about a millisecond's work."""


class Match:
    """The route that takes a request.

    `index`: into the routes the table was built from. `captures`: one per parameter, still
    percent-encoded, never empty; for a `/*` pattern last what follows the prefix, with its slash:
    "" for the prefix itself, else "/" or "/7/items".
    """

    __slots__ = ("captures", "index", "serves")

    def __init__(self, index: int, captures: tuple[str, ...], serves: bool = False) -> None:
        self.index = index
        self.captures = captures
        self.serves = serves
        """Whether it may be handed out as it is, for its route asks for no captures."""

    def __repr__(self) -> str:
        return f"Match({self.index}, {self.captures!r})"


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
            chain = self._chain_of(host)
        for paths in chain:
            match = paths.find(method, path)
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
        hosts: dict[str | None, _Paths] = {}
        rivals: list[tuple[int, int]] = []
        work = 0
        for index, route in enumerate(routes):
            paths = hosts.get(route.host)
            if paths is None:
                paths = hosts[route.host] = _Paths()
            pattern = PathPattern(route.path)
            rival = paths.leaf(pattern).add(
                index, route.methods, self._lean and not uses_captures(route)
            )
            if rival is not None:
                rivals.append((rival, index))
            work += len(pattern.segments) + 1
            if work >= _SLICE:
                work = 0
                yield
        yield from self._link(hosts)
        if rivals:
            witnesses = Witnesses(routes, self._gives)
            conflicts.extend(witnesses.conflict(first, second) for first, second in rivals)

    def _gives(self, host: str, method: str, path: str, index: int) -> bool:
        match = self.match(host, method, path)
        return isinstance(match, Match) and match.index == index

    def _link(self, hosts: dict[str | None, _Paths]) -> Iterator[None]:
        """Compute which groups a host tries, in order."""
        suffixes: list[tuple[str, _Paths]] = []
        exact: list[tuple[str, _Paths]] = []
        for host, paths in hosts.items():
            if host is not None:
                suffix = wildcard_suffix(host)
                if suffix is None:
                    exact.append((host, paths))
                else:
                    suffixes.append((suffix, paths))
        suffixes.sort(key=lambda item: item[0].count("."))
        self._default = (hosts[None],) if None in hosts else ()
        self._chains: dict[str, tuple[_Paths, ...]] = {}
        self._suffix_chains: dict[str, tuple[_Paths, ...]] = {}
        self._suffix_depths: tuple[int, ...] = ()
        for number, (suffix, paths) in enumerate(suffixes, 1):
            # A host under "*.a.b" is under "*.b" too, if that exists: its chain is known by now.
            self._suffix_chains[suffix] = (paths, *self._chain_of(suffix))
            depth = suffix.count(".") + 1
            if self._suffix_depths[:1] != (depth,):
                self._suffix_depths = (depth, *self._suffix_depths)
            if not number % _SLICE:
                yield
        for number, (host, paths) in enumerate(exact, 1):
            self._chains[host] = (paths, *self._chain_of(host))
            if not number % _SLICE:
                yield

    def _chain_of(self, host: str) -> tuple[_Paths, ...]:
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


class _Leaf:
    """The routes of one host and one path shape, by method."""

    __slots__ = ("by_method", "captures", "end", "length", "otherwise", "single")

    def __init__(self, pattern: PathPattern) -> None:
        self.by_method: dict[str, Match] = {}
        self.otherwise: Match | None = None
        # Where the parameters stand among a path's segments.
        positions = [i for i, segment in enumerate(pattern.segments) if segment is None]
        self.single = positions[0] if len(positions) == 1 else -1
        """The position of the only parameter; -1 if there is none or several."""
        self.captures: Callable[[list[str]], tuple[str, ...]] = (
            itemgetter(*positions) if len(positions) > 1 else lambda parts: ()
        )
        """Takes none or several parameters from a path's segments."""
        self.end = len(pattern.segments)
        """How many segments the pattern takes up."""
        self.length = -1 if positions else sum(len(s) + 1 for s in pattern.segments if s)
        """Length of the path the pattern takes up, where that is always the same; else -1."""

    def match(self, index: int, parts: list[str]) -> Match:
        """The match of a pattern with parameters and no rest."""
        if self.single >= 0:
            return Match(index, (parts[self.single],))
        return Match(index, self.captures(parts))

    def prefix_match(self, index: int, parts: list[str], path: str) -> Match:
        """The match of a pattern with rest."""
        if self.length >= 0:
            return Match(index, (path[self.length :],))
        rest = "/" + "/".join(parts[self.end :]) if self.end < len(parts) else ""
        if self.single >= 0:
            return Match(index, (parts[self.single], rest))
        return Match(index, (*self.captures(parts), rest))

    def add(self, index: int, methods: tuple[str, ...], serves: bool) -> int | None:
        """Add a route; returns the index of one that cannot be told from it, and adds nothing."""
        match = Match(index, (), serves)
        if not methods:
            if self.otherwise is not None:
                return self.otherwise.index
            self.otherwise = match
            return None
        for method in methods:
            if method in self.by_method:
                return self.by_method[method].index
        self.by_method.update(dict.fromkeys(methods, match))
        return None


class _Node:
    """A place in the tree of segments: what may come next, and the patterns that end here."""

    __slots__ = ("leaf", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.leaf: _Leaf | None = None
        self.rest: _Leaf | None = None


class _Paths:
    """All routes of one host: exact paths apart, the others in a tree."""

    __slots__ = ("depth", "exact", "start")

    def __init__(self) -> None:
        self.exact: dict[str, _Leaf] = {}
        self.start: _Node | None = None
        """Behind the first slash."""
        self.depth = 0

    def leaf(self, pattern: PathPattern) -> _Leaf:
        """The leaf of `pattern`, new if need be."""
        literal = pattern.literal
        if literal is not None:
            return self.exact.setdefault(literal, _Leaf(pattern))
        if self.start is None:
            self.start = _Node()
        node = self.start
        for segment in pattern.segments:
            if segment is not None:
                child = node.literals.get(segment)
                if child is None:
                    child = node.literals[segment] = _Node()
                node = child
            else:
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
        self.depth = max(self.depth, len(pattern.segments))
        leaf = node.rest if pattern.rest else node.leaf
        if leaf is None:
            leaf = _Leaf(pattern)
            if pattern.rest:
                node.rest = leaf
            else:
                node.leaf = leaf
        return leaf

    def find(self, method: str, path: str) -> Match | None:
        """The most specific route of this host for `path` that takes `method`.

        Follows the one way there usually is; where the tree forks, or a pattern on the way does
        not take the method, `search` decides.
        """
        leaf = self.exact.get(path)
        if leaf is not None:
            found = leaf.by_method.get(method) or leaf.otherwise
            if found is not None:
                return found
        node: _Node | None = self.start
        if node is None:
            return None
        # What lies deeper than any pattern stays one piece: only a prefix can take it.
        parts = path[1:].split("/", self.depth)
        prefix = None
        for part in parts:
            if node.rest is not None:
                prefix = node.rest
            child = node.literals.get(part)
            if child is None:
                node = node.parameter if part else None
                if node is None:
                    break
            elif node.parameter is not None and part:
                return self.search(method, path)
            else:
                node = child
        if node is not None:
            leaf = node.leaf
            if leaf is not None:
                found = leaf.by_method.get(method) or leaf.otherwise
                if found is None:
                    return self.search(method, path)
                if found.serves:
                    return found
                if leaf.single >= 0:  # as in leaf.match, without the call
                    return Match(found.index, (parts[leaf.single],))
                return leaf.match(found.index, parts)
            if node.rest is not None:
                prefix = node.rest
        if prefix is None:
            return None
        found = prefix.by_method.get(method) or prefix.otherwise
        if found is None:
            return self.search(method, path)
        if found.serves:
            return found
        if prefix.length >= 0:  # as in prefix.prefix_match
            return Match(found.index, (path[prefix.length :],))
        return prefix.prefix_match(found.index, parts, path)

    def search(self, method: str, path: str) -> Match | None:
        """`find` in the tree, in general: depth-first, literals before parameters."""
        parts = path[1:].split("/", self.depth)
        prefix: _Leaf | None = None
        index = 0
        for node, at in self._walk(parts):
            leaf = node.leaf
            if leaf is not None and at == len(parts):
                found = leaf.by_method.get(method) or leaf.otherwise
                if found is not None:
                    return leaf.match(found.index, parts)
            leaf = node.rest
            if leaf is not None and (prefix is None or at > prefix.end):
                found = leaf.by_method.get(method) or leaf.otherwise
                if found is not None:
                    prefix, index = leaf, found.index
        return None if prefix is None else prefix.prefix_match(index, parts, path)

    def methods(self, path: str) -> set[str]:
        """Methods of all routes that match `path`; for Allow, so none of them is without."""
        leaves = [self.exact.get(path)]
        parts = path[1:].split("/", self.depth)
        for node, at in self._walk(parts):
            leaves.append(node.rest)
            if at == len(parts):
                leaves.append(node.leaf)
        return {method for leaf in leaves if leaf is not None for method in leaf.by_method}

    def _walk(self, parts: list[str]) -> Iterator[tuple[_Node, int]]:
        """Every node whose patterns begin like the path, with how many parts lie behind it."""
        turns = [(self.start, 0)] if self.start is not None else []
        while turns:
            node, at = turns.pop()
            yield node, at
            if at < len(parts):
                part = parts[at]
                if node.parameter is not None and part:
                    turns.append((node.parameter, at + 1))
                child = node.literals.get(part)
                if child is not None:
                    turns.append((child, at + 1))
