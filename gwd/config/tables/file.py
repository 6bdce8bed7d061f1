"""The whole file."""

from __future__ import annotations

from gwd.config.tables.auth import VerifierTable
from gwd.config.tables.base import Name, Table, key
from gwd.config.tables.limits import LimitsTable
from gwd.config.tables.routes import RouteTable
from gwd.config.tables.server import AdminTable, SegmentTable, ServerTable
from gwd.config.tables.upstreams import UpstreamTable


class File(Table):
    """A gwd config file."""

    server: ServerTable = key(default={}, description="The gateway itself.")
    segment: SegmentTable = key(default={}, description="Sizes of the shared memory.")
    admin: AdminTable = key(default={}, description="Watching and steering.")
    limits: LimitsTable = key(default={}, description="Limits that hold on every route.")
    auth: dict[Name, VerifierTable] = key(default={}, description="Verifiers, by name.")
    upstreams: dict[Name, UpstreamTable] = key(default={}, description="Services, by name.")
    routes: list[RouteTable] = key(default=[], description="Routes, in any order.")
