"""What is believed and said about the client (SEC-38, SEC-39)."""

from __future__ import annotations

import pytest

from gwd.http.addresses import Networks
from gwd.http.forwarding import MOST_HOPS, client_address, forwarding_lines
from gwd.http.gate import GatePolicy, RequestReader
from gwd.http.head import RequestHead

TRUSTED = Networks(["10.0.0.0/8", "2001:db8:ffff::/48"])
PROXY = "10.0.0.1"


def head(*lines: bytes, host: bytes = b"Host: A.example:81", minor: int = 1) -> RequestHead:
    lines = (b"GET / HTTP/1.%d" % minor, *((host,) if host else ()), *lines, b"")
    made = RequestReader(GatePolicy()).feed(b"".join(line + b"\r\n" for line in lines))
    assert made is not None
    return made


def address(chain: bytes, peer: str = PROXY) -> str:
    return client_address(peer, head(b"X-Forwarded-For: " + chain), TRUSTED)


def test_sec_38_a_stranger_is_not_believed() -> None:
    assert address(b"192.0.2.1", peer="198.51.100.7") == "198.51.100.7"


def test_without_the_field_the_peer_is_the_client() -> None:
    assert client_address(PROXY, head(), TRUSTED) == PROXY


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (b"192.0.2.1", "192.0.2.1"),
        (b"203.0.113.9, 192.0.2.1", "192.0.2.1"),
        (b"203.0.113.9,192.0.2.1 ,\t10.1.1.1, 10.2.2.2", "192.0.2.1"),
        (b"10.3.3.3, 10.1.1.1", "10.3.3.3"),
        (b"192.0.2.1:4711", "192.0.2.1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        (b"[2001:DB8:0::1]:443", "2001:db8::1"),
        (b"2001:db8::1", "2001:db8::1"),
        (b"fe80::1%eth0", "fe80::1"),
        (b"::ffff:192.0.2.1", "192.0.2.1"),
        (b"64:ff9b::c000:201", "192.0.2.1"),
        (b"192.0.2.1, [2001:db8:ffff::9]:1", "192.0.2.1"),
    ],
)
def test_sec_38_the_first_other_hop_from_the_right_is_the_client(chain: bytes, client: str) -> None:
    assert address(chain) == client


@pytest.mark.parametrize(
    "garbage",
    [
        *[b"", b"unknown", b"_hidden", b"1.2.3", b"1.2.3.4.5", b"01.2.3.4", b"1.2.3.4:x"],
        *[b"1.2.3.4:123456", b"[::1", b"[::1]x", b"[::1]:x", b"a b", b"1.2.3.4;x", b"[]"],
    ],
)
def test_sec_38_garbage_ends_the_walk_at_the_last_good_hop(garbage: bytes) -> None:
    assert address(b"192.0.2.1, " + garbage) == PROXY
    assert address(b"192.0.2.1, " + garbage + b", 10.9.9.9") == "10.9.9.9"


def test_several_fields_are_one_chain() -> None:
    made = head(b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-For: 192.0.2.1", b"A: b")
    assert client_address(PROXY, made, TRUSTED) == "192.0.2.1"


def test_sec_38_a_chain_is_walked_a_bounded_way() -> None:
    far = b"192.0.2.1, " + b", ".join([b"10.0.0.2"] * (MOST_HOPS - 1))
    assert address(far) == "192.0.2.1"
    assert address(far + b", 10.0.0.3") == "10.0.0.2"


def said(made: RequestHead, trusted: bool, forwarded: bool = False, peer: str = PROXY) -> bytes:
    return forwarding_lines(peer, trusted, "http", made, forwarded)


SPOOFED = (
    b"X-Forwarded-For: 192.0.2.1",
    b"X-Forwarded-Proto: HTTPS",
    b"X-Forwarded-Host: Shop.example.",
)


def test_a_stranger_is_named_and_what_it_says_is_not_passed_on() -> None:
    assert said(head(*SPOOFED), trusted=False) == (
        b"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: a.example:81\r\nVia: 1.1 gwd\r\n"
    )


def test_what_a_trusted_proxy_says_is_kept_and_extended() -> None:
    assert said(head(*SPOOFED), trusted=True) == (
        b"X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: shop.example\r\nVia: 1.1 gwd\r\n"
    )


def test_what_a_trusted_proxy_says_badly_is_replaced() -> None:
    made = head(b"X-Forwarded-For:", b"X-Forwarded-Proto: gopher", b"X-Forwarded-Host: a b")
    assert said(made, trusted=True) == said(head(), trusted=False)


def test_a_request_without_a_host_has_none_to_tell() -> None:
    made = head(host=b"", minor=0)
    assert said(made, trusted=False) == (
        b"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nVia: 1.0 gwd\r\n"
    )


@pytest.mark.parametrize(
    ("chain", "line"),
    [
        (b"192.0.2.1", b'for=192.0.2.1, for=10.0.0.1;proto=http;host="a.example:81"'),
        (
            b"x, [2001:db8::1]:7",
            b'for=unknown, for="[2001:db8::1]", for=10.0.0.1;proto=http;host="a.example:81"',
        ),
    ],
)
def test_forwarded_is_made_when_asked_for(chain: bytes, line: bytes) -> None:
    made = head(b"X-Forwarded-For: " + chain, b"Forwarded: for=spoofed")
    assert b"\r\nForwarded: " + line + b"\r\n" in said(made, trusted=True, forwarded=True)
    assert b"spoofed" not in said(made, trusted=True, forwarded=True)
    assert b"\r\nForwarded: for=10.0.0.1;" in said(made, trusted=False, forwarded=True)


def test_forwarded_quotes_ipv6() -> None:
    lines = said(head(host=b"", minor=0), trusted=False, forwarded=True, peer="2001:db8::1")
    assert b'\r\nForwarded: for="[2001:db8::1]";proto=http\r\n' in lines
