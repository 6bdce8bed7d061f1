"""The immutable tables a worker decides by, built from one snapshot.

Strategy. `Tables` is everything about a config that a request needs, worked out beforehand: where
a route leads, how its path is rewritten, which policies stand before it. It is built beside the
living one in slices (`build` yields at least every few milliseconds), knows no I/O, and replaces
its predecessor between two requests. A request keeps the tables it began with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from gwd.aggregate.plan import Plan
from gwd.config.snapshot import Respond, Snapshot
from gwd.config.snapshot import Route as PlainRoute
from gwd.http.addresses import Networks, canonical, limit_key
from gwd.http.gate import GatePolicy
from gwd.policies import (
    Access,
    Policy,
    Shed,
    Visitor,
    build_authenticators,
    identity_headers,
    route_policies,
)
from gwd.policies.certificate import certificate_headers
from gwd.routing.rewrite import compile_rewrite, compile_template
from gwd.routing.table import RouteTable
from gwd.segment.memory import Segment
from gwd.segment.metrics import UNROUTED, RouteMetrics
from gwd.upstream.upstream import Upstream

SLICE = 64
"""Routes per slice: about a millisecond's work."""
REMEMBERED = 4096
"""Visitors, at some 0.4 KiB each."""


class Route:
    """One route, ready to be taken. Exactly one of `upstream_name`, `plan`, `respond` is set."""

    __slots__ = (
        "keeps_slash",
        "log_part",
        "max_body",
        "metrics_cells",
        "name",
        "plan",
        "policies",
        "redirect",
        "respond",
        "rewrite",
        "timeout",
        "upstream",
        "upstream_name",
    )

    def __init__(
        self, route: PlainRoute, policies: tuple[Policy, ...], max_body: int, metrics_cells: int
    ) -> None:
        self.name = route.name
        self.policies = policies
        self.timeout = route.timeout
        self.max_body = max_body if route.max_body is None else route.max_body
        self.keeps_slash = route.encoded_slash == "keep"
        self.metrics_cells = metrics_cells
        self.upstream_name = route.upstream
        self.log_part = (
            f'"route":{json.dumps(route.name)},"upstream":{json.dumps(route.upstream or "")}'
        )
        self.upstream: Upstream | None = None  # joined at commit: upstreams outlive tables
        self.rewrite: Callable[[str, tuple[str, ...]], str] | None = None
        if route.upstream is not None and route.rewrite is not None:
            self.rewrite = compile_rewrite(route.path, route.rewrite)
        self.plan = Plan(route) if route.parts else None
        self.respond: Respond | None = route.respond
        self.redirect: Callable[[tuple[str, ...]], str] | None = None
        if route.respond is not None and route.respond.redirect is not None:
            self.redirect = compile_template(route.path, route.respond.redirect)

    def outline(self, cells: int) -> Route:
        """What accounting reads of it, and nothing else, to be counted in `cells`: for what may
        outlive its config."""
        outline = Route.__new__(Route)
        outline.name, outline.log_part = self.name, self.log_part
        outline.metrics_cells = cells
        return outline


class Tables:
    __slots__ = (
        "_access",
        "_exempt",
        "_prefix",
        "_visitors",
        "client_fields",
        "connections_per_ip",
        "gate",
        "generation",
        "ready_path",
        "routes",
        "routing",
        "shed",
        "snapshot",
        "strict_transport",
        "trusted",
        "unrouted_cells",
    )

    def __init__(self, snapshot: Snapshot, generation: int) -> None:
        self.snapshot = snapshot
        self.generation = generation
        self.routes: list[Route] = []

    def build(self, segment: Segment, column: int) -> Iterator[None]:
        """Work everything out. Raises what RouteTable, Plan and the policies raise."""
        snapshot = self.snapshot
        server, limits = snapshot.server, snapshot.limits
        self.client_fields: tuple[tuple[str, str], ...] = ()
        """What upstreams are told of a client's certificate, and in which fields."""
        self.strict_transport = b""
        """Strict-Transport-Security as a line of answers over TLS."""
        if server.tls is not None:
            self.client_fields = server.tls.client_fields
            if server.tls.hsts:
                self.strict_transport = f"Strict-Transport-Security: {server.tls.hsts}\r\n".encode(
                    "ascii"
                )
        self.gate = GatePolicy(
            max_head=server.max_head,
            max_fields=server.max_fields,
            max_target=server.max_target,
            odd_names=server.odd_names,
            removed=identity_headers(snapshot.auth) | certificate_headers(self.client_fields),
        )
        self.ready_path = server.ready_path
        self.trusted = Networks(server.trusted_proxies)
        self._access = Access(limits.allow, limits.deny)
        self._exempt = Networks(limits.exempt)
        self._visitors: dict[str, Visitor] = {}
        self.shed = Shed(limits, segment, column)
        self._prefix = limits.ipv6_prefix
        self.connections_per_ip = 0
        """Open at once, over all workers; 0: no limit."""
        per_ip = limits.per_ip
        if per_ip is not None and per_ip.mode != "observe":
            self.connections_per_ip = per_ip.connections
        yield
        verifiers = build_authenticators(snapshot.auth)
        metrics = RouteMetrics(segment)
        self.unrouted_cells = metrics.cells(metrics.find(UNROUTED), column)
        yield
        self.routing = yield from RouteTable.build(snapshot.routes)
        for number, route in enumerate(snapshot.routes):
            cells = metrics.cells(metrics.find(route.name.encode()), column)
            policies = route_policies(route, verifiers, segment, column, self._prefix)
            self.routes.append(Route(route, policies, server.max_body, cells))
            if number % SLICE == SLICE - 1:
                yield

    def visitor(self, ip: str) -> Visitor:
        """Who comes from `ip`. A bounded number is remembered, so that a flood of connections from
        one address, or one that is banned, costs a look."""
        visitor = self._visitors.get(ip)
        if visitor is None:
            if len(self._visitors) >= REMEMBERED:
                self._visitors.clear()
            visitor = self._visitors[ip] = self._judge(canonical(ip))
        return visitor

    def _judge(self, ip: str) -> Visitor:
        return Visitor(
            ip,
            limit_key(ip, self._prefix),
            exempt=self._exempt.contains(ip),
            trusted=self.trusted.contains(ip),
            refusal=self._access.judge(ip),
        )
