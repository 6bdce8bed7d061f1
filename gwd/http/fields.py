"""The verdict on one field line of a request, which depends on the line and the policy alone.

A line comes down to a `Field`: what is forwarded of it, what kind it is, and, for the kinds that
mean something to the gateway, that meaning. Whether a head may hold such fields together (one
Host, one length) is decided over verdicts by `gwd.http.request.assemble`; so a memory of lines
judged before may hand it the same verdicts (SEC-28: they die with their policy).

Names are compared as the most careless reader behind the gateway might: CGI and WSGI servers read
`X_User_Id` as `X-User-Id`, so a name whose odd signs stand where a known one has "-" is no other
field but an attempt, and never forwarded (SEC-08, SEC-14).
"""

from __future__ import annotations

import re
from typing import Final

from gwd.http.head import RequestHead
from gwd.http.scan import malformed
from gwd.http.target import parse_authority


class Kind:
    """What a field means. Plain integers: members of enums cost too much per line."""

    PLAIN: Final = 0
    """Forwarded or dropped without further meaning."""
    HOST: Final = 1
    LENGTH: Final = 2
    CODING: Final = 3
    CONNECTION: Final = 4
    EXPECT: Final = 5
    AUTHORIZATION: Final = 6
    USER_AGENT: Final = 7
    FORWARDED_FOR: Final = 8
    FORWARDED_HOST: Final = 9
    FORWARDED_PROTO: Final = 10
    REQUEST_ID: Final = 11
    TRACEPARENT: Final = 12
    TRACESTATE: Final = 13
    UPGRADE: Final = 14


# Name → (kind, whether it is forwarded).
_KNOWN: dict[bytes, tuple[int, bool]] = {
    b"host": (Kind.HOST, False),
    b"content-length": (Kind.LENGTH, False),
    b"transfer-encoding": (Kind.CODING, False),
    b"connection": (Kind.CONNECTION, False),
    b"expect": (Kind.EXPECT, False),
    b"authorization": (Kind.AUTHORIZATION, True),
    b"user-agent": (Kind.USER_AGENT, True),
    b"x-forwarded-for": (Kind.FORWARDED_FOR, False),
    b"x-forwarded-host": (Kind.FORWARDED_HOST, False),
    b"x-forwarded-proto": (Kind.FORWARDED_PROTO, False),
    b"x-request-id": (Kind.REQUEST_ID, False),
    b"traceparent": (Kind.TRACEPARENT, False),
    b"tracestate": (Kind.TRACESTATE, True),
    # Hop-by-hop, whether Connection names them or not (RFC 9110 §7.6.1). Upgrade is read, for
    # WebSocket; for all else it is ignored, as RFC 9110 §7.8 lets a server do (SEC-16: no h2c).
    b"keep-alive": (Kind.PLAIN, False),
    b"te": (Kind.PLAIN, False),
    b"trailer": (Kind.PLAIN, False),
    b"upgrade": (Kind.UPGRADE, False),
    b"http2-settings": (Kind.PLAIN, False),
    # Who the client is, told by the gateway alone.
    b"forwarded": (Kind.PLAIN, False),
    b"x-real-ip": (Kind.PLAIN, False),
    # CGI programs take it for their proxy to the outside (CVE-2016-5385, "httpoxy").
    b"proxy": (Kind.PLAIN, False),
    # Ordinary ones, listed to be recognised at once.
    b"accept": (Kind.PLAIN, True),
    b"accept-encoding": (Kind.PLAIN, True),
    b"accept-language": (Kind.PLAIN, True),
    b"cache-control": (Kind.PLAIN, True),
    b"content-type": (Kind.PLAIN, True),
    b"cookie": (Kind.PLAIN, True),
    b"if-modified-since": (Kind.PLAIN, True),
    b"if-none-match": (Kind.PLAIN, True),
    b"origin": (Kind.PLAIN, True),
    b"pragma": (Kind.PLAIN, True),
    b"referer": (Kind.PLAIN, True),
    b"sec-fetch-dest": (Kind.PLAIN, True),
    b"sec-fetch-mode": (Kind.PLAIN, True),
    b"sec-fetch-site": (Kind.PLAIN, True),
    b"upgrade-insecure-requests": (Kind.PLAIN, True),
    b"via": (Kind.PLAIN, True),
}
_DROPPED_PREFIXES = (b"proxy-", b"x-forwarded-")
_FRAMING = frozenset((Kind.HOST, Kind.LENGTH, Kind.CODING, Kind.CONNECTION, Kind.EXPECT))

