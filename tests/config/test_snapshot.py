from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import pytest

from gwd.config import snapshot, units
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
rate = "20/s"
rate_key = "claim:sub"
allow = ["10.0.0.0/8"]
deny = ["10.1.0.0/16", "2001:db8::/32"]
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
    assert full.routes[0].rate == snapshot.Rate(20.0, 20, "20/s")


def test_no_rate_has_a_burst_that_cannot_be_counted(good: Any) -> None:
    fast = FULL.replace('"100/s"', '"999999999/s"')
    limits = good(fast, {"S": "s" * 32}).snapshot.limits
    assert limits.per_ip.rate.burst == units.MOST_BURST


def test_a_routes_own_limits_are_written_down(full: Snapshot) -> None:
    route, plain = full.routes[0], full.routes[1]
    assert route.rate_key == "claim:sub"
    assert route.allow == ("10.0.0.0/8",)
    assert route.deny == ("10.1.0.0/16", "2001:db8::/32")
    assert (plain.rate, plain.rate_key, plain.allow, plain.deny) == (None, "ip", (), ())
