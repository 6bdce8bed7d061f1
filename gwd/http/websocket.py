"""The WebSocket opening handshake, as a gateway between its two ends must check it (RFC 6455 §4).

Strategy. `gwd.http.request` says whether a head asks for WebSocket at all (`RequestHead.upgrade`);
if not, its Upgrade is stripped, and it is a request like any other (RFC 9110 §7.8), which ends h2c
and the like (SEC-16). A head that does ask must be a whole handshake, or it is refused here: no
service is asked to judge what the gateway would read in another way. And the service's 101 must be
the answer to just this handshake, for from there on nobody parses what the client sends: a gateway
that took another answer for a 101 would be a way around itself (CVE-2026-2833, RFC 9931).
"""

from __future__ import annotations

import base64
import hashlib
import re

from gwd.http.head import RequestHead, SwitchHead
from gwd.http.problem import Refusal
from gwd.http.request import WEBSOCKET

VERSION = b"13"
SWITCH_LINES = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
"""What the gateway itself says, to either side, in place of what it was told."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
"""16 bytes in base64 (RFC 6455 §4.1)."""


class Handshake:
    """What a client's handshake demands of its answer: the value of Sec-WebSocket-Accept, and the
    protocols and extensions of which it may name some."""

    __slots__ = ("accept", "extensions", "protocols")

    def __init__(
        self, accept: bytes, protocols: frozenset[bytes], extensions: frozenset[bytes]
    ) -> None:
        self.accept = accept
        self.protocols = protocols
        self.extensions = extensions


def accept_value(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that proves that `key` was read (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def read_handshake(head: RequestHead) -> Handshake:
    """The handshake in `head`, whose `upgrade` is WEBSOCKET.

    Raises Refusal: 426 for another version (RFC 6455 §4.4), 400 for a key that is none (§4.2.1
    asks for an error there, not for a plain answer).
    """
    if head.get(b"sec-websocket-version") != VERSION:
        raise Refusal(
            426,
            "websocket_version",
            "Version 13 of the WebSocket protocol is the one spoken here.",
            (("Sec-WebSocket-Version", "13"), ("Upgrade", WEBSOCKET)),
            close=True,
        )
    key = head.get(b"sec-websocket-key")
    if key is None or not _KEY.fullmatch(key):
        raise Refusal(
            400,
            "websocket_key",
            "Sec-WebSocket-Key is not one value of 16 bytes in base64.",
            close=True,
        )
    return Handshake(
        accept_value(key),
        _list(head.get(b"sec-websocket-protocol")),
        _extensions(head.get(b"sec-websocket-extensions")),
    )


def check_switch(answer: SwitchHead, handshake: Handshake) -> None:
    """Raises Refusal 502 unless `answer` is what a server says that has read `handshake` (RFC 6455
    §4.1, what a client must check)."""
    if answer.framed or not answer.minor:
        raise _wrong("The upstream's 101 frames a body, or is not of HTTP/1.1.")
    if answer.upgrade.lower() != b"websocket" or b"upgrade" not in answer.options:
        raise _wrong("The upstream switches to another protocol than WebSocket.")
    if answer.get(b"sec-websocket-accept") != handshake.accept:
        raise _wrong("The upstream's Sec-WebSocket-Accept is not for this client's key.")
    protocol = answer.get(b"sec-websocket-protocol")
    if protocol is not None and protocol not in handshake.protocols:
        raise _wrong("The upstream chose a WebSocket protocol that the client did not name.")
    if not _extensions(answer.get(b"sec-websocket-extensions")) <= handshake.extensions:
        raise _wrong("The upstream uses a WebSocket extension that the client did not name.")


def _wrong(detail: str) -> Refusal:
    return Refusal(502, "bad_response", detail)


def _list(value: bytes | None) -> frozenset[bytes]:
    """The members of a list field (RFC 9110 §5.6.1)."""
    if value is None:
        return frozenset()
    return frozenset(member.strip(b" \t") for member in value.split(b",")) - {b""}


def _extensions(value: bytes | None) -> frozenset[bytes]:
    """The names in Sec-WebSocket-Extensions, without their parameters (RFC 6455 §9.1). A comma
    parts them even in quotes, where no registered extension has one."""
    return frozenset(member.partition(b";")[0].strip(b" \t") for member in _list(value))
