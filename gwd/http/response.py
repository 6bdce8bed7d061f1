"""Heads of responses. The upstream is not trusted to be correct: what is not plainly one response
to the request that was sent is a bad gateway (SECURITY §2.5), and never forwarded as it stands.

Strategy: as for requests, a linear scan, then a fresh `h11.Connection`, then the rules that h11
does not have: one framing, versions 1.0 and 1.1, status 100 to 599.
"""

from __future__ import annotations

import h11

from gwd.http.head import ResponseHead
from gwd.http.problem import Refusal
from gwd.http.request import MOST_DIGITS
from gwd.http.scan import check_head

_DROPPED = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"te",
        b"trailer",
        b"upgrade",
        b"x-request-id",
    )
)
_KEPT_IN_SPITE = frozenset((b"content-type", b"content-encoding", b"set-cookie", b"date"))
"""Fields that an upstream cannot make the gateway drop by naming them in Connection."""


def bad_response(detail: str) -> Refusal:
    return Refusal(502, "bad_response", detail)


def judge_response(head: bytes, method: str, max_fields: int) -> ResponseHead:
    """The meaning of `head`, which ends with its empty line, as the answer to a `method` request.

    Raises Refusal 502.
    """
    try:
        check_head(head, max_fields)
    except Refusal as refusal:
        raise bad_response(refusal.detail) from None
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(head))
    # h11 reads an answer only to a request it has sent.
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        raise bad_response("The response head is malformed.") from None
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise bad_response("The response head is malformed.")
    version = event.http_version
    if version not in (b"1.1", b"1.0") or not 100 <= event.status_code <= 599:
        raise bad_response("The response has a version or status that does not exist.")
    return _assemble(event.status_code, event.reason, int(version[2:]), head, method)


def _assemble(status: int, reason: bytes, minor: int, raw: bytes, method: str) -> ResponseHead:
    head = ResponseHead()
    head.status, head.reason, head.minor = status, reason, minor
    head.interim = status < 200
    lengths: list[bytes] = []
    codings: list[bytes] = []
    options: set[bytes] = set()
    fields: list[tuple[bytes, bytes]] = []
    for line in raw.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        lower, value = name.lower(), value.strip(b" \t")
        if lower == b"content-length":
            lengths.append(value)
        elif lower == b"transfer-encoding":
            codings.append(value)
        elif lower == b"connection":
            options.update(o.strip(b" \t").lower() for o in value.split(b","))
        elif lower not in _DROPPED:
            fields.append((lower, b"%b: %b\r\n" % (name, value)))
    options -= _KEPT_IN_SPITE
    head.lines = b"".join([line for name, line in fields if name not in options])
    head.bodyless = head.interim or method == "HEAD" or status in (204, 304)
    head.chunked, head.content_length, head.until_close = False, -1, False
    if codings:
        if lengths or minor == 0 or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise bad_response("The response is framed in two ways, or in none that is known.")
        head.chunked = True
    elif lengths:
        value = lengths[0]
        if len(lengths) > 1 or not value.isdigit() or len(value) > MOST_DIGITS:
            raise bad_response("The response's Content-Length is not one number.")
        head.content_length = int(value)
    elif not head.bodyless:
        head.until_close = True
    head.keep_alive = minor == 1 and b"close" not in options and not head.until_close
    return head
