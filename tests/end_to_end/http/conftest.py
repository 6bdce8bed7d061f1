"""One gateway and one recording upstream for the whole black-box suite.

Hundreds of hostile inputs go to the same worker, one after another: that it still is the same
process at the end, with the descriptors that it had at the beginning, is part of what is tested.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from rig.blackbox import Rig
from rig.configs import config
from rig.gateway import Gateway
from rig.tokens import Issuer
from rig.upstream import RecordingUpstream
from tables.case import MAX_BODY, PROXY

METHODS = '["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]'
ROUTES = f"""
[[routes]]
name = "app"
path = "/*"
methods = {METHODS}
upstream = "app"

[[routes]]
name = "keep"
path = "/keep/*"
encoded_slash = "keep"
upstream = "app"

[[routes]]
name = "secured"
path = "/secured/*"
auth = "main"
upstream = "app"
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("http")
    issuer = Issuer(directory)
    upstream = RecordingUpstream()
    gateway = Gateway(
        directory / "gateway",
        config(
            upstream.address,
            server=(f'max_body = "{MAX_BODY // 1024}KiB"', f'trusted_proxies = ["{PROXY}/32"]'),
            app=('keepalive_idle = "30s"',),
            more=issuer.table,
            routes=ROUTES,
        ),
    )
    workers = gateway.workers()
    yield Rig(gateway, upstream, issuer.token())
    upstream.close()
    try:
        assert gateway.workers() == workers, "a worker died of what it was sent"
    finally:
        gateway.close()
