"""A reference for routing that shares nothing with the table: regexes, ranks and a linear scan."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from gwd.config.snapshot import Respond, Route

MakeRoute = Callable[..., Route]
Found = tuple[int, tuple[str, ...]] | frozenset[str] | None
"""(index, captures), or the methods of a 405, or None for a 404."""


def _make_route(
    path: str,
    *,
    host: str | None = None,
    methods: Sequence[str] = (),
    name: str = "",
    rewrite: str | None = None,
    line: int = 0,
) -> Route:
    return Route(
        name=name or path,
        host=host,
        path=path,
        methods=tuple(methods),
        auth=(),
        auth_optional=False,
        scopes=(),
        timeout=None,
        max_body=None,
        encoded_slash="reject",
        upstream=None,
        rewrite=rewrite,
        parts=(),
        respond=Respond(status=200, body=b"", headers=(), redirect=None),
        line=line,
    )


@pytest.fixture(scope="session")
def make_route() -> MakeRoute:
    return _make_route


class Reference:
    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes

    def candidates(self, host: str, path: str) -> list[tuple[int, tuple[str, ...]]]:
        """Routes that match but for the method, with their captures."""
        found = []
        for index, route in enumerate(self.routes):
            if route.host is not None and not re.fullmatch(_host_regex(route.host), host):
                continue
            match = re.fullmatch(_path_regex(route.path), path)
            if match:
                found.append((index, match.groups()))
        return found

    def takers(self, host: str, method: str, path: str) -> list[tuple[int, tuple[str, ...]]]:
        """Routes that match, the most specific first."""
        return sorted(
            (
                (index, captures)
                for index, captures in self.candidates(host, path)
                if not self.routes[index].methods or method in self.routes[index].methods
            ),
            key=lambda found: _rank(self.routes[found[0]]),
        )

    def match(self, host: str, method: str, path: str) -> Found:
        takers = self.takers(host, method, path)
        if takers:
            return takers[0]
        methods = {
            m for index, _ in self.candidates(host, path) for m in self.routes[index].methods
        }
        return frozenset(methods) or None

    def ambiguous(self) -> set[tuple[int, int]]:
        """Pairs of equal rank that share host, path shape and a method."""
        return {
            (one, other)
            for other, route in enumerate(self.routes)
            for one, earlier in enumerate(self.routes[:other])
            if earlier.host == route.host
            and _shape(earlier.path) == _shape(route.path)
            and bool(earlier.methods) == bool(route.methods)
            and (not route.methods or set(earlier.methods) & set(route.methods))
        }


@pytest.fixture(scope="session")
def reference() -> type[Reference]:
    return Reference


def _host_regex(host: str) -> str:
    return r"(?:[^.]+\.)+" + re.escape(host[2:]) if host.startswith("*.") else re.escape(host)


def _path_regex(path: str) -> str:
    base, rest = (path[:-2], r"(|/.*)") if path.endswith("/*") else (path, "")
    return "".join("([^/]+)" if p.startswith("{") else re.escape(p) for p in _pieces(base)) + rest


def _pieces(path: str) -> list[str]:
    return re.findall(r"\{\w+\}|[^{}]+", path)


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _rank(route: Route) -> tuple[object, ...]:
    if route.host is None:
        host = (2, 0)
    elif route.host.startswith("*."):
        host = (1, -route.host.count("."))
    else:
        host = (0, 0)
    prefix = route.path.endswith("/*")
    segments = route.path.removesuffix("/*").split("/")[1:]
    parameters = tuple(segment.startswith("{") for segment in segments)
    kind = 2 if prefix else int(any(parameters))
    return host, kind, -len(segments) if prefix else 0, parameters, not route.methods
