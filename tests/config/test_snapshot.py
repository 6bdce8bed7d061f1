from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import pytest

from gwd.config import snapshot
from gwd.config.snapshot import Snapshot, pack, unpack

FULL = """
[limits.per_ip]
rate = "100/s"
[auth.main]
type = "jwt"
issuer = "i"
audience = ["a", "b"]
algorithms = ["HS256"]
secret_env = "S"
forward_claims = { sub = "X-User", email = "X-Email" }
[upstreams.a]
endpoints = ["127.0.0.1:1", { address = "[::1]:2", weight = 3 }]
retry_on = [502]
[upstreams.a.health]
path = "/h"
[[routes]]
name = "r"
host = "*.example.com"
path = "/u/{id}/*"
methods = ["GET"]
auth = ["main"]
require = { scope = ["x", "y"] }
upstream = "a"
rewrite = "/{id}/{*}"
[[routes]]
name = "p"
path = "/p/{id}"
[[routes.parts]]
name = "one"
upstream = "a"
path = "/{id}"
pick = ["a.b"]
default = {}
[[routes]]
name = "x"
path = "/x"
respond = { status = 404, body = "x", headers = { X-A = "b" } }
"""


@pytest.fixture
def full(good: Any) -> Snapshot:
    found: Snapshot = good(FULL, {"S": "s" * 32}).snapshot
    return found


def test_what_was_packed_is_unpacked_the_same(full: Snapshot) -> None:
    assert unpack(pack(full)) == full
    assert hash(unpack(pack(full))) == hash(full)


def test_tables_that_files_cannot_hold_yet_travel_too(full: Snapshot) -> None:
    ban = snapshot.Ban(3.0, 60.0, "drop")
    ejection = snapshot.Ejection(5, 30.0, 0.5)
    changed = dataclasses.replace(
        full,
        limits=dataclasses.replace(full.limits, ban=ban),
        upstreams=(dataclasses.replace(full.upstreams[0], ejection=ejection),),
        routes=(dataclasses.replace(full.routes[0], rate=snapshot.Rate(20.0, 5, "20/s")),),
    )
    assert unpack(pack(changed)) == changed


def test_another_versions_fields_are_refused(full: Snapshot) -> None:
    plain = msgpack.unpackb(pack(full))
    plain["server"]["new"] = 1
    with pytest.raises(KeyError, match="Server: fields differ"):
        unpack(msgpack.packb(plain))


def test_a_burst_that_is_not_written_is_one_seconds_worth(full: Snapshot) -> None:
    assert full.limits.per_ip is not None
    assert full.limits.per_ip.rate == snapshot.Rate(100.0, 100, "100/s")
