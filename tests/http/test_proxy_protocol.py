"""The PROXY protocol, read strictly (SEC-40)."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.http.addresses import canonical
from gwd.http.proxy_protocol import (
    MOST_V1,
    MOST_V2,
    SIGNATURE,
    Announced,
    NotProxy,
    read_proxy_header,
)

TCP4, TCP6, UNSPECIFIED, UNIX = 0x11, 0x21, 0x00, 0x31
V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).map(str)
PORT = st.integers(0, 65535)


def line(rest: bytes) -> bytes:
    return b"PROXY " + rest + b"\r\n"


def header(command: int, family: int, block: bytes, length: int | None = None) -> bytes:
    size = len(block) if length is None else length
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + block


def addresses(source: str, target: str, source_port: int = 1, target_port: int = 2) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(family, source) + socket.inet_pton(family, target)
    return packed + source_port.to_bytes(2, "big") + target_port.to_bytes(2, "big")


def extension(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


BLOCK4 = addresses("192.0.2.1", "198.51.100.2")

GOOD: list[tuple[bytes, str | None]] = [
    (line(b"TCP4 192.0.2.1 198.51.100.2 56324 443"), "192.0.2.1"),
    (line(b"TCP4 255.255.255.255 255.255.255.255 65535 65535"), "255.255.255.255"),
    (line(b"TCP4 0.0.0.0 0.0.0.0 0 0"), "0.0.0.0"),
    (line(b"TCP6 2001:DB8::1 2001:db8::2 1 2"), "2001:db8::1"),
    (line(b"TCP6 ::ffff:192.0.2.1 ::1 1 2"), "192.0.2.1"),
    (line(b"UNKNOWN"), None),
    (line(b"UNKNOWN ffff::1 ffff::2 65535 65535"), None),
    (line(b"UNKNOWN what ever it says"), None),
    (header(0x21, TCP4, BLOCK4), "192.0.2.1"),
    (header(0x21, TCP6, addresses("2001:db8::1", "::1")), "2001:db8::1"),
    (header(0x21, TCP6, addresses("::ffff:192.0.2.1", "::1")), "192.0.2.1"),
    (header(0x21, TCP4, BLOCK4 + extension(0x04, b"") + extension(0x02, b"host")), "192.0.2.1"),
    (header(0x21, TCP4, BLOCK4 + extension(4, bytes(MOST_V2 - 16 - 12 - 3))), "192.0.2.1"),
    (header(0x21, UNSPECIFIED, b""), None),
    (header(0x21, UNIX, bytes(216)), None),
    (header(0x20, UNSPECIFIED, b""), None),
    (header(0x20, TCP4, BLOCK4), None),
    (header(0x20, 0x77, b"\xff\xff\xff"), None),  # what LOCAL brings along is not looked at
]

BAD: list[tuple[bytes, str]] = [
    (b"GET / HTTP/1.1\r\n\r\n", "no PROXY header"),
    (b"\x16\x03\x01", "no PROXY header"),
    (b"\r\nGET / HTTP/1.1\r\n\r\n", "no PROXY header"),
    (b"POST / HTTP/1.1\r\n\r\n", "no PROXY header"),
    (b"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", "no PROXY header"),
    (b"PROXY\tTCP4 192.0.2.1 198.51.100.2 1 2\r\n", "no PROXY header"),
    (line(b""), "malformed line"),
    (line(b"TCP4"), "malformed line"),
    (line(b"TCP4 192.0.2.1 198.51.100.2 1"), "malformed line"),
    (line(b"TCP4 192.0.2.1 198.51.100.2 1 2 3"), "malformed line"),
    (line(b"TCP4 192.0.2.1 198.51.100.2 1 2 "), "malformed line"),
    (line(b"TCP4  192.0.2.1 198.51.100.2 1 2"), "malformed line"),
    (line(b" TCP4 192.0.2.1 198.51.100.2 1 2"), "malformed line"),
    (line(b"tcp4 192.0.2.1 198.51.100.2 1 2"), "malformed line"),
    (line(b"UDP4 192.0.2.1 198.51.100.2 1 2"), "malformed line"),
    (line(b"TCP4 192.0.2.1 198.51.100.2 01 2"), "malformed line"),
    (line(b"TCP4 192.0.2.1 198.51.100.2 +1 2"), "malformed line"),
    (line(b"TCP4 192.0.2.1 198.51.100.2 1 -2"), "malformed line"),
    (line(b"TCP4 192.0.2.1 198.51.100.2 1 100000"), "malformed line"),
    (line(b"TCP4 192.0.2.1 198.51.100.2 1 65536"), "malformed port"),
    (line(b"TCP4 192.0.2.01 198.51.100.2 1 2"), "malformed address"),
    (line(b"TCP4 192.0.2.256 198.51.100.2 1 2"), "malformed address"),
    (line(b"TCP4 192.0.2 198.51.100.2 1 2"), "malformed address"),
    (line(b"TCP4 192.0.2.1 198.51.100 1 2"), "malformed address"),
    (line(b"TCP4 ::1 ::2 1 2"), "malformed line"),
    (line(b"TCP6 192.0.2.1 198.51.100.2 1 2"), "malformed address"),
    (line(b"TCP6 fe80::1%eth0 ::2 1 2"), "malformed line"),
    (line(b"TCP6 [::1] ::2 1 2"), "malformed line"),
    (line(b"TCP6 1::2::3 ::2 1 2"), "malformed address"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", "malformed line"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r\n", "malformed line"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\x00\r\n", "malformed line"),
    (b"PROXY UNKNOWN\x00\r\n", "malformed line"),
    (b"PROXY UNKNOWN \xc3\xa9\r\n", "malformed line"),
    (b"PROXY UNKNOWN " + b"x" * MOST_V1, "line too long"),
    (SIGNATURE[:-1] + b"\r", "no PROXY header"),
    (header(0x11, TCP4, BLOCK4), "unknown version or command"),
    (header(0x22, TCP4, BLOCK4), "unknown version or command"),
    (header(0x31, TCP4, BLOCK4), "unknown version or command"),
    (header(0x21, 0x12, BLOCK4), "unknown family"),  # UDP
    (header(0x21, 0x41, BLOCK4), "unknown family"),
    (header(0x21, 0x13, BLOCK4), "unknown family"),
    (header(0x21, TCP4, BLOCK4[:-1]), "header too short for its addresses"),
    (header(0x21, TCP6, BLOCK4), "header too short for its addresses"),
    (header(0x21, TCP4, b"", 0), "header too short for its addresses"),
    (header(0x21, TCP4, b"", MOST_V2 - 15), "header too long"),
    (header(0x20, TCP4, b"", 0xFFFF), "header too long"),
    (header(0x21, TCP4, BLOCK4 + b"\x04"), "extensions do not end with the header"),
    (header(0x21, TCP4, BLOCK4 + b"\x04\x00"), "extensions do not end with the header"),
    (header(0x21, TCP4, BLOCK4 + b"\x04\x00\x02x"), "extensions do not end with the header"),
    (
        header(0x21, TCP4, BLOCK4 + extension(4, b"x") + b"\x04\xff\xff"),
        "extensions do not end with the header",
    ),
]


@pytest.mark.parametrize(("data", "address"), GOOD)
@pytest.mark.parametrize("behind", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", b"PROXY "])
def test_what_a_header_tells_and_where_it_ends(
    data: bytes, address: str | None, behind: bytes
) -> None:
    assert read_proxy_header(data + behind) == Announced(address, len(data))


@pytest.mark.parametrize(("data", "reason"), BAD)
def test_sec_40_what_is_not_exactly_a_header_is_none(data: bytes, reason: str) -> None:
    assert read_proxy_header(data + b"GET / HTTP/1.1\r\n") == NotProxy(reason)


@pytest.mark.parametrize("data", [data for data, _ in GOOD])
def test_every_beginning_of_a_header_needs_more(data: bytes) -> None:
    for size in range(len(data)):
        assert read_proxy_header(data[:size]) is None, data[:size]


@pytest.mark.parametrize("data", [data for data, _ in BAD])
def test_what_is_none_is_found_out_by_the_time_it_is_whole(data: bytes) -> None:
    verdicts = [read_proxy_header(data[:size]) for size in range(len(data) + 1)]
    first = next(at for at, verdict in enumerate(verdicts) if verdict is not None)
    assert all(isinstance(verdict, NotProxy) for verdict in verdicts[first:])


def test_a_line_ends_within_its_107_bytes() -> None:
    longest = line(b"UNKNOWN " + b"x" * (MOST_V1 - 16))
    assert len(longest) == MOST_V1
    assert read_proxy_header(longest) == Announced(None, MOST_V1)
    longer = line(b"UNKNOWN " + b"x" * (MOST_V1 - 15))
    assert read_proxy_header(longer) == NotProxy("line too long")
    assert read_proxy_header(longer[:MOST_V1]) == NotProxy("line too long")


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.tuples(V4, V4), st.tuples(V6, V6)), PORT, PORT)
def test_both_versions_tell_the_same(pair: tuple[str, str], port: int, other: int) -> None:
    source, target = pair
    six = ":" in source
    text = f"TCP{6 if six else 4} {source} {target} {port} {other}".encode()
    block = addresses(source, target, port, other)
    first = read_proxy_header(line(text))
    second = read_proxy_header(header(0x21, TCP6 if six else TCP4, block))
    assert isinstance(first, Announced)
    assert isinstance(second, Announced)
    assert first.address == second.address == canonical(source)
    assert ipaddress.ip_address(first.address or "")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=64),
        st.binary(max_size=64).map(lambda data: b"PROXY " + data),
        st.binary(max_size=64).map(lambda data: SIGNATURE + data),
        st.tuples(
            st.sampled_from([data for data, _ in GOOD]), st.integers(0, 300), st.binary()
        ).map(lambda made: made[0][: made[1]] + made[2] + made[0][made[1] + len(made[2]) :]),
    )
)
def test_byte_by_byte_it_is_read_as_in_one(data: bytes) -> None:
    whole = read_proxy_header(data)
    verdicts = (read_proxy_header(data[:size]) for size in range(len(data) + 1))
    first = next((verdict for verdict in verdicts if verdict is not None), None)
    if isinstance(whole, Announced):
        assert first == whole
        assert whole.size <= len(data)
    else:
        # Which fault is named may depend on how much is here, but not that there is one.
        assert type(first) is type(whole)
    if whole is None:
        assert len(data) < MOST_V2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=6),
    st.binary(max_size=3),
)
def test_extensions_end_with_the_header(pairs: list[tuple[int, bytes]], rest: bytes) -> None:
    tail = b"".join(extension(kind, value) for kind, value in pairs)
    good = header(0x21, TCP4, BLOCK4 + tail)
    assert read_proxy_header(good + rest) == Announced("192.0.2.1", len(good))
    if rest and not (len(rest) == 3 and rest.endswith(bytes(2))):
        bad = header(0x21, TCP4, BLOCK4 + tail + rest)
        assert isinstance(read_proxy_header(bad), NotProxy)
