from __future__ import annotations

from collections.abc import Callable

import pytest

from gwd.policies import Access, Request


def test_without_lists_everybody_may_come() -> None:
    assert Access([], []).judge("192.0.2.1") is None
    assert Access([], []).judge("") is None
    assert not Access([], [])
    assert Access(["10.0.0.0/8"], [])
    assert Access([], ["10.0.0.0/8"])


def test_who_is_denied_gets_403(request_with: Callable[..., Request]) -> None:
    access = Access([], ["192.0.2.0/24", "2001:db8::/32"])
    for ip in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"):
        refusal = access(request_with(client_ip=ip))
        assert refusal is not None
        assert (refusal.status, refusal.reason) == (403, "address_denied")
        assert ip not in refusal.detail
    assert access(request_with(client_ip="192.0.3.1")) is None


def test_with_a_list_of_the_allowed_all_others_are_denied() -> None:
    access = Access(["10.0.0.0/8"], [])
    assert access.judge("10.1.2.3") is None
    assert access.judge("192.0.2.1") is not None
    assert access.judge("2001:db8::1") is not None


def test_what_is_denied_is_denied_whatever_is_allowed() -> None:
    access = Access(["10.0.0.0/8"], ["10.1.0.0/16"])
    assert access.judge("10.2.0.1") is None
    assert access.judge("10.1.0.1") is not None
    assert Access(["10.1.0.1"], ["10.0.0.0/8"]).judge("10.1.0.1") is not None


@pytest.mark.parametrize("ip", ["", "localhost", "10.0.0.1:80"])
def test_with_any_list_what_is_no_address_is_denied(ip: str) -> None:
    assert Access([], ["192.0.2.0/24"]).judge(ip) is not None
    assert Access(["10.0.0.0/8"], []).judge(ip) is not None


def test_what_is_no_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a network"):
        Access(["example.com"], [])


def test_the_step_names_the_lists_there_are() -> None:
    assert str(Access(["10.0.0.0/8"], [])) == "allow"
    assert str(Access([], ["10.0.0.0/8"])) == "deny"
    assert str(Access(["10.0.0.0/8"], ["10.1.0.0/16"])) == "allow and deny"
