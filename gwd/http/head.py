"""The values a head comes down to. Whoever parses, by whatever tier, makes the same ones.

`lines` holds the end-to-end fields as they will be forwarded, each "Name: value\\r\\n" in one
canonical form; what frames the message, belongs to one hop, or tells who the client is, never
stands in it: those are attributes, and the gateway writes them anew.
"""

from __future__ import annotations


class RequestHead:
    """The head of a request that the gate accepted.

    `path` is in normal form, "*" for `OPTIONS *`; `query` is "" or begins with "?". `host` is
    lower-case, without port and final dot, "" if an HTTP/1.0 request had none; `authority` is what
    Host says upstream, `host_line` that whole field, b"" without a host. `line` is the request line
    as it goes upstream, with its end, where no route rewrites it. `content_length` is -1
    without a length; `has_body`: bytes follow. `spare`: bytes that are left of `max_head`, for
    trailers. `upgrade`: "websocket" if the client asks for that, else "" (`UpgradeHead`).
    """

    upgrade = ""

    __slots__ = (
        "authority",
        "authorization",
        "chunked",
        "content_length",
        "encoded_slash",
        "expect_continue",
        "forwarded_for",
        "forwarded_host",
        "forwarded_proto",
        "has_body",
        "host",
        "host_line",
        "keep_alive",
        "line",
        "lines",
        "method",
        "minor",
        "path",
        "query",
        "request_id",
        "spare",
        "traceparent",
        "user_agent",
    )

    method: str
    path: str
    query: str
    encoded_slash: bool
    host: str
    host_line: bytes
    authority: bytes
    minor: int
    line: bytes
    lines: bytes
    content_length: int
    chunked: bool
    has_body: bool
    keep_alive: bool
    expect_continue: bool
    spare: int
    authorization: bytes | None
    forwarded_for: bytes | None
    forwarded_host: bytes | None
    forwarded_proto: bytes | None
    request_id: bytes | None
    traceparent: bytes | None
    user_agent: bytes | None

    def get(self, name: bytes) -> bytes | None:
        """The value of the forwarded field called `name` (lower-case), if there is one; several
        are joined by ", " (RFC 9110 §5.3), so that none is overlooked."""
        return find_field(self.lines, name)


class UpgradeHead(RequestHead):
    """The head of a request with an Upgrade field. If `upgrade` is not "", what follows is no
    request whatever the answer: `has_body` is True and `keep_alive` False."""

    __slots__ = ("upgrade",)

    upgrade: str


def _no_head() -> RequestHead:
    head = RequestHead()
    head.method = head.path = head.query = head.host = ""
    head.minor, head.user_agent = 1, None
    # Whatever follows is none of ours.
    head.has_body, head.keep_alive = True, False
    return head


NO_HEAD = _no_head()
"""What is told of a request whose head could not be read, or as long as there is none."""


class ResponseHead:
    """The head of a response that the reader accepted.

    Exactly one of these frames its body: `bodyless`, `chunked`, `content_length` >= 0,
    `until_close`. `keep_alive`: as far as the head says, the connection may serve again.
    """

    __slots__ = (
        "bodyless",
        "chunked",
        "content_length",
        "interim",
        "keep_alive",
        "lines",
        "minor",
        "opening",
        "reason",
        "status",
        "until_close",
    )

    status: int
    reason: bytes
    minor: int
    lines: bytes
    content_length: int
    chunked: bool
    until_close: bool
    bodyless: bool
    keep_alive: bool
    interim: bool
    opening: bytes
    """Room for what a sender makes of it; b"" at first."""

    def get(self, name: bytes) -> bytes | None:
        """The value of the forwarded field called `name` (lower-case), if there is one; several
        are joined by ", " (RFC 9110 §5.3), so that none is overlooked."""
        return find_field(self.lines, name)


class SwitchHead(ResponseHead):
    """The head of a 101: `upgrade` is the value of Upgrade, `options` what Connection lists,
    lower-case; `framed`: it claims a body, which it cannot have."""

    __slots__ = ("framed", "options", "upgrade")

    upgrade: bytes
    options: frozenset[bytes]
    framed: bool


def find_field(lines: bytes, name: bytes) -> bytes | None:
    """The values of the fields called `name` in `lines`, joined; None if there is none."""
    size = len(name)
    values = [
        line[size + 2 :]
        for line in lines.split(b"\r\n")
        if line[size : size + 1] == b":" and line[:size].lower() == name
    ]
    return b", ".join(values) if values else None
