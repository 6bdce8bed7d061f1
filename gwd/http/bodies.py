"""Bodies: one strict reader per framing, for requests and responses alike.

Strategy. A reader is fed whatever was read and gives back the payload in it, joined over the whole
read; when the body ends, `done` is set and `rest` holds what is not part of it. Chunked framing
accepts exactly what RFC 9112 §7.1 writes down and none of what servers forgive (SEC-05): no bare
LF, no blanks, extensions of bounded size that are dropped, trailers that are checked and dropped
(SEC-06). The framing itself is bounded by the payload, so tiny chunks cannot buy time (SEC-02).
"""

from __future__ import annotations

import re

from gwd.http.head import RequestHead, ResponseHead
from gwd.http.problem import Refusal
from gwd.http.scan import malformed

MOST_SIZE_LINE = 256
"""Bytes of a chunk's size line, extensions and line end included."""
MOST_TRAILERS = 8192
FREE_FRAMING = 16384
"""Bytes of framing a body may have beyond as many as it has payload (CVE-2023-39326)."""
UNBOUNDED = 1 << 62

LAST_CHUNK = b"0\r\n\r\n"

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:;%b(?:=(?:%b|\"[^\"\\\x00-\x08\x0a-\x1f\x7f]*+\"))?+)*+\r\n"
    % (_TOKEN, _TOKEN)
)
_TRAILER = re.compile(rb"(%b):[\t -~\x80-\xff]*+" % _TOKEN)
_NO_TRAILERS = frozenset(
    (b"content-length", b"transfer-encoding", b"host", b"connection", b"authorization", b"trailer")
)


def encode_chunk(data: bytes) -> bytes:
    """`data`, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class LengthBody:
    """A body of `length` bytes."""

    __slots__ = ("_length", "done", "received", "rest")

    def __init__(self, length: int) -> None:
        self._length = length
        self.received = 0
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        missing = self._length - self.received
        if len(data) < missing:
            self.received += len(data)
            return data
        self.received = self._length
        self.done = True
        if len(data) == missing:
            return data
        self.rest = data[missing:]
        return data[:missing]

    def eof(self) -> None:
        """The peer sends no more. Raises Refusal: the body is cut."""
        raise Refusal(400, "body_cut", "The body ended before its length.", close=True)


class UntilCloseBody:
    """A response body that ends with its connection."""

    __slots__ = ("done", "received", "rest")

    def __init__(self) -> None:
        self.received = 0
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        self.received += len(data)
        return data

    def eof(self) -> None:
        """The peer sends no more: that is how this body ends."""
        self.done = True


class ChunkedBody:
    """A chunked body of at most `limit` bytes of payload.

    `feed` raises Refusal: 400 for anything that is not strictly chunked, 413 past the limit.
    """

    __slots__ = (
        "_ahead",
        "_framing",
        "_limit",
        "_missing",
        "_trailers",
        "done",
        "received",
        "rest",
    )

    def __init__(self, limit: int = UNBOUNDED) -> None:
        self._limit = limit
        self._missing = 0
        """Bytes of the present chunk that are still to come, its line end included."""
        self._framing = 0
        self._ahead = b""
        """The beginning of a line that has not ended yet."""
        self._trailers = -1
        """Bytes of trailers read, -1 before the last chunk."""
        self.received = 0
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        if self._ahead:
            data = self._ahead + data
            self._ahead = b""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            missing = self._missing
            if missing:
                at = self._chunk(data, at, pieces)
                if self._missing == missing:
                    break  # half a line end
                continue
            if self._trailers >= 0:
                at = self._trailer(data, at)
                if self.done:
                    break
                if self._ahead:
                    break
                continue
            match = _SIZE_LINE.match(data, at)
            if match is None:
                self._keep_line(data[at:])
                break
            line = match.end() - at
            if line > MOST_SIZE_LINE:
                raise malformed("The size line of a chunk is too long.")
            at = match.end()
            self._framing += line + 2
            size = int(match.group(1), 16)
            if size == 0:
                self._trailers = 0
                continue
            self.received += size
            if self.received > self._limit:
                raise Refusal(413, "body_too_large", "The body is too large.", close=True)
            if self._framing > self.received + FREE_FRAMING:
                raise malformed("The body consists of framing rather than payload.")
            self._missing = size + 2
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _chunk(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what is here of the present chunk; returns where it ends."""
        missing = self._missing
        if missing > 2:
            piece = data[at : at + missing - 2]
            pieces.append(piece)
            at += len(piece)
            self._missing = missing = missing - len(piece)
            if missing > 2:
                return at
        if len(data) - at >= 2:
            if data[at : at + 2] != b"\r\n":
                raise malformed("A chunk does not end with CR LF.")
            self._missing = 0
            return at + 2
        if at < len(data):
            if data[at] != 0x0D:
                raise malformed("A chunk does not end with CR LF.")
            self._ahead = b"\r"
        return len(data)

    def _keep_line(self, line: bytes) -> None:
        """Keep the beginning of a size line, unless it cannot become one."""
        if len(line) > MOST_SIZE_LINE:
            raise malformed("The size line of a chunk is too long.")
        if b"\n" in line or line[0] not in b"0123456789abcdefABCDEF":
            raise malformed("The size line of a chunk is malformed.")
        digits = line.split(b";", 1)[0].rstrip(b"\r")
        if len(digits) > 16 or not all(b in b"0123456789abcdefABCDEF" for b in digits):
            raise malformed("The size line of a chunk is malformed.")
        self._ahead = line

    def _trailer(self, data: bytes, at: int) -> int:
        """Take one line of the trailers, or keep its beginning."""
        end = data.find(b"\n", at)
        if end < 0:
            if self._trailers + len(data) - at > MOST_TRAILERS:
                raise Refusal(431, "trailers_too_large", "The trailers are too large.", close=True)
            self._ahead = data[at:]
            return len(data)
        self._trailers += end + 1 - at
        if self._trailers > MOST_TRAILERS:
            raise Refusal(431, "trailers_too_large", "The trailers are too large.", close=True)
        line = data[at : end + 1]
        if line == b"\r\n":
            self.done = True
            self.rest = data[end + 1 :]
            return end + 1
        match = _TRAILER.fullmatch(line[:-2]) if line.endswith(b"\r\n") else None
        if match is None or match.group(1).lower() in _NO_TRAILERS:
            raise malformed("A trailer is malformed or names a field that is none.")
        return end + 1

    def eof(self) -> None:
        """The peer sends no more. Raises Refusal: the body is cut."""
        raise Refusal(400, "body_cut", "The body ended before its last chunk.", close=True)


def request_body(head: RequestHead, limit: int) -> LengthBody | ChunkedBody | None:
    """A reader for the body of a request, None if it has none.

    Raises Refusal 413 if its Content-Length is above `limit` bytes.
    """
    if head.chunked:
        return ChunkedBody(limit)
    if head.content_length > limit:
        raise Refusal(413, "body_too_large", "The body is too large.", close=True)
    return LengthBody(head.content_length) if head.content_length > 0 else None


def response_body(head: ResponseHead) -> LengthBody | ChunkedBody | UntilCloseBody | None:
    """A reader for the body of a response, None if it has none."""
    if head.bodyless:
        return None
    if head.content_length >= 0:
        return LengthBody(head.content_length) if head.content_length else None
    return ChunkedBody() if head.chunked else UntilCloseBody()
