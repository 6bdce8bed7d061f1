"""The handshake: who asks for WebSocket, who does so properly, and what answers it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.http.gate import GatePolicy, RequestReader, ResponseReader
from gwd.http.head import RequestHead, SwitchHead, UpgradeHead
from gwd.http.problem import Refusal, problem_response
from gwd.http.websocket import Handshake, accept_value, check_switch, read_handshake

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Both of RFC 6455 §1.3."""
FIELDS = {
    b"Host": b"x",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}


def wire(*more: bytes, start: bytes = b"GET /ws HTTP/1.1", **changed: bytes | None) -> bytes:
    """A handshake; `changed`: other values by name (with "_" for "-"), None to leave one out."""
    fields = dict(FIELDS)
    for name, value in changed.items():
        (key,) = [k for k in FIELDS if k.lower() == name.encode().replace(b"_", b"-")]
        if value is None:
            del fields[key]
        else:
            fields[key] = value
    lines = [b"%b: %b" % pair for pair in fields.items()]
    return b"\r\n".join((start, *lines, *more, b"", b""))


def read(data: bytes) -> RequestHead:
    head = RequestReader(GatePolicy()).feed(data)
    assert head is not None
    return head


def refusal(data: bytes) -> Refusal:
    head = read(data)
    assert head.upgrade == "websocket"
    with pytest.raises(Refusal) as refused:
        read_handshake(head)
    assert refused.value.close
    return refused.value


# who asks


@pytest.mark.parametrize(
    "data",
    [
        wire(),
        wire(upgrade=b"WebSocket"),
        wire(upgrade=b"h2c, websocket"),
        wire(b"Upgrade: h2c"),
        wire(connection=b"keep-alive, upgrade"),
        wire(b"Connection: keep-alive"),
        wire(b"Content-Length: 0"),
        wire(start=b"GET http://x/ws HTTP/1.1"),
        wire(b"X-Name: caf\xc3\xa9"),
    ],
)
def test_a_head_that_asks_for_websocket_is_followed_by_no_request(data: bytes) -> None:
    head = read(data)
    assert isinstance(head, UpgradeHead)
    assert head.upgrade == "websocket"
    assert (head.has_body, head.keep_alive, head.content_length) == (True, False, -1)
    assert head.get(b"upgrade") is None
    assert read_handshake(head).accept == ACCEPT


@pytest.mark.parametrize(
    "data",
    [
        wire(upgrade=None),
        wire(upgrade=b"h2c"),
        wire(upgrade=b"websocket/13"),
        wire(upgrade=b"websockets"),
        wire(upgrade=b'"websocket"'),
        wire(upgrade=b""),
        wire(connection=None),
        wire(connection=b"keep-alive"),
        wire(connection=b"upgraded"),
        wire(start=b"POST /ws HTTP/1.1"),
        wire(start=b"HEAD /ws HTTP/1.1"),
        wire(start=b"GET /ws HTTP/1.0"),
        wire(b"Content-Length: 1"),
        wire(b"Transfer-Encoding: chunked"),
    ],
)
def test_every_other_head_is_one_like_any(data: bytes) -> None:
    head = read(data)
    assert head.upgrade == ""
    assert head.get(b"upgrade") is None
    assert head.has_body == (head.chunked or head.content_length > 0)


def test_a_head_without_upgrade_is_of_the_plain_kind() -> None:
    assert type(read(wire(upgrade=None))) is RequestHead


def test_an_upgrade_in_other_signs_than_ascii_is_malformed() -> None:
    with pytest.raises(Refusal) as refused:
        read(wire(upgrade=b"websocket\xff"))
    assert refused.value.status == 400


def test_handshakes_in_a_row_are_all_looked_at_in_full() -> None:
    reader = RequestReader(GatePolicy())
    for connection, asks in ((b"Upgrade", True), (b"close", False), (b"Upgrade", True)):
        head = reader.feed(wire(connection=connection))
        assert head is not None
        assert bool(head.upgrade) is asks
        assert head.has_body is asks


# who does so properly


