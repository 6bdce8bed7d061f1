"""Bodies: one strict reader per framing, for requests and responses alike.

Strategy. A reader is fed whatever was read and gives back the payload in it, joined over the whole
read; when the body ends, `done` is set and `rest` holds what is not part of it. Chunked framing
accepts what RFC 9112 §7.1 writes down and little of what servers forgive (SEC-05): no bare LF, no
blanks, extensions made of tokens only, bounded and dropped; trailers that are checked and dropped
(SEC-06). Framing is bounded by payload, so tiny chunks cannot buy time (SEC-02).

Invariants: `received` counts payload that has really come; what is held between two reads is at
most one size line or one trailer line.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from gwd.http.fields import TOKEN
from gwd.http.head import RequestHead, ResponseHead
from gwd.http.problem import Refusal

MOST_SIZE_LINE = 256
"""Bytes of a chunk's size line, extensions and line end included."""
FREE_FRAMING = 16384
"""Bytes of framing a body may have beyond as many as it has payload (CVE-2023-39326)."""
RESPONSE_TRAILERS = 16384
"""Bytes of trailers a response may have."""
UNBOUNDED = 1 << 63

LAST_CHUNK = b"0\r\n\r\n"
_CRLF = b"\r\n"

_EXTENSIONS = rb"(?:;%b(?:=%b)?+)*+" % (TOKEN.pattern, TOKEN.pattern)
_match_size_line = re.compile(rb"([0-9A-Fa-f]{1,16}+)%b\r\n" % _EXTENSIONS).match
_SIZE_LINE_BEGUN = re.compile(rb"[0-9A-Fa-f]{1,16}+(?:;[!-~]*+)?+\r?+")
"""What may yet become a size line; the rest is refused without waiting for its end."""
_TRAILER = re.compile(rb"(%b):[\t -~\x80-\xff]*+" % TOKEN.pattern)
_NEVER_TRAILERS = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"trailer",
        b"host",
        b"connection",
        b"authorization",
        b"content-encoding",
        b"content-type",
        b"content-range",
    )
)
"""RFC 9110 §6.5.1: fields for framing, routing, authentication, and about the content."""


class Fault(NamedTuple):
    """How a bad body is refused: it is the client's fault, or the upstream's."""

    status: int
    reason: str

    def refusal(self, detail: str) -> Refusal:
        return Refusal(self.status, self.reason, detail, close=True)


OF_REQUEST = Fault(400, "malformed")
OF_RESPONSE = Fault(502, "bad_response")


def encode_chunk(data: bytes) -> bytes:
    """`data`, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class LengthBody:
    """A body of `length` bytes."""

    __slots__ = ("_fault", "_missing", "done", "received", "rest")

    def __init__(self, length: int, fault: Fault = OF_REQUEST) -> None:
        self._missing = length
        self._fault = fault
        self.received = 0
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`."""
        missing = self._missing
        size = len(data)
        if size < missing:
            self._missing = missing - size
            self.received += size
            return data
        self._missing = 0
        self.received += missing
        self.done = True
        if size == missing:
            return data
        self.rest += data[missing:]
        return data[:missing]

    def eof(self) -> None:
        """The peer sends no more. Raises Refusal if that cuts the body."""
        if not self.done:
            raise self._fault.refusal("The body ended before its length.")


