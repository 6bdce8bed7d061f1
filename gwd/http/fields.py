"""The verdict on one field line of a request, which does not depend on its neighbours.

A line's meaning is a `Field`: what kind it is and what, if anything, is forwarded of it. The rules
over a whole head (one Host, one length) are applied to a handful of such verdicts by
`gwd.http.request.assemble`; a memory of lines judged before may hand it the same verdicts.

The table `_KINDS` is the list of names that mean something to the gateway. A name that differs
from one of them only by `_` or other signs where a `-` stands is no other field but an attempt:
CGI and WSGI servers read `X_User_Id` as `X-User-Id` (SEC-08, SEC-14).
"""

from __future__ import annotations

import re
from enum import IntEnum

from gwd.http.scan import malformed


class Kind(IntEnum):
    PLAIN = 0
    """Forwarded; means nothing to the gateway."""
    DROPPED = 1
    """Belongs to one hop, is an odd name, or tells what only the gateway may tell."""
    HOST = 2
    LENGTH = 3
    CODING = 4
    CONNECTION = 5
    EXPECT = 6
    AUTHORIZATION = 7
    USER_AGENT = 8
    FORWARDED_FOR = 9
    FORWARDED_HOST = 10
    FORWARDED_PROTO = 11
    REQUEST_ID = 12
    TRACEPARENT = 13


_KINDS: dict[bytes, Kind] = {
    b"host": Kind.HOST,
    b"content-length": Kind.LENGTH,
    b"transfer-encoding": Kind.CODING,
    b"connection": Kind.CONNECTION,
    b"expect": Kind.EXPECT,
    b"authorization": Kind.AUTHORIZATION,
    b"user-agent": Kind.USER_AGENT,
    b"x-forwarded-for": Kind.FORWARDED_FOR,
    b"x-forwarded-host": Kind.FORWARDED_HOST,
    b"x-forwarded-proto": Kind.FORWARDED_PROTO,
    b"x-request-id": Kind.REQUEST_ID,
    b"traceparent": Kind.TRACEPARENT,
    # hop-by-hop whether Connection names them or not (RFC 9110 §7.6.1)
    b"keep-alive": Kind.DROPPED,
    b"te": Kind.DROPPED,
    b"trailer": Kind.DROPPED,
    b"upgrade": Kind.DROPPED,
    b"http2-settings": Kind.DROPPED,
    # who the client is, told by the gateway alone
    b"forwarded": Kind.DROPPED,
    b"x-real-ip": Kind.DROPPED,
}
_DROPPED_PREFIXES = (b"proxy-", b"x-forwarded-")
_FORWARDED_KINDS = frozenset({Kind.PLAIN, Kind.AUTHORIZATION, Kind.USER_AGENT})
_READ = frozenset(_KINDS.values()) - {Kind.DROPPED, Kind.USER_AGENT}
"""Kinds whose value the gateway acts on: it is ASCII or refused."""

_SIGNS = bytes.maketrans(b"_.!#$%&'*+^`|~", b"--------------")
_ODD = re.compile(rb"[^A-Za-z0-9-]")

PROTECTED_PREFIXES = (b"content-", b"x-forwarded-")
PROTECTED = frozenset(
    (
        b"host",
        b"transfer-encoding",
        b"authorization",
        b"cookie",
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-request-id",
        b"traceparent",
        b"tracestate",
    )
)
"""What Connection must not name: an upstream without it would be misled (SEC-13)."""


class Field:
    """One judged line. `name` is lower-case; `line` is what is forwarded, b"" if nothing is."""

    __slots__ = ("kind", "line", "name", "value")

    def __init__(self, kind: Kind, name: bytes, value: bytes, line: bytes) -> None:
        self.kind = kind
        self.name = name
        self.value = value
        self.line = line


def judge(line: bytes, odd_names: str, removed: frozenset[bytes]) -> Field:
    """The verdict on `line`, a field line without its end, whose syntax h11 has accepted.

    `odd_names` and `removed` are the policy's. Raises Refusal 400.
    """
    name, _, value = line.partition(b":")
    value = value.strip(b" \t")
    lower = name.lower()
    if lower in removed:
        return Field(Kind.DROPPED, lower, value, b"")
    kind = _KINDS.get(lower, Kind.PLAIN)
    if kind == Kind.PLAIN:
        if lower.startswith(_DROPPED_PREFIXES):
            return Field(Kind.DROPPED, lower, value, b"")
        if _ODD.search(name):
            if odd_names == "reject":
                raise malformed("A field name holds other signs than letters, digits and '-'.")
            plain = lower.translate(_SIGNS)
            posing = plain in removed or plain in _KINDS or plain.startswith(_DROPPED_PREFIXES)
            if posing or odd_names == "drop":
                return Field(Kind.DROPPED, lower, value, b"")
    if kind in _READ and not value.isascii():
        raise malformed("A field that the gateway reads holds bytes outside ASCII.")
    forwarded = b"%b: %b\r\n" % (name, value) if kind in _FORWARDED_KINDS else b""
    return Field(kind, lower, value, forwarded)
