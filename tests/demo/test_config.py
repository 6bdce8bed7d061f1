from __future__ import annotations

import time
import tomllib

import pytest

from gwd.config.load import load
from gwd.demo.config import SERVICES, shipped, with_addresses, write_files
from gwd.demo.samples import SERVICES as SAMPLES
from gwd.demo.show import INSTANCES, WORKERS
from gwd.policies.jwt import JwtVerifier

PORTS = (9102, 9101, 20003, 20004, 20005, 9105)


def test_the_config_that_is_written_is_good_and_has_our_ports(tmp_path):
    path, _ = write_files(str(tmp_path), 8081, PORTS)
    loaded = load(path, {})
    assert loaded.warnings == []
    snapshot = loaded.snapshot
    assert [bind.port for bind in snapshot.server.bind] == [8081]
    ports = {u.name: [e.port for e in u.endpoints] for u in snapshot.upstreams}
    assert ports == {"profile": [9102, 9101], "orders": [20003, 20004], "cart": [20005, 9105]}


def test_what_is_shipped_names_the_services_and_workers_that_the_demo_starts():
    config = tomllib.loads(shipped())
    assert config["server"]["workers"] == WORKERS
    assert list(config["upstreams"]) == list(SAMPLES)
    endpoints = [e for upstream in config["upstreams"].values() for e in upstream["endpoints"]]
    assert endpoints == list(SERVICES)
    assert all(len(upstream["endpoints"]) == INSTANCES for upstream in config["upstreams"].values())


def test_the_token_is_one_that_the_config_accepts(tmp_path):
    path, token = write_files(str(tmp_path), 8081, PORTS)
    (verifier,) = load(path, {}).snapshot.auth
    claims = JwtVerifier(verifier).judge(token.encode(), time.time()).claims
    assert claims["sub"] == "ada"
    assert claims["scope"] == "orders:read"


def test_every_demo_has_a_key_of_its_own(tmp_path):
    keys = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_files(str(tmp_path / name), 8081, PORTS)
        keys.append((tmp_path / name / "jwks.json").read_bytes())
    assert keys[0] != keys[1]


@pytest.mark.parametrize("keys", ["/tmp/gwd-demo-x/jwks.json", '/tmp/a "b" \\c/jwks.json'])
def test_any_path_of_the_key_set_survives(keys):
    config = tomllib.loads(with_addresses(shipped(), 8080, range(9101, 9107), keys))
    assert config["auth"]["main"]["jwks_file"] == keys