class UntilCloseBody:
    """A response body that ends with its connection."""

    __slots__ = ("done", "received", "rest")

    def __init__(self) -> None:
        self.received = 0
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`: all of it."""
        self.received += len(data)
        return data

    def eof(self) -> None:
        """The peer sends no more: that is how this body ends."""
        self.done = True


class _Part(Enum):
    SIZE = "a size line comes"
    DATA = "payload comes"
    DATA_END = "the CR LF behind payload comes"
    TRAILERS = "trailers and the empty line come"
    DONE = "what comes is not of this body"


_SIZE, _DATA = _Part.SIZE, _Part.DATA
"""At hand for the loop over chunks: members of enums are slow to get."""


class ChunkedBody:
    """A chunked body of at most `limit` bytes of payload and `trailers` bytes of trailers.

        SIZE ──size > 0──> DATA ──> DATA_END ──> SIZE
          └───size = 0───> TRAILERS ──empty line──> DONE

    `feed` raises Refusal: as `fault` says for what is not strictly chunked, 413 past the limit,
    431 past `trailers`.
    """

    __slots__ = (
        "_fault",
        "_framing",
        "_held",
        "_limit",
        "_missing",
        "_part",
        "_trailers",
        "done",
        "received",
        "rest",
    )

    def __init__(
        self, limit: int = UNBOUNDED, trailers: int = RESPONSE_TRAILERS, fault: Fault = OF_REQUEST
    ) -> None:
        self._limit = limit
        self._trailers = trailers
        self._fault = fault
        self._part = _Part.SIZE
        self._missing = 0
        """Payload bytes of the present chunk that are still to come."""
        self._framing = 0
        self._held = b""
        """The beginning of a line that has not ended yet."""
        self.received = 0
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`, joined. Raises Refusal."""
        if self._part is _Part.DONE:
            self.rest += data
            return b""
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at = self._chunks(data, pieces) if self._part is not _Part.TRAILERS else 0
        if self._part is _Part.TRAILERS:
            at = self._read_trailers(data, at)
            if self.done:
                self.rest = data[at:]
                at = len(data)
        if at < len(data):
            self._held = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _chunks(self, data: bytes, pieces: list[bytes]) -> int:
        """Take the chunks in `data`; returns where a line begins that has not ended yet, or the
        trailers, or where `data` ends."""
        at, end = 0, len(data)
        part, missing = self._part, self._missing
        received, framing, limit = self.received, self._framing, self._limit
        while at < end:
            if part is _SIZE:
                match = _match_size_line(data, at)
                if match is None:
                    self._check_begun(data, at)
                    break
                begun, at = at, match.end()
                if at - begun > MOST_SIZE_LINE:
                    raise self._fault.refusal("The size line of a chunk is too long.")
                framing += at - begun + 2
                if framing > received + FREE_FRAMING:
                    raise self._fault.refusal("The body is framing rather than payload.")
                missing = int(match[1], 16)
                if not missing:
                    part = _Part.TRAILERS
                    break
                if received + missing > limit:
                    raise self._excess(413, "body_too_large", "The body is too large.")
                part = _DATA
            if part is _DATA:
                stop = at + missing
                if stop > end:
                    pieces.append(data[at:] if at else data)
                    received += end - at
                    missing = stop - end
                    at = end
                    break
                pieces.append(data[at:stop])
                received += missing
                at = stop
            # Only the CR LF behind the payload is missing now.
            if not data.startswith(_CRLF, at):
                if data[at : at + 2] not in (b"", b"\r"):
                    raise self._fault.refusal("A chunk does not end with CR LF.")
                part = _Part.DATA_END
                break
            at += 2
            part = _SIZE
        self._part, self._missing = part, missing
        self.received, self._framing = received, framing
        return at

    def _check_begun(self, data: bytes, at: int) -> None:
        """Refuse the beginning of a size line that cannot become one."""
        begun = data[at : at + MOST_SIZE_LINE]
        if len(begun) == MOST_SIZE_LINE:
            raise self._fault.refusal("The size line of a chunk is too long.")
        if not _SIZE_LINE_BEGUN.fullmatch(begun):
            raise self._fault.refusal("The size line of a chunk is malformed.")

    def _read_trailers(self, data: bytes, at: int) -> int:
        """Check and drop trailers; returns where a line begins that has not ended yet, or, once
        the body is done, what follows it."""
        while True:
            line_end = data.find(b"\n", at)
            stop = line_end + 1 if line_end >= 0 else len(data)
            line = data[at:stop]
            if line == _CRLF:
                self._part = _Part.DONE
                self.done = True
                return stop
            if line_end < 0 and line in (b"", b"\r"):
                return at
            if len(line) > self._trailers:
                raise self._excess(431, "trailers_too_large", "The trailers are too large.")
            if line_end < 0:
                return at
            self._trailers -= len(line)
            at = stop
            match = _TRAILER.fullmatch(line, 0, len(line) - 2) if line.endswith(_CRLF) else None
            if match is None:
                raise self._fault.refusal("A trailer is malformed.")
            if match.group(1).lower() in _NEVER_TRAILERS:
                raise self._fault.refusal("A trailer is a field that must not be one.")

    def _excess(self, status: int, reason: str, detail: str) -> Refusal:
        """The refusal of a body that passes a bound: of a request, with a status of its own."""
        if self._fault is OF_RESPONSE:
            return self._fault.refusal(detail)
        return Refusal(status, reason, detail, close=True)

    def eof(self) -> None:
        """The peer sends no more. Raises Refusal if that cuts the body."""
        if not self.done:
            raise self._fault.refusal("The body ended before its last chunk.")


def request_body(head: RequestHead, limit: int) -> LengthBody | ChunkedBody | None:
    """A reader for the body of a request, None if it has none.

    Raises Refusal 413 if its Content-Length is above `limit` bytes.
    """
    if head.chunked:
        return ChunkedBody(limit, head.spare)
    if head.content_length > limit:
        raise Refusal(413, "body_too_large", "The body is too large.", close=True)
    return LengthBody(head.content_length) if head.content_length > 0 else None


def response_body(head: ResponseHead) -> LengthBody | ChunkedBody | UntilCloseBody | None:
    """A reader for the body of a response, None if it has none."""
    if head.bodyless:
        return None
    if head.chunked:
        return ChunkedBody(UNBOUNDED, RESPONSE_TRAILERS, OF_RESPONSE)
    if head.content_length >= 0:
        return LengthBody(head.content_length, OF_RESPONSE) if head.content_length else None
    return UntilCloseBody()
