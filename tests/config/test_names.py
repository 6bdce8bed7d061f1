from __future__ import annotations

from typing import Any

from gwd.config import names
from gwd.config.units import NotAllowed


def test_a_name_of_this_machine_becomes_its_ipv4_address() -> None:
    assert names.resolve(["localhost", "localhost"]) == {"localhost": "127.0.0.1"}


def test_what_takes_too_long_is_an_error() -> None:
    (answer,) = names.resolve(["localhost"], within=-1.0).values()
    assert isinstance(answer, str | NotAllowed)
    late = names.resolve([f"host-{i}.invalid" for i in range(3)], within=0.0)
    assert all(isinstance(answer, NotAllowed) for answer in late.values())


def test_addresses_nobody_should_connect_to_are_unfit() -> None:
    for ip in ("169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "0.1.2.3", "::"):
        assert names._unfit(ip)
    for ip in ("127.0.0.1", "::1", "10.0.0.1", "192.0.2.1"):
        assert not names._unfit(ip)


def test_endpoints_keep_their_name_beside_the_address_it_had(good: Any) -> None:
    text = '[server]\nbind = ["localhost:0"]\n[upstreams.a]\n'
    text += 'endpoints = ["LocalHost:80", "127.0.0.1:1"]\n'
    snapshot = good(text).snapshot
    first, second = snapshot.upstreams[0].endpoints
    assert (first.host, first.port, first.address) == ("127.0.0.1", 80, "localhost:80")
    assert (second.host, second.address) == ("127.0.0.1", "127.0.0.1:1")
    assert snapshot.server.bind[0].host == "127.0.0.1"


def test_a_name_that_does_not_resolve_is_an_error_at_its_place(wrong: Any) -> None:
    (error,) = wrong('[upstreams.a]\nendpoints = [\n "127.0.0.1:1",\n "nowhere.invalid:80",\n]\n')
    assert error.startswith('4: upstreams.a.endpoints[1]: "nowhere.invalid:80" d')
    assert error.endswith("; check the name") or "within" in error
