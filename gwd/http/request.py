"""Heads of requests: scan → h11 → policy.

Strategy. There is one authority on what a head means: a fresh `h11.Connection` reads it, after a
linear scan of its bytes and before the rules below, which refuse what h11 lets through and two
servers could read in two ways (SECURITY §2). What h11 refuses is refused.

`assemble` makes the `RequestHead` from the request line and verdicts on lines; whichever tier
supplies the verdicts, the rules over the head are here, once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import h11

from gwd.http.fields import PROTECTED, PROTECTED_PREFIXES, Field, Kind, judge
from gwd.http.head import RequestHead
from gwd.http.paths import normalise
from gwd.http.problem import Refusal
from gwd.http.scan import check_head, malformed

MOST_DIGITS = 18
"""Of a Content-Length: below 2^63 in every language."""

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_TARGET_SIGNS = re.compile(r"[#\"<>^{}\\|`]")
_ABSOLUTE = re.compile(r"https?://([^/?]*+)(.*+)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(
    r"(?:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252}))|(?P<ip6>\[[0-9A-Fa-f:.]{2,45}\]))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_REQUEST_LINE_START = re.compile(rb"[!-~]++ [!-~]++ HTTP/[0-9]\.[0-9]\r\n")


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What the operator sets. `removed`: lower-case names that only the gateway may write."""

    max_head: int
    max_fields: int
    max_target: int
    odd_names: str
    removed: frozenset[bytes]


def too_large(data: bytes, policy: GatePolicy) -> Refusal:
    """The refusal for a head past `max_head`: its target's fault, or its fields'."""
    line_end = data.find(b"\r\n")
    if line_end == -1 or line_end > policy.max_target + 64:
        return Refusal(414, "target_too_long", "The request target is too long.", close=True)
    return Refusal(431, "head_too_large", "The request head is too large.", close=True)


def check_request_line(data: bytes, policy: GatePolicy) -> None:
    """Refuse a head that is not all here yet if its first line, which is, makes no request: who
    speaks HTTP/0.9 or no HTTP at all would otherwise wait for nothing. Raises Refusal."""
    if not _REQUEST_LINE_START.match(data):
        raise malformed("The request line is malformed.")


def judge_request(head: bytes, policy: GatePolicy) -> RequestHead:
    """The meaning of `head`, which ends with its empty line. Raises Refusal."""
    if len(head) > policy.max_head:
        raise too_large(head, policy)
    check_head(head, policy.max_fields)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head))
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise _of_h11(error) from None
    if not isinstance(event, h11.Request):
        raise malformed("The request head is malformed.")
    version = event.http_version
    if version not in (b"1.1", b"1.0"):
        raise Refusal(505, "version", "Only HTTP/1.1 and HTTP/1.0 are spoken here.", close=True)
    # Not h11's fields, for it has merged lengths and lowered codings, but the lines it accepted.
    fields = [judge(line, policy.odd_names, policy.removed) for line in head.split(b"\r\n")[1:-2]]
    return assemble(
        event.method.decode("ascii"), event.target.decode("ascii"), int(version[2:]), fields, policy
    )


def assemble(
    method: str, target: str, minor: int, fields: Sequence[Field], policy: GatePolicy
) -> RequestHead:
    """The head made of a request line and judged field lines. Raises Refusal."""
    head = RequestHead()
    head.method, head.minor = method, minor
    head.authorization = head.forwarded_for = head.forwarded_host = head.forwarded_proto = None
    head.request_id = head.traceparent = head.user_agent = None
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    connections: list[bytes] = []
    expects: list[bytes] = []
    forwarded_for: list[bytes] = []
    for field in fields:
        kind = field.kind
        if kind < Kind.HOST:
            continue
        value = field.value
        if kind == Kind.HOST:
            hosts.append(value)
        elif kind == Kind.USER_AGENT:
            head.user_agent = value
        elif kind == Kind.CONNECTION:
            connections.append(value)
        elif kind == Kind.LENGTH:
            lengths.append(value)
        elif kind == Kind.CODING:
            codings.append(value)
        elif kind == Kind.AUTHORIZATION:
            if head.authorization is not None:
                raise malformed("More than one Authorization field.")  # SEC-35
            head.authorization = value
        elif kind == Kind.EXPECT:
            expects.append(value)
        elif kind == Kind.FORWARDED_FOR:
            forwarded_for.append(value)
        elif kind == Kind.FORWARDED_HOST:
            head.forwarded_host = value
        elif kind == Kind.FORWARDED_PROTO:
            head.forwarded_proto = value
        elif kind == Kind.REQUEST_ID:
            head.request_id = value if _REQUEST_ID.fullmatch(value) else None
        elif kind == Kind.TRACEPARENT:
            head.traceparent = value if _TRACEPARENT.fullmatch(value) else None
    if forwarded_for:
        head.forwarded_for = b", ".join(forwarded_for)
    _frame(head, lengths, codings)
    _name_host(head, hosts)
    _aim(head, target, policy)
    _expect(head, expects)
    dropped = _connect(head, connections, policy)
    if dropped:
        head.lines = b"".join([f.line for f in fields if f.name not in dropped])
    else:
        head.lines = b"".join([f.line for f in fields])
    return head


