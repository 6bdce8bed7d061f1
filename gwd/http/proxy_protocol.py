"""The PROXY protocol, versions 1 and 2: who the client of a connection is, told by the proxy in
front of it (haproxy.org, "The PROXY protocol", sections 2.1 and 2.2).

Strategy: a pure function of the bytes so far. It says that more are needed, and then every one of
them belongs to the header; or what the header tells and how many bytes it had; or why it is none.
Nothing is guessed and nothing passed over (SEC-40): whoever could write a header that two readers
understand differently would choose the address that others are judged by. So version 1 has one
spelling (no second blank, no leading zero, no upper-case family but its own), and the extensions of
version 2 must end exactly where its length says.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Final

from gwd.http.addresses import canonical

MOST_V1 = 107
"""Bytes of a line of version 1, its end included (section 2.1)."""
MOST_V2 = 1024
"""Bytes of a header of version 2 with its extensions: a limit of ours, as 65,551 could come."""
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED = 16
"""Bytes of version 2 before the addresses: signature, version and command, family, length."""
_V1_START = b"PROXY "
_V1_LINE = re.compile(
    rb"PROXY (?:"
    rb"UNKNOWN(?: [!-~]+(?: [!-~]+)*+)?"
    rb"|TCP4 ([0-9.]{7,15}) ([0-9.]{7,15}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
    rb"|TCP6 ([0-9a-fA-F:.]{2,39}) ([0-9a-fA-F:.]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
    rb")\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESSES = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
"""Bytes of the addresses by family. Datagrams, the rest of section 2.2, never come over TCP."""
NEEDS_MORE: Final = None


@dataclass(frozen=True, slots=True)
class Announced:
    """A header that is whole. `address` is the client's in its one spelling, None where the proxy
    speaks for itself or does not know (LOCAL, UNKNOWN, no TCP); `size` counts the header's bytes.
    """

    address: str | None
    size: int


@dataclass(frozen=True, slots=True)
class NotProxy:
    """No header, or not one that can be read in one way only; `reason` is for logs and tests."""

    reason: str


def read_proxy_header(data: bytes) -> Announced | NotProxy | None:
    """What `data`, all that has come of a connection, begins with; None if more bytes are needed,
    and then all of `data` belongs to the header."""
    if data[:1] == b"P":
        return _version1(data)
    if data[:1] == b"\r":
        return _version2(data)
    return NotProxy("no PROXY header") if data else NEEDS_MORE


def _version1(data: bytes) -> Announced | NotProxy | None:
    if not data.startswith(_V1_START) and not _V1_START.startswith(data):
        return NotProxy("no PROXY header")
    end = data.find(b"\n", 0, MOST_V1) + 1
    if not end:
        if len(data) >= MOST_V1:
            return NotProxy("line too long")
        return NEEDS_MORE
    match = _V1_LINE.fullmatch(data, 0, end)
    if match is None:
        return NotProxy("malformed line")
    known = [group for group in match.groups() if group is not None]
    if not known:
        return Announced(None, end)
    family = socket.AF_INET if match.group(1) else socket.AF_INET6
    try:
        for address in known[:2]:
            socket.inet_pton(family, address.decode("ascii"))
    except OSError:
        return NotProxy("malformed address")
    if any(int(port) > 65535 for port in known[2:]):
        return NotProxy("malformed port")
    return Announced(canonical(known[0].decode("ascii")), end)


def _version2(data: bytes) -> Announced | NotProxy | None:
    if not data.startswith(SIGNATURE):
        if SIGNATURE.startswith(data):
            return NEEDS_MORE
        return NotProxy("no PROXY header")
    if len(data) > 12 and data[12] not in (_LOCAL, _PROXY):
        return NotProxy("unknown version or command")
    if len(data) < FIXED:
        return NEEDS_MORE
    command, family = data[12], data[13]
    size = FIXED + int.from_bytes(data[14:FIXED], "big")
    if size > MOST_V2:
        return NotProxy("header too long")
    if command == _PROXY:
        if family not in _ADDRESSES:
            return NotProxy("unknown family")
        if size < FIXED + _ADDRESSES[family]:
            return NotProxy("header too short for its addresses")
    if len(data) < size:
        return NEEDS_MORE
    if command == _LOCAL:
        return Announced(None, size)  # nothing in it means anything (section 2.2)
    if not _extensions_end(data, FIXED + _ADDRESSES[family], size):
        return NotProxy("extensions do not end with the header")
    if family == _TCP4:
        address = socket.inet_ntop(socket.AF_INET, data[FIXED : FIXED + 4])
    elif family == _TCP6:
        address = socket.inet_ntop(socket.AF_INET6, data[FIXED : FIXED + 16])
    else:
        return Announced(None, size)
    return Announced(canonical(address), size)


def _extensions_end(data: bytes, at: int, end: int) -> bool:
    """Whether the extensions (type, two bytes of length, value) from `at` end exactly at `end`."""
    while at + 3 <= end:
        at += 3 + int.from_bytes(data[at + 1 : at + 3], "big")
    return at == end
