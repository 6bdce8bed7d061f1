"""Heads of requests: scan → lines and policy → h11.

Strategy. A head counts if h11 accepts it *and* the policy here does (SECURITY §2): each line is
judged by itself, the rules over the head are applied to the verdicts, and what survives is shown to
a fresh `h11.Connection`, which may still refuse it. h11 comes last because what it does with heads
that the rules refuse can take it seconds, and so that a refusal says what is really wrong.

The faster tiers take only what that authority takes (tests/http/test_tiers.py holds them to it): a
head all of ASCII that passes scan, lines and rules needs no h11, for in ASCII they are the stricter
grammar at every point; a verdict on a line, which does not depend on its neighbours, is remembered
(`fields.learn`), and so is what a sequence of verdicts came to (`recall`); and a connection
remembers its last head (`gate`).

`assemble` makes the `RequestHead` from a request line and verdicts on field lines; whichever tier
supplies the verdicts, the rules over the head are here, once.
"""

from __future__ import annotations

from collections.abc import Sequence

import h11

from gwd.http.fields import Field, GatePolicy, Kind, connection_options, judge, learn
from gwd.http.head import RequestHead, UpgradeHead
from gwd.http.problem import Refusal
from gwd.http.recall import learn_shape
from gwd.http.scan import malformed
from gwd.http.target import RequestLine, parse_request_line

_ONCE = {
    Kind.HOST: "More than one Host field.",  # RFC 9112 §3.2
    Kind.LENGTH: "More than one Content-Length field.",  # RFC 9112 §6.3; SEC-03
    Kind.AUTHORIZATION: "More than one Authorization field.",  # SEC-35
}
_KEEP_ALIVE, _CLOSE = b"keep-alive", b"close"
_USUAL_OPTIONS = frozenset((_KEEP_ALIVE, _CLOSE))
_UPGRADE, _WEBSOCKET, WEBSOCKET = b"upgrade", b"websocket", "websocket"
_HEADROOM = 1024


def judge_request(head: bytes, policy: GatePolicy) -> RequestHead:
    """The meaning of `head`, which ends with its empty line, and which the scan has passed.

    Raises Refusal.
    """
    lines = head[:-4].split(b"\r\n")
    line = parse_request_line(lines[0], policy.max_target)
    if len(lines) > policy.max_fields + 1:
        raise Refusal(
            431, "too_many_fields", f"More than {policy.max_fields} header fields.", close=True
        )
    del lines[0]
    known = policy.known
    fields = []
    for text in lines:
        field = known.get(text)
        if field is None:
            field = judge(text, policy)
            learn(text, field, policy)
        fields.append(field)
    request = assemble(line, fields)
    request.spare = policy.max_head - len(head)
    if not head.isascii():
        confirm(head)
    learn_shape(line, lines, fields, request, policy)
    return request


def confirm(head: bytes) -> None:
    """Let h11 refuse `head`. Raises Refusal."""
    connection = h11.Connection(h11.SERVER, len(head) + _HEADROOM)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        raise malformed("The request head is malformed.") from None
    if type(event) is not h11.Request:
        raise malformed("The request head is malformed.")


