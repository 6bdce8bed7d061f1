"""What a request is, said by two parsers that share nothing: h11 and llhttp (httptools).

What the gateway sends must mean the same to both, and must be in the one canonical form that leaves
nothing to mean differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11
import httptools

_VISIBLE = rb"[\x21-\x7e\x80-\xff]+"
_CANONICAL_LINE = re.compile(rb"[A-Za-z0-9-]+: (?:%b(?:[ \t]+%b)*)?" % (_VISIBLE, _VISIBLE))
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ /[\x21-\x7e]* HTTP/1\.1")


@dataclass(frozen=True)
class Parsed:
    """Names in lower case, in the order in which they came."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def by_h11(raw: bytes) -> tuple[list[Parsed], bool]:
    """The whole requests in `raw`, and whether nothing is left over."""
    found: list[Parsed] = []
    rest = raw
    while rest:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 22)
        parser.receive_data(rest)
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return found, False
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
        assert head is not None
        fields = tuple((bytes(name), bytes(value)) for name, value in head.headers)
        found.append(Parsed(head.method, head.target, fields, bytes(body)))
        rest = parser.trailing_data[0]
    return found, True


class _Collector:
    """llhttp's callbacks, gathered into `Parsed`."""

    def __init__(self) -> None:
        self.parser: httptools.HttpRequestParser | None = None
        self.found: list[Parsed] = []
        self.open = False

    def on_message_begin(self) -> None:
        self.open = True
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self.parser is not None
        self.open = False
        method = self.parser.get_method()
        self.found.append(Parsed(method, self._target, tuple(self._fields), bytes(self._body)))


def by_llhttp(raw: bytes) -> tuple[list[Parsed], bool]:
    """As `by_h11`."""
    collector = _Collector()
    rest = raw
    while rest:
        collector.parser = httptools.HttpRequestParser(collector)
        try:
            collector.parser.feed_data(rest)
        except httptools.HttpParserUpgrade as upgrade:
            # It stops behind a request that asks for one; ours was then refused.
            rest = rest[upgrade.args[0] :]
        else:
            break
    return collector.found, not collector.open


def agreed(raw: bytes) -> list[Parsed]:
    """The requests in `raw`, all whole, on which both parsers agree, in canonical form.

    Raises AssertionError where they do not.
    """
    first, first_whole = by_h11(raw)
    second, second_whole = by_llhttp(raw)
    assert first == second, (raw, first, second)
    assert first_whole, raw
    assert second_whole, raw
    return first


def check_canonical_head(head: bytes) -> None:
    """Raises AssertionError unless `head`, with its empty line, is in the one form in which the
    gateway writes heads (SEC-01)."""
    assert head.endswith(b"\r\n\r\n"), head
    request_line, *lines = head[:-4].split(b"\r\n")
    assert _REQUEST_LINE.fullmatch(request_line), request_line
    for line in lines:
        assert _CANONICAL_LINE.fullmatch(line), line
    names = [line.partition(b":")[0].lower() for line in lines]
    assert names.count(b"host") == 1, names
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1, names
