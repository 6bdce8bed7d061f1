"""What a case of the black-box suite is: bytes that a client sends, and everything that follows.

A case is data. It names the rule it holds (SEC-NN, the list in docs/http.md), the bytes, the status
of the answer, whether the connection ends with it, and what the upstream must have seen of it:
nothing at all (`None`), nothing whole (`UNFINISHED`: a refusal in the middle of a body can come
only after the head was passed on), or exactly one request (`Seen`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOST = "Host: gw.test"
CONNECTED = "127.0.0.1"
"""The address of the clients; nobody's trusted proxy."""
PROXY = "127.0.0.2"
"""An address that the gateway under test takes for a trusted proxy."""
MAX_BODY = 65536
"""`max_body` of the gateway under test."""

CHUNKED = -1
NO_BODY = None


@dataclass(frozen=True)
class Seen:
    """The one request that the upstream got. All fields but those that the gateway adds itself."""

    target: str = "/x"
    fields: tuple[str, ...] = ()
    """End-to-end fields, "Name: value"; the case of names does not matter, their number does."""
    body: bytes = b""
    framing: int | None = NO_BODY
    """The Content-Length, CHUNKED, or NO_BODY for neither."""
    method: str = "GET"
    host: str = "gw.test"
    forwarded: dict[str, str] = field(default_factory=dict)
    """Fields that the gateway adds, by lower-case name, where they are not as for any client."""


class _Unfinished:
    def __repr__(self) -> str:
        return "UNFINISHED"


UNFINISHED = _Unfinished()


@dataclass(frozen=True)
class Case:
    name: str
    sec: str
    sends: bytes
    status: tuple[int, ...]
    """The statuses that are right; one, where the rule leaves no choice."""
    closes: bool
    sees: Seen | _Unfinished | None
    source: str = CONNECTED
    bytewise: bool = True
    """Whether it is also delivered byte by byte; False for what is large."""
    cut: bool = False
    """Whether it belongs to the sample that is delivered cut at every offset."""
    half_closes: bool = False
    """Whether the client stops sending behind it."""
    answer: dict[str, str | None] = field(default_factory=dict)
    """Fields of the answer, by lower-case name; None: there is none."""
    interim: tuple[int, ...] = ()


def raw(*lines: str, body: bytes = b"") -> bytes:
    """Lines, each ended by CRLF, the empty line, and `body`. Latin-1: a character is a byte."""
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


def get(*fields: str, target: str = "/x", version: str = "HTTP/1.1") -> bytes:
    return raw(f"GET {target} {version}", HOST, *fields)


def post(*fields: str, body: bytes = b"", target: str = "/x") -> bytes:
    return raw(f"POST {target} HTTP/1.1", HOST, *fields, body=body)


def chunked(body: bytes, *fields: str) -> bytes:
    """A POST whose body is `body`, chunks and all, exactly as given."""
    return post("Transfer-Encoding: chunked", *fields, body=body)


def refused(
    name: str,
    sec: str,
    sends: bytes,
    status: int | tuple[int, ...] = 400,
    *,
    closes: bool = True,
    unfinished: bool = False,
    source: str = CONNECTED,
    bytewise: bool = True,
    cut: bool = False,
    half_closes: bool = False,
    answer: dict[str, str | None] | None = None,
) -> Case:
    """A case that the gateway answers itself."""
    return Case(
        name=name,
        sec=sec,
        sends=sends,
        status=(status,) if isinstance(status, int) else status,
        closes=closes,
        sees=UNFINISHED if unfinished else None,
        source=source,
        bytewise=bytewise,
        cut=cut,
        half_closes=half_closes,
        answer=answer or {},
    )


def passed(
    name: str,
    sec: str,
    sends: bytes,
    sees: Seen,
    *,
    closes: bool = False,
    source: str = CONNECTED,
    bytewise: bool = True,
    cut: bool = False,
    answer: dict[str, str | None] | None = None,
    interim: tuple[int, ...] = (),
) -> Case:
    """A case that reaches the upstream, once, and is answered by it."""
    return Case(
        name=name,
        sec=sec,
        sends=sends,
        status=(200,),
        closes=closes,
        sees=sees,
        source=source,
        bytewise=bytewise,
        cut=cut,
        answer=answer or {},
        interim=interim,
    )
