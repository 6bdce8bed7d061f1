"""The responses that the gateway makes itself, in one canonical form.

Errors are `application/problem+json` (RFC 9457). A `Refusal` is the value all parts of the gateway
speak of: which status, which word in the log, what the caller may know. Nothing in it names an
internal address (SEC-50).

Whatever a header's name or value is made of (config, captures, claims), nothing in it can end its
line (SEC-24), and none that frames the message or belongs to the connection is taken from outside.
"""

from __future__ import annotations

import json
from typing import TypedDict

REASON_PHRASES: dict[int, bytes] = {
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    203: b"Non-Authoritative Information",
    204: b"No Content",
    205: b"Reset Content",
    206: b"Partial Content",
    207: b"Multi-Status",
    208: b"Already Reported",
    226: b"IM Used",
    300: b"Multiple Choices",
    301: b"Moved Permanently",
    302: b"Found",
    303: b"See Other",
    304: b"Not Modified",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    406: b"Not Acceptable",
    407: b"Proxy Authentication Required",
    408: b"Request Timeout",
    409: b"Conflict",
    410: b"Gone",
    411: b"Length Required",
    412: b"Precondition Failed",
    413: b"Content Too Large",
    414: b"URI Too Long",
    415: b"Unsupported Media Type",
    416: b"Range Not Satisfiable",
    417: b"Expectation Failed",
    421: b"Misdirected Request",
    422: b"Unprocessable Content",
    423: b"Locked",
    424: b"Failed Dependency",
    425: b"Too Early",
    426: b"Upgrade Required",
    428: b"Precondition Required",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    451: b"Unavailable For Legal Reasons",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
    506: b"Variant Also Negotiates",
    507: b"Insufficient Storage",
    508: b"Loop Detected",
    511: b"Network Authentication Required",
}
"""RFC 9110 §15 and the IANA registry."""

_CONTROLS = bytes.maketrans(bytes((*range(0x20), 0x7F)), b"?" * 33)
_TOKEN_SIGNS = b"!#$%&'*+.^_`|~-"
_NAME_SIGNS = bytes(b if bytes((b,)).isalnum() or b in _TOKEN_SIGNS else 0x2D for b in range(256))
_OWN = frozenset(
    (b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"x-request-id")
)


class Refusal(Exception):
    """Why a request is not served: raised by parsers, returned by routing and policies.

    `reason` is the word for logs and metrics, `detail` the sentence for the caller. `close`: the
    connection cannot be used any more, for nobody knows where the next request begins. `members`
    are added to the problem's object (RFC 9457 §3.2).
    """

    __slots__ = ("close", "detail", "headers", "members", "reason", "rendered", "status", "type")

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        headers: tuple[tuple[str, str], ...] = (),
        close: bool = False,
        type: str = "about:blank",
        members: tuple[tuple[str, object], ...] = (),
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers
        self.close = close
        self.type = type
        self.members = members
        self.rendered: tuple[bytes, bytes, bytes] | None = None
        """Room for what `problem_response` makes of it: the same refusal often goes out again."""

    def __repr__(self) -> str:
        return f"Refusal({self.status}, {self.reason!r}, {self.detail!r})"


class Manner(TypedDict):
    """How a response of the gateway's own is put: `minor` is the request's HTTP/1.x version;
    `head_only` for HEAD; `close` says that the connection ends with it."""

    minor: int
    head_only: bool
    close: bool


def problem_response(
    refusal: Refusal, request_id: str, *, minor: int, head_only: bool, close: bool
) -> bytes:
    """The whole response, head and body, that tells `refusal`."""
    if refusal.rendered is None:
        refusal.rendered = _render(refusal)
    opening, before, after = refusal.rendered
    body = b"".join((before, json.dumps(request_id).encode("ascii"), after))
    return _complete(
        refusal.status, opening, body, request_id, minor=minor, head_only=head_only, close=close
    )


def _render(refusal: Refusal) -> tuple[bytes, bytes, bytes]:
    """The beginning of its head, and its body before and behind the request's id."""
    told = {
        "type": refusal.type,
        "title": REASON_PHRASES.get(refusal.status, b"Error").decode("ascii"),
        "status": refusal.status,
        "detail": refusal.detail,
    }
    before = json.dumps(told).removesuffix("}") + ', "request_id": '
    more = json.dumps(dict(refusal.members)).removeprefix("{") if refusal.members else ""
    headers = (("Content-Type", "application/problem+json"), *refusal.headers)
    after = f", {more}" if more else "}"
    return _open(refusal.status, headers), before.encode("ascii"), after.encode("ascii")


def plain_response(
    status: int,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    request_id: str,
    *,
    minor: int,
    head_only: bool,
    close: bool,
) -> bytes:
    """A whole response of the gateway's own.

    `minor` is the request's HTTP/1.x version; `head_only` for HEAD, whose Content-Length is that
    of the body left out. 204 and 304 have no body and say no length (RFC 9110 §8.6). `headers`
    cannot frame the message nor tell the connection's end: such ones are left out.
    """
    return _complete(
        status,
        _open(status, headers),
        body,
        request_id,
        minor=minor,
        head_only=head_only,
        close=close,
    )


def _open(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """The status line and `headers`."""
    head = [b"HTTP/1.1 %d %b\r\n" % (status, REASON_PHRASES.get(status, b""))]
    for name, value in headers:
        # Judged as it will be written: "Content Length" becomes a name that frames.
        written = _name(name)
        if written and written.lower() not in _OWN:
            head.append(b"%b: %b\r\n" % (written, _value(value)))
    return b"".join(head)


def _complete(
    status: int,
    opening: bytes,
    body: bytes,
    request_id: str,
    *,
    minor: int,
    head_only: bool,
    close: bool,
) -> bytes:
    """A response from behind its own fields on."""
    bodyless = status in (204, 304)
    head = [opening]
    if not bodyless:
        head.append(b"Content-Length: %d\r\n" % len(body))
    if request_id:
        head.append(b"X-Request-Id: %b\r\n" % _value(request_id))
    if close:
        # RFC 9110 §15.5.22: a 426 has Upgrade, and so (§7.8) Connection names it.
        head.append(
            b"Connection: Upgrade, close\r\n" if status == 426 else b"Connection: close\r\n"
        )
    elif minor == 0:
        head.append(b"Connection: keep-alive\r\n")
    head.append(b"\r\n")
    if not (bodyless or head_only):
        head.append(body)
    return b"".join(head)


def _name(name: str) -> bytes:
    """`name` as it is written: what must not stand in one becomes "-"."""
    return name.encode("ascii", "replace").translate(_NAME_SIGNS)


def _value(value: str) -> bytes:
    """`value` as it is written: what could end its line becomes "?"."""
    return value.encode("utf-8", "replace").translate(_CONTROLS)