@pytest.mark.parametrize("value", [None, b"8", b"12", b"14", b"013", b"13, 8", b"thirteen", b""])
def test_another_version_is_told_which_one_is_spoken(value: bytes | None) -> None:
    told = refusal(wire(sec_websocket_version=value))
    assert (told.status, told.reason) == (426, "websocket_version")
    answer = problem_response(told, "id", minor=1, head_only=False, close=True)
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer
    assert b"\r\nUpgrade: websocket\r\n" in answer
    assert b"\r\nConnection: Upgrade, close\r\n" in answer


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        KEY[:-1],
        KEY + b"=",
        base64.b64encode(bytes(15)),
        base64.b64encode(bytes(17)),
        KEY.replace(b"G", b"-"),
        b"d GhlIHNhbXBsZSBub25jZQ=",
        KEY + b", " + KEY,
    ],
)
def test_a_key_that_is_none_is_refused(value: bytes | None) -> None:
    told = refusal(wire(sec_websocket_key=value))
    assert (told.status, told.reason) == (400, "websocket_key")


def test_a_second_key_or_version_is_refused() -> None:
    assert refusal(wire(b"Sec-WebSocket-Key: " + KEY)).status == 400
    assert refusal(wire(b"Sec-WebSocket-Version: 13")).status == 426


@given(st.binary(min_size=16, max_size=16))
def test_every_key_of_16_bytes_is_one(key: bytes) -> None:
    text = base64.b64encode(key)
    assert read_handshake(read(wire(sec_websocket_key=text))).accept == accept_value(text)


# what answers it


def switch(*lines: bytes, start: bytes = b"HTTP/1.1 101 Switching Protocols") -> SwitchHead:
    head = ResponseReader().feed(b"\r\n".join((start, *lines, b"", b"")), "GET")
    assert isinstance(head, SwitchHead)
    assert head.interim
    return head


ASKED = Handshake(ACCEPT, frozenset({b"chat", b"v2"}), frozenset({b"permessage-deflate"}))
GOOD = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + ACCEPT)


@pytest.mark.parametrize(
    "lines",
    [
        GOOD,
        (*GOOD, b"Sec-WebSocket-Protocol: v2"),
        (*GOOD, b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10"),
        (b"Upgrade: WEBSOCKET", b"connection: upgrade, keep-alive", GOOD[2]),
        (*GOOD, b"Content-Length: 0", b"Set-Cookie: a=b"),
    ],
)
def test_a_good_101_passes_and_its_hop_by_hop_fields_do_not(lines: tuple[bytes, ...]) -> None:
    head = switch(*lines)
    check_switch(head, ASKED)
    assert head.get(b"upgrade") is None
    assert head.get(b"connection") is None
    assert head.get(b"content-length") is None


@pytest.mark.parametrize(
    "lines",
    [
        (),
        GOOD[1:],
        GOOD[:2],
        (GOOD[0], GOOD[2]),
        (b"Upgrade: h2c", *GOOD[1:]),
        (b"Upgrade: h2c", *GOOD),
        (b"Upgrade: websocket, h2c", *GOOD[1:]),
        (GOOD[0], b"Connection: keep-alive", GOOD[2]),
        (*GOOD[:2], b"Sec-WebSocket-Accept: " + ACCEPT.swapcase()),
        (*GOOD[:2], b"Sec-WebSocket-Accept: " + KEY),
        (*GOOD, GOOD[2]),
        (*GOOD, b"Sec-WebSocket-Protocol: v3"),
        (*GOOD, b"Sec-WebSocket-Protocol: chat, v2"),
        (*GOOD, b"Sec-WebSocket-Protocol: CHAT"),
        (*GOOD, b"Sec-WebSocket-Extensions: permessage-deflate, x-other"),
        (*GOOD, b"Content-Length: 1"),
        (*GOOD, b"Transfer-Encoding: chunked"),
        (GOOD[0], b"Connection: Upgrade, Sec-WebSocket-Accept", GOOD[2]),
    ],
)
def test_a_wrong_101_is_a_bad_gateway(lines: tuple[bytes, ...]) -> None:
    head = switch(*lines)
    with pytest.raises(Refusal) as refused:
        check_switch(head, ASKED)
    assert (refused.value.status, refused.value.reason) == (502, "bad_response")


def test_a_101_of_http_1_0_is_a_bad_gateway() -> None:
    with pytest.raises(Refusal):
        check_switch(switch(*GOOD, start=b"HTTP/1.0 101 Switching Protocols"), ASKED)


def test_a_101_may_say_what_other_heads_may() -> None:
    check_switch(switch(*GOOD, b"X-Name: caf\xc3\xa9"), ASKED)
    with pytest.raises(Refusal):
        switch(*GOOD, b"no colon")
