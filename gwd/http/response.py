"""Heads of responses. The upstream is not trusted to be correct: what is not plainly one response
to the request that was sent is a bad gateway (SECURITY §2.5), and never forwarded as it stands.

Strategy: as for requests, a linear scan, then the rules that h11 does not have (one framing,
versions 1.0 and 1.1, status 100 to 599, names of letters, digits and "-"), then a fresh
`h11.Connection`, which may still refuse it. Whether a 101 was asked for is for its reader to say
(SEC-23).
"""

from __future__ import annotations

import re

import h11

from gwd.http.fields import MOST_DIGITS, NORMAL_NAME, TOKEN, connection_options
from gwd.http.head import ResponseHead, SwitchHead
from gwd.http.problem import Refusal

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*+))?")
_DROPPED = frozenset(
    (
        b"keep-alive",
        b"te",
        b"trailer",
        b"upgrade",
        b"http2-settings",
        b"x-request-id",  # the gateway's own stands there
    )
)
_FORWARDED = frozenset(
    (
        b"accept-ranges",
        b"age",
        b"cache-control",
        b"content-encoding",
        b"content-type",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"location",
        b"server",
        b"set-cookie",
        b"strict-transport-security",
        b"vary",
    )
)
"""Ordinary names, listed to be recognised at once."""
_ASKED = h11.Request(
    method="GET",
    target="/",
    headers=[("Host", "x"), ("Connection", "upgrade"), ("Upgrade", "websocket")],
)
SWITCHING = 101
_HEADROOM = 1024


def bad_response(detail: str) -> Refusal:
    return Refusal(502, "bad_response", detail)


def judge_response(head: bytes, method: str, max_fields: int) -> ResponseHead:
    """The meaning of `head`, which ends with its empty line and which the scan has passed, as the
    answer to a `method` request. Raises Refusal 502.
    """
    lines = head[:-4].split(b"\r\n")
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise bad_response("The upstream's status line is malformed.")
    if len(lines) > max_fields + 1:
        raise bad_response("The upstream's response head has too many fields.")
    del lines[0]
    status = int(match.group(2))
    response = ResponseHead() if status != SWITCHING else SwitchHead()
    response.opening = b""
    response.minor = int(match.group(1))
    response.status = status
    response.reason = match.group(3) or b""
    response.interim = response.status < 200
    _assemble(response, lines, method)
    if status == SWITCHING:
        assert isinstance(response, SwitchHead)
        _note_switch(response, lines)
    if not head.isascii():
        # In ASCII the scan and the rules here are the stricter grammar at every point.
        _confirm(head, response.interim)
    return response


def _confirm(head: bytes, interim: bool) -> None:
    connection = h11.Connection(h11.CLIENT, len(head) + _HEADROOM)
    if interim:
        connection.send(_ASKED)  # h11 takes final heads unasked, but not these
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        raise bad_response("The upstream's response head is malformed.") from None
    if type(event) is not (h11.InformationalResponse if interim else h11.Response):
        raise bad_response("The upstream's response head is malformed.")


def _note_switch(head: SwitchHead, lines: list[bytes]) -> None:
    """What a 101 says about the switch itself, which is no end-to-end field."""
    upgrades: list[bytes] = []
    options: frozenset[bytes] = frozenset()
    for line in lines:
        name, _, value = line.partition(b":")
        lower = name.lower()
        if lower == b"upgrade":
            upgrades.append(value.strip(b" \t"))
        elif lower == b"connection":
            options |= connection_options(value)
    head.upgrade, head.options = b", ".join(upgrades), options
    head.framed = head.chunked or head.content_length > 0


def _assemble(head: ResponseHead, lines: list[bytes], method: str) -> None:
    lengths: list[bytes] = []
    codings: list[bytes] = []
    options: frozenset[bytes] = frozenset()
    kept: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        lower, value = name.lower(), value.strip(b" \t")
        if lower in _FORWARDED and colon:
            kept.append((lower, b"%b: %b\r\n" % (name, value)))
        elif not colon or not TOKEN.fullmatch(name):
            raise bad_response("A field of the upstream's response is malformed.")
        elif lower == b"content-length":
            lengths.append(value)
        elif lower == b"transfer-encoding":
            codings.append(value)
        elif lower == b"connection":
            options |= connection_options(value)
        elif (
            lower not in _DROPPED
            and not lower.startswith(b"proxy-")
            and NORMAL_NAME.fullmatch(name)  # SEC-08
        ):
            kept.append((lower, b"%b: %b\r\n" % (name, value)))
    head.lines = b"".join([line for name, line in kept if name not in options])
    status = head.status
    head.bodyless = head.interim or method == "HEAD" or status in (204, 304)
    head.chunked, head.content_length = False, -1
    if codings:
        if lengths or not head.minor or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise bad_response("The upstream's response is framed in two ways, or in none known.")
        head.chunked = True
    elif lengths:
        value = lengths[0]
        if len(lengths) > 1 or not value.isdigit() or len(value) > MOST_DIGITS:
            raise bad_response("The upstream's Content-Length is not one number.")
        head.content_length = int(value)
    head.until_close = not (codings or lengths or head.bodyless)
    head.keep_alive = head.minor == 1 and b"close" not in options and not head.until_close
    if status == 204 and (codings or head.content_length > 0):
        # RFC 9110 §15.3.5 has no body there; whether this server knows shows only later.
        head.keep_alive = False