_PROTECTED = frozenset(
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
_PROTECTED_PREFIXES = (b"content-", b"x-forwarded-")
"""With `_PROTECTED`, what Connection must not name: an upstream without it would be misled
(SEC-13; CVE-2022-31813)."""

NORMAL_NAME = re.compile(rb"[A-Za-z0-9-]++")
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++")
"""RFC 9110 §5.6.2."""
_ODD_SIGNS = bytes.maketrans(b"!#$%&'*+.^_`|~", b"--------------")
MOST_DIGITS = 18
"""Of a Content-Length: below 2^63 in every language."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context §3.2, version 00; other versions begin a trace anew."""
_NO_OPTIONS: frozenset[bytes] = frozenset()
_USUAL_OPTIONS = {option: frozenset((option,)) for option in (b"keep-alive", b"close")}


MOST_KNOWN, MOST_KNOWN_LINE = 2048, 512
"""Lines remembered per policy, and bytes of one."""
_NEVER_KNOWN = frozenset(
    (
        b"authorization",
        b"cookie",
        b"content-length",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"proxy-authorization",
        b"range",
        b"referer",
        b"traceparent",
        b"tracestate",
        b"x-api-key",
        b"x-auth-token",
        b"x-forwarded-for",
        b"x-request-id",
    )
)


def resemble(name: bytes) -> bytes:
    """What a careless reader might take `name` for: lower-case, "-" for every odd sign."""
    return name.lower().translate(_ODD_SIGNS)


class GatePolicy:
    """What the operator decides about heads, and what follows from it for names.

    `max_head` bytes with the empty line; `max_fields`; `max_target` bytes. `odd_names`, those
    outside [A-Za-z0-9-]: "drop", "reject" or "forward". `removed`: names that only the gateway may
    write; every spelling of a client's is removed. `known`: verdicts on lines judged before;
    `loose`, `shapes`: see `gwd.http.recall`. They die with the policy (SEC-28).
    """

    __slots__ = (
        "kinds",
        "known",
        "loose",
        "max_fields",
        "max_head",
        "max_target",
        "odd_names",
        "removed",
        "shapes",
    )

    def __init__(
        self,
        max_head: int = 32768,
        max_fields: int = 100,
        max_target: int = 8192,
        odd_names: str = "drop",
        removed: frozenset[bytes] = frozenset(),
    ) -> None:
        self.max_head = max_head
        self.max_fields = max_fields
        self.max_target = max_target
        self.odd_names = odd_names
        self.removed = frozenset(map(resemble, removed))
        self.kinds = dict(_KNOWN)
        self.known: dict[bytes, Field] = {}
        self.loose: dict[bytes, Field] = {}
        self.shapes: dict[tuple[bytes | Field, ...], RequestHead] = {}
        for name in self.removed:
            kind, _ = self.kinds.get(name, (Kind.PLAIN, False))
            # What the gateway reads it still reads, but nothing of it is passed on.
            self.kinds[name] = (kind, False)

    def protects(self, option: bytes) -> bool:
        """Whether Connection must not name `option` (lower-case)."""
        name = resemble(option)
        return name in _PROTECTED or name in self.removed or name.startswith(_PROTECTED_PREFIXES)


class Field:
    """One judged line.

    `name` is lower-case; `line` is what is forwarded, with its end, b"" if nothing is. By kind:
    `value` is the canonical authority of Host, and the stripped value of the others that are kept;
    `host` the name in Host; `number` the length, or 1 if a coding or an expectation is the one
    understood, else 0; `options` what Connection lists, lower-case.
    """

    __slots__ = ("host", "kind", "line", "name", "number", "options", "value")

    def __init__(
        self,
        kind: int,
        name: bytes,
        line: bytes,
        value: bytes = b"",
        number: int = 0,
        host: str = "",
        options: frozenset[bytes] = _NO_OPTIONS,
    ) -> None:
        self.kind = kind
        self.name = name
        self.line = line
        self.value = value
        self.number = number
        self.host = host
        self.options = options


def learn(line: bytes, field: Field, policy: GatePolicy) -> None:
    """Remember the verdict on `line`, if it is likely to come again and no secret (PERFORMANCE:
    a field that changes every time would only push the useful ones out)."""
    if (
        len(line) <= MOST_KNOWN_LINE
        and field.name not in _NEVER_KNOWN
        and line.isascii()
        and resemble(field.name) not in _NEVER_KNOWN  # a secret under an odd spelling is still one
    ):
        if len(policy.known) >= MOST_KNOWN:
            policy.known.clear()
        policy.known[line] = field


def judge(line: bytes, policy: GatePolicy) -> Field:
    """The verdict on `line`, a field line without its end, of a head that `scan` has passed.

    Raises Refusal 400.
    """
    name, colon, value = line.partition(b":")
    if not colon:
        raise malformed("A line of the head is no field: it has no colon.")
    lower = name.lower()
    known = policy.kinds.get(lower)
    kind, forward = known if known is not None else (Kind.PLAIN, _is_forwarded(name, lower, policy))
    value = value.strip(b" \t")
    text = b"%b: %b\r\n" % (name, value) if forward else b""
    if kind == Kind.PLAIN:
        return Field(Kind.PLAIN, lower, text)
    if kind == Kind.USER_AGENT:
        return Field(kind, lower, text, value)  # only logged: other bytes are nobody's harm
    if not value.isascii():
        raise malformed("A field that the gateway reads holds bytes outside ASCII.")
    if kind in _FRAMING:
        return _judge_framing(kind, lower, value, policy)
    if not is_value(kind, value):
        return Field(Kind.PLAIN, lower, b"")
    return Field(kind, lower, text, value)


def is_value(kind: int, value: bytes) -> bool:
    """Whether `value`, which is text in ASCII, is one that fields of `kind` have, where that can be
    told without a look at the rest."""
    if kind == Kind.TRACEPARENT:
        return _TRACEPARENT.fullmatch(value) is not None
    if kind == Kind.REQUEST_ID:
        return _REQUEST_ID.fullmatch(value) is not None
    if kind == Kind.LENGTH:
        return value.isdigit() and len(value) <= MOST_DIGITS
    return True


def _is_forwarded(name: bytes, lower: bytes, policy: GatePolicy) -> bool:
    """Whether a field of a `name` that `policy.kinds` does not hold is passed on."""
    if NORMAL_NAME.fullmatch(name):
        return not lower.startswith(_DROPPED_PREFIXES)
    if not TOKEN.fullmatch(name):
        # Blanks before the colon, an indented or folded line (RFC 9112 §5.1, §5.2) end up here.
        raise malformed("A field name is empty or holds a character that none may.")
    if policy.odd_names == "reject":
        raise malformed("A field name holds other signs than letters, digits and '-'.")
    if policy.odd_names == "drop":
        return False
    posed = resemble(name)
    _, forwarded = policy.kinds.get(posed, (Kind.PLAIN, True))
    return forwarded and not posed.startswith(_DROPPED_PREFIXES)


def _judge_framing(kind: int, name: bytes, value: bytes, policy: GatePolicy) -> Field:
    """The verdict on what frames a message or ends at this hop; none of it is forwarded."""
    if kind == Kind.HOST:
        host, authority = parse_authority(value.decode("ascii"))
        return Field(kind, name, b"", authority, host=host)
    if kind == Kind.LENGTH:
        if not is_value(kind, value):
            raise malformed("Content-Length is not one number of at most 18 digits.")
        return Field(kind, name, b"", value, number=int(value))
    if kind == Kind.CODING:
        return Field(kind, name, b"", value, number=value.lower() == b"chunked")
    if kind == Kind.EXPECT:
        return Field(kind, name, b"", value, number=value.lower() == b"100-continue")
    usual = _USUAL_OPTIONS.get(value.lower())
    if usual is not None:
        return Field(kind, name, b"", value, options=usual)
    options = connection_options(value)
    for option in options:
        if not TOKEN.fullmatch(option):
            raise malformed("Connection is not a list of names.")
        if policy.protects(option):
            raise malformed("Connection names a field that it must not remove.")
    return Field(kind, name, b"", value, options=options)


def connection_options(value: bytes) -> frozenset[bytes]:
    """What a Connection field lists, lower-case; empty elements count for nothing
    (RFC 9110 §5.6.1)."""
    options = {option.strip(b" \t") for option in value.lower().split(b",")}
    options.discard(b"")
    return frozenset(options)