def assemble(line: RequestLine, fields: Sequence[Field]) -> RequestHead:
    """The head made of a request line and judged field lines. Raises Refusal."""
    found: dict[int, Field] = {}
    repeated: list[Field] = []
    for field in fields:
        kind = field.kind
        if kind:
            if kind in found:
                repeated.append(field)
            else:
                found[kind] = field

    upgrade = found.get(Kind.UPGRADE)
    head = RequestHead() if upgrade is None else UpgradeHead()
    head.method, head.minor = line.method, line.minor
    head.path, head.query, head.encoded_slash = line.path, line.query, line.encoded_slash
    head.line = f"{line.method} {line.path}{line.query} HTTP/1.1\r\n".encode("ascii")
    head.spare = 0
    coding, expect, connection = (
        found.get(Kind.CODING),
        found.get(Kind.EXPECT),
        found.get(Kind.CONNECTION),
    )
    head.authorization = _value(found.get(Kind.AUTHORIZATION))
    head.user_agent = _value(found.get(Kind.USER_AGENT))
    head.forwarded_for = _value(found.get(Kind.FORWARDED_FOR))
    head.forwarded_host = _value(found.get(Kind.FORWARDED_HOST))
    head.forwarded_proto = _value(found.get(Kind.FORWARDED_PROTO))
    head.request_id = _value(found.get(Kind.REQUEST_ID))
    head.traceparent = _value(found.get(Kind.TRACEPARENT))
    options = connection.options if connection is not None else frozenset[bytes]()
    for field in repeated:
        options = _repeat(field, head, options)

    # One host (SEC-09): RFC 9112 §3.2.2 lets the target win; two readers could differ.
    host = found.get(Kind.HOST)
    if host is not None:
        if line.authority and line.authority != host.value:
            raise malformed("The target and Host name different hosts.")
        head.host, head.authority = host.host, host.value
    elif line.minor:
        raise malformed("There is no Host field.")
    else:
        head.host, head.authority = line.host, line.authority

    head.host_line = b"Host: %b\r\n" % head.authority if head.authority else b""

    # One framing (RFC 9112 §6).
    length = found.get(Kind.LENGTH)
    head.content_length, head.chunked = -1, False
    if coding is not None:
        _check_coding(coding, repeated, length is not None, line.minor)
        head.chunked = True
    elif length is not None:
        head.content_length = length.number
    head.has_body = head.chunked or head.content_length > 0

    # RFC 9110 §10.1.1: a server ignores it in HTTP/1.0; SEC-15.
    head.expect_continue = False
    if expect is not None and line.minor:
        if not expect.number or any(field.kind == Kind.EXPECT for field in repeated):
            raise Refusal(
                417, "expectation", "The one expectation met is 100-continue.", close=True
            )
        head.expect_continue = head.has_body

    # RFC 9110 §7.6.1, RFC 9112 §9.3: what Connection lists, and whether this one stays.
    head.keep_alive = (
        _CLOSE not in options if line.minor else _KEEP_ALIVE in options and _CLOSE not in options
    )
    dropped = options - _USUAL_OPTIONS if options else options
    if Kind.TRACESTATE in found and head.traceparent is None:
        # It continues a trace that is not continued (W3C Trace Context §3.3).
        dropped |= {b"tracestate"}
    if dropped:
        head.lines = b"".join([field.line for field in fields if field.name not in dropped])
        if b"user-agent" in dropped:
            head.user_agent = None
    else:
        head.lines = b"".join([field.line for field in fields])
    if upgrade is not None:
        assert isinstance(head, UpgradeHead)
        _judge_upgrade(head, fields, options)
    return head


def _judge_upgrade(head: UpgradeHead, fields: Sequence[Field], options: frozenset[bytes]) -> None:
    """Whether `head` asks for WebSocket, and for nothing that would contradict it: in HTTP/1.1,
    with Connection's consent (RFC 9110 §7.8), as a GET without a body (RFC 6455 §4.1)."""
    named = b",".join([field.value for field in fields if field.kind == Kind.UPGRADE])
    head.upgrade = ""
    if (
        _WEBSOCKET in connection_options(named)
        and _UPGRADE in options
        and head.method == "GET"
        and head.minor
        and not head.has_body
    ):
        head.upgrade = WEBSOCKET
        # Nothing behind it is ever a request, for it was sent by somebody who may believe to have
        # been upgraded already (RFC 9931).
        head.has_body, head.keep_alive, head.content_length = True, False, -1


def _value(field: Field | None) -> bytes | None:
    return None if field is None else field.value


def _repeat(field: Field, head: RequestHead, options: frozenset[bytes]) -> frozenset[bytes]:
    """Reckon with a second field of a kind. Returns what Connection lists by now."""
    kind = field.kind
    if kind in _ONCE:
        raise malformed(_ONCE[kind])
    if kind == Kind.CONNECTION:
        return options | field.options
    if kind == Kind.FORWARDED_FOR:
        assert head.forwarded_for is not None
        head.forwarded_for += b", " + field.value
    # Whoever wrote one of these twice, no reading of both is more right than another.
    elif kind == Kind.FORWARDED_HOST:
        head.forwarded_host = None
    elif kind == Kind.FORWARDED_PROTO:
        head.forwarded_proto = None
    elif kind == Kind.REQUEST_ID:
        head.request_id = None
    elif kind == Kind.TRACEPARENT:
        head.traceparent = None
    return options


def _check_coding(coding: Field, repeated: list[Field], length: bool, minor: int) -> None:
    """RFC 9112 §6.1, §6.3; SEC-03, SEC-04."""
    if length:
        raise malformed("Both Content-Length and Transfer-Encoding.")
    if not minor:
        raise malformed("Transfer-Encoding in HTTP/1.0.")
    if not coding.number or any(field.kind == Kind.CODING for field in repeated):
        raise Refusal(
            501, "transfer_coding", "The one transfer coding understood is chunked.", close=True
        )
