from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.config import addresses
from gwd.config.units import NotAllowed


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:8443", "::1", 8443),
        ("[2001:DB8:0::1]:1", "2001:db8::1", 1),
        ("Orders.Internal.:9000", "orders.internal", 9000),
        ("a_b-c:65535", "a_b-c", 65535),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    found = addresses.address(text)
    assert (found.host, found.port) == (host, port)
    assert addresses.address(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        ":80",
        "host:",
        "host:0",
        "host:65536",
        "host:8o",
        "::1:80",
        "[::g]:80",
        "10.1:80",
        "1.2.3.4.5:80",
        "-a:80",
        "a b:80",
        "http://a:80",
        "a..b:80",
        "x" * 64 + ":80",
        "u@a:80",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(NotAllowed):
        addresses.address(text)


def test_listeners_may_take_any_free_port() -> None:
    assert addresses.address("127.0.0.1:0", lowest_port=0).port == 0


@pytest.mark.parametrize(
    ("text", "normal"),
    [("10.0.0.0/8", "10.0.0.0/8"), ("10.0.0.1", "10.0.0.1/32"), ("2001:DB8::/32", "2001:db8::/32")],
)
def test_networks(text: str, normal: str) -> None:
    assert addresses.network(text) == normal


def test_host_bits_are_answered_with_the_network() -> None:
    with pytest.raises(NotAllowed, match=r'use "10\.0\.0\.0/8"'):
        addresses.network("10.1.2.3/8")


@pytest.mark.parametrize("text", ["", "all", "10.0.0.0/33", "fe80::1%eth0", "1.2.3"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(NotAllowed):
        addresses.network(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("API.Example.com.", "api.example.com"),
        ("*.Example.com", "*.example.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("[::1]", "[::1]"),
    ],
)
def test_host_patterns(text: str, normal: str) -> None:
    assert addresses.host_pattern(text) == normal


@pytest.mark.parametrize("text", ["*", "a.*.b", "*a.b", "a:80", "a/b", "", "*."])
def test_what_is_no_host_pattern_is_refused(text: str) -> None:
    with pytest.raises(NotAllowed):
        addresses.host_pattern(text)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_ip_address_is_read_back(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    text = f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
    found = addresses.address(text)
    assert str(found) == text or "%" in text or found.host == str(ip)
    assert not found.is_name