def _frame(head: RequestHead, lengths: list[bytes], codings: list[bytes]) -> None:
    """RFC 9112 §6; SEC-03, SEC-04."""
    head.chunked, head.content_length = False, -1
    if codings:
        if lengths:
            raise malformed("Both Content-Length and Transfer-Encoding.")
        if head.minor == 0:
            raise malformed("Transfer-Encoding in HTTP/1.0.")
        if len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked":
            raise Refusal(
                501, "transfer_coding", "The one transfer coding understood is chunked.", close=True
            )
        head.chunked = True
    elif lengths:
        value = lengths[0]
        if len(lengths) > 1 or not value.isdigit() or len(value) > MOST_DIGITS:
            raise malformed("Content-Length is not one number.")
        head.content_length = int(value)


def _name_host(head: RequestHead, hosts: list[bytes]) -> None:
    """RFC 9112 §3.2; SEC-09."""
    if len(hosts) != 1:
        if not hosts and head.minor == 0:
            head.host, head.authority = "", b""
            return
        raise malformed("There must be one Host field.")
    head.host, head.authority = _host(hosts[0].decode("ascii"))


def _host(text: str) -> tuple[str, bytes]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise malformed("Host is no host.")
    name, ip6, port = match.group("name", "ip6", "port")
    if name is not None:
        host = name.lower().removesuffix(".")
        if not host or ".." in host:
            raise malformed("Host is no host.")
    else:
        host = ip6.lower()
        if host.count("::") > 1 or ":::" in host or ":" not in host:
            raise malformed("Host is no host.")
    if port is None:
        return host, host.encode()
    number = int(port)
    if not 1 <= number <= 65535:
        raise malformed("The port of Host is none.")
    return host, f"{host}:{number}".encode()


def _aim(head: RequestHead, target: str, policy: GatePolicy) -> None:
    """RFC 9112 §3.2: the forms of a target; SEC-11, SEC-12."""
    if len(target) > policy.max_target:
        raise Refusal(414, "target_too_long", "The request target is too long.", close=True)
    method = head.method
    if not _METHOD.fullmatch(method):
        raise malformed("The method is malformed.")
    if method == "CONNECT":
        raise Refusal(501, "method", "CONNECT is not served here.", close=True)
    if method == "TRACE":
        raise Refusal(
            405, "method_not_allowed", "TRACE is not served here.", (("Allow", "GET"),), close=True
        )
    if _TARGET_SIGNS.search(target):
        raise malformed("The target holds a character that must be percent-encoded.")
    if target[0] != "/":
        if target == "*" and method == "OPTIONS":
            head.path, head.query, head.encoded_slash = "*", "", False
            return
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise malformed("The target is neither a path nor an http URL.")
        host, authority = _host(absolute.group(1))
        if not head.authority:
            head.host, head.authority = host, authority
        elif (host, authority) != (head.host, head.authority):
            raise malformed("The target and Host name different hosts.")
        target = absolute.group(2)
        if not target.startswith("/"):
            target = "/" + target
    mark = target.find("?")
    if mark == -1:
        path, head.query = target, ""
    else:
        path, head.query = target[:mark], target[mark:]
    head.path, head.encoded_slash = normalise(path)


def _expect(head: RequestHead, expects: list[bytes]) -> None:
    """RFC 9110 §10.1.1; SEC-15."""
    head.expect_continue = False
    if not expects:
        return
    if len(expects) > 1 or expects[0].lower() != b"100-continue":
        raise Refusal(417, "expectation", "The one expectation met is 100-continue.", close=True)
    head.expect_continue = head.minor == 1 and head.has_body


def _connect(head: RequestHead, connections: list[bytes], policy: GatePolicy) -> frozenset[bytes]:
    """RFC 9110 §7.6.1; SEC-13. Returns the names of fields that end at this hop."""
    head.keep_alive = head.minor == 1
    if not connections:
        return frozenset()
    options = {o.strip(b" \t").lower() for value in connections for o in value.split(b",")}
    options.discard(b"")
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    for option in options:
        plain = option.replace(b"_", b"-")
        if plain in PROTECTED or plain in policy.removed or plain.startswith(PROTECTED_PREFIXES):
            raise malformed("Connection names a field that it must not remove.")
    return frozenset(options)


def _of_h11(error: h11.RemoteProtocolError) -> Refusal:
    status = error.error_status_hint
    if status == 501:
        return Refusal(
            501, "transfer_coding", "The one transfer coding understood is chunked.", close=True
        )
    if status == 431:
        return Refusal(431, "head_too_large", "The request head is too large.", close=True)
    return malformed("The request head is malformed.")
