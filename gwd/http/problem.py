"""The responses that the gateway makes itself, in one canonical form.

Errors are `application/problem+json` (RFC 9457). A `Refusal` is the value all parts of the gateway
speak of: which status, which word in the log, what the caller may know. Nothing in it names an
internal address (SEC-50), and no header value can hold a control character (SEC-24): they come from
the gateway's own constants, or from a config that was checked.
"""

from __future__ import annotations

import json

REASON_PHRASES: dict[int, bytes] = {
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    203: b"Non-Authoritative Information",
    204: b"No Content",
    205: b"Reset Content",
    206: b"Partial Content",
    207: b"Multi-Status",
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
    507: b"Insufficient Storage",
}
"""RFC 9110 §15 and the IANA registry."""


class Refusal(Exception):
    """Why a request is not served: raised by parsers, returned by routing and policies.

    `reason` is the word for logs and metrics, `detail` the sentence for the caller. `close`: the
    connection cannot be used any more, for nobody knows where the next request begins.
    """

    __slots__ = ("close", "detail", "headers", "reason", "status", "type")

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        headers: tuple[tuple[str, str], ...] = (),
        close: bool = False,
        type: str = "about:blank",
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers
        self.close = close
        self.type = type

    def __repr__(self) -> str:
        return f"Refusal({self.status}, {self.reason!r}, {self.detail!r})"


def problem_response(
    refusal: Refusal, request_id: str, *, minor: int, head_only: bool, close: bool
) -> bytes:
    """The whole response, head and body, that tells `refusal`."""
    body = json.dumps(
        {
            "type": refusal.type,
            "title": REASON_PHRASES.get(refusal.status, b"Error").decode(),
            "status": refusal.status,
            "detail": refusal.detail,
            "request_id": request_id,
        }
    ).encode()
    headers = (("Content-Type", "application/problem+json"), *refusal.headers)
    return plain_response(
        refusal.status,
        headers,
        body,
        request_id,
        minor=minor,
        head_only=head_only,
        close=close,
    )


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
    of the body left out. 204 and 304 have no body and say no length (RFC 9110 §8.6).
    """
    bodyless = status in (204, 304)
    head = [b"HTTP/1.1 %d %b\r\n" % (status, REASON_PHRASES.get(status, b""))]
    head += [f"{name}: {value}\r\n".encode("latin-1") for name, value in headers]
    if not bodyless:
        head.append(b"Content-Length: %d\r\n" % len(body))
    head.append(b"X-Request-Id: %b\r\n" % request_id.encode("ascii"))
    if close:
        head.append(b"Connection: close\r\n")
    elif minor == 0:
        head.append(b"Connection: keep-alive\r\n")
    head.append(b"\r\n")
    if not (bodyless or head_only):
        head.append(body)
    return b"".join(head)
