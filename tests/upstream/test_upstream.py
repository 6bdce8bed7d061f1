"""An upstream of one worker, as far as it needs no network."""

from __future__ import annotations

from pathlib import Path

from gwd.clock import Clock
from gwd.config.load import load
from gwd.outbox import Outbox
from gwd.process.loop import new_loop
from gwd.segment.endpoints import EndpointTable
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import WORKER, ProcessTable
from gwd.upstream.endpoint import table_name
from gwd.upstream.upstream import Upstream

CONFIG = """
[upstreams.app]
endpoints = ["127.0.0.1:1", "127.0.0.1:2"]
max_connections = 64
[[routes]]
name = "r"
path = "/*"
upstream = "app"
"""


def test_another_number_of_workers_is_another_share_of_the_same_endpoints(tmp_path: Path) -> None:
    file = tmp_path / "gwd.toml"
    file.write_text(CONFIG)
    snapshot = load(str(file), {}).snapshot
    assert snapshot is not None
    (config,) = snapshot.upstreams
    segment, loop = Segment.create(Sizes(8, 1024, 8, 8)), new_loop()
    try:
        table = EndpointTable(segment)
        table.assign([table_name("app", endpoint.address) for endpoint in config.endpoints])
        column = ProcessTable(segment).claim(WORKER, 0, 1)
        upstream = Upstream(config, 2, 30.0, table, column, Clock(loop), loop, Outbox(loop))
        before = list(upstream.endpoints)
        assert [endpoint.share for endpoint in before] == [32, 32]
        upstream.share(8)
        assert list(upstream.endpoints) == before
        assert [endpoint.share for endpoint in before] == [8, 8]
    finally:
        loop.close()
        segment.close()
