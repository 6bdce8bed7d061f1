"""The paths of one host: which of its patterns takes a path.

Strategy. One dictionary of exact paths and one tree of segments. The tree is walked depth-first,
literal before parameter, which yields the order of `gwd.routing.table` by itself; prefixes met on
the way are kept, the deepest first. A walk visits no node twice: its cost is the depth of the
deepest pattern where no literal stands beside a parameter, and the size of the tree at worst,
whatever a client sends. Where all that begins with a segment goes to one route (`/orders/*` and
nothing else below `/orders`), that segment alone decides.

Matches without captures are shared between requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter

from gwd.routing.pattern import PathPattern

SLICE = 256
"""Path segments looked at between two yields while building: about a millisecond's work."""


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


class Leaf:
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

    def sole(self) -> Match | None:
        """The match of whatever it takes, if that is always the same one."""
        match = self.otherwise
        return match if match is not None and match.serves and not self.by_method else None

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


class Node:
    """A place in the tree of segments: what may come next, and the patterns that end here."""

    __slots__ = ("leaf", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.leaf: Leaf | None = None
        self.rest: Leaf | None = None


class Paths:
    """All routes of one host: exact paths apart, the others in a tree."""

    __slots__ = ("depth", "exact", "rest", "start", "whole")

    def __init__(self) -> None:
        self.exact: dict[str, Leaf] = {}
        self.start: Node | None = None
        """Behind the first slash."""
        self.depth = 0
        self.whole: dict[str, Match | None] = {}
        """By the first segment of a path, the match of all paths that begin with it; None if it
        takes more to decide."""
        self.rest: Match | None = None
        """The same for the segments that stand at the beginning of no pattern."""

    def leaf(self, pattern: PathPattern) -> Leaf:
        """The leaf of `pattern`, new if need be."""
        literal = pattern.literal
        if literal is not None:
            return self.exact.setdefault(literal, Leaf(pattern))
        if self.start is None:
            self.start = Node()
        node = self.start
        for segment in pattern.segments:
            if segment is not None:
                child = node.literals.get(segment)
                if child is None:
                    child = node.literals[segment] = Node()
                node = child
            else:
                if node.parameter is None:
                    node.parameter = Node()
                node = node.parameter
        self.depth = max(self.depth, len(pattern.segments))
        leaf = node.rest if pattern.rest else node.leaf
        if leaf is None:
            leaf = Leaf(pattern)
            if pattern.rest:
                node.rest = leaf
            else:
                node.leaf = leaf
        return leaf

    def close(self) -> Iterator[None]:
        """All patterns are here: see where the first segment of a path decides. In slices."""
        start = self.start
        if start is None or start.parameter is not None:
            return  # a parameter there may take what a prefix would
        self.rest = start.rest.sole() if start.rest is not None else None
        for number, (segment, node) in enumerate(start.literals.items(), 1):
            below = node.literals or node.parameter is not None or node.leaf is not None
            self.whole[segment] = None if below or node.rest is None else node.rest.sole()
            if not number % SLICE:
                yield
        for number, path in enumerate(self.exact, 1):
            self.whole[path.split("/", 2)[1]] = None
            if not number % SLICE:
                yield

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
        node: Node | None = self.start
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
        prefix: Leaf | None = None
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

    def _walk(self, parts: list[str]) -> Iterator[tuple[Node, int]]:
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
