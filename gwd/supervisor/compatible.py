"""Whether a config can follow the one in force without a restart, and what it asks of the machine.

Strategy. What the supervisor took before it forked, its listeners and the segment, is taken once:
a config that wants other ones is refused, in the words of the config. Within the segment there are
rows, by name, for the endpoints and routes of both the config in force and the next, as requests
that began on the old tables still count on theirs.
"""

from __future__ import annotations

from gwd.config.snapshot import Snapshot
from gwd.segment.endpoints import EndpointTable
from gwd.segment.memory import Segment
from gwd.segment.metrics import RouteMetrics
from gwd.supervisor.cores import usable_cores
from gwd.upstream.endpoint import table_name


def unchangeable(old: Snapshot, new: Snapshot) -> list[str]:
    """What `new` wants that only a restart can do."""
    errors = []
    if _addresses(new) != _addresses(old):
        errors.append("server.bind has changed, which needs a restart")
    if new.segment != old.segment:
        errors.append("[segment] has changed, which needs a restart")
    if new.admin_bind != old.admin_bind:
        errors.append("admin.bind has changed, which needs a restart")
    return errors


def _addresses(snapshot: Snapshot) -> list[tuple[str, int]]:
    return [(bind.host, bind.port) for bind in snapshot.server.bind]


class Rows:
    """The rows of `segment` that go by names of a config."""

    def __init__(self, segment: Segment, first: Snapshot) -> None:
        self._endpoints = EndpointTable(segment)
        self._metrics = RouteMetrics(segment)
        self._endpoints.assign(endpoint_names(first))
        self._metrics.assign(route_names(first))

    def make(self, old: Snapshot, new: Snapshot) -> list[str]:
        """Have rows for the names of both; errors if the segment is too small for that."""
        sizes = old.segment
        endpoints = dict.fromkeys([*endpoint_names(old), *endpoint_names(new)])
        routes = dict.fromkeys([*route_names(old), *route_names(new)])
        errors = [
            f"old and new config together have {count} {what}, above segment.{key} ({room}), "
            "which needs a restart"
            for count, what, key, room in (
                (len(endpoints), "endpoints", "max_endpoints", sizes.max_endpoints),
                (len(routes), "routes", "max_routes", sizes.max_routes),
            )
            if count > room
        ]
        if not errors:
            self._endpoints.assign(endpoints)
            self._metrics.assign(routes)
        return errors


def worker_count(option: int | None, snapshot: Snapshot) -> int:
    """How many workers there are to be: --workers, else the config's, else the usable cores."""
    automatic = min(usable_cores(), snapshot.segment.max_workers)
    return option or snapshot.server.workers or automatic


def endpoint_names(snapshot: Snapshot) -> list[bytes]:
    """The names of all endpoints as the segment knows them."""
    names = (
        table_name(upstream.name, endpoint.address)
        for upstream in snapshot.upstreams
        for endpoint in upstream.endpoints
    )
    return list(dict.fromkeys(names))


def route_names(snapshot: Snapshot) -> list[bytes]:
    """The names of all routes as the segment knows them."""
    return list(dict.fromkeys(route.name.encode() for route in snapshot.routes))
