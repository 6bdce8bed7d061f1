"""How heads are read off a stream: in whatever pieces the bytes come, with the same outcome.

Strategy. A head that comes in one read, by far the most common case, is found by one search and
judged where it lies. Pieces are kept until the empty line comes; each byte is searched and scanned
once, so a head sent byte by byte costs what it is long, and it is bounded while it grows (SEC-17).

Invariant: faults are found in the order in which the bytes come, up to the end of the head, however
it was cut: a forbidden byte, a request line that is none, `max_head` reached. Only what takes the
whole head (its fields, h11) is judged at its end. So who speaks no HTTP, or HTTP/0.9, is told at
once instead of waited for.
"""

from __future__ import annotations

from gwd.http.fields import GatePolicy
from gwd.http.head import RequestHead, ResponseHead
from gwd.http.last_head import LastHead
from gwd.http.problem import Refusal
from gwd.http.recall import recall
from gwd.http.request import judge_request
from gwd.http.response import bad_response, judge_response
from gwd.http.scan import END, is_clean, unclean
from gwd.http.target import parse_request_line, target_too_long

__all__ = ["GatePolicy", "RequestReader", "ResponseReader"]

_LINE_END = b"\r\n"
MOST_REPEATED = 2048
"""Bytes of the last response head that a connection remembers."""


class RequestReader(LastHead):
    """Reads the heads of one client connection, one after the other.

    After `feed` returned a head, `rest` is what follows it, its body or the next request: feed it
    again only where the next request begins. `policy` may be changed between messages.
    """

    __slots__ = ("_line_judged", "_scanned")

    def __init__(self, policy: GatePolicy) -> None:
        super().__init__(policy)
        self._scanned = 0
        """How many bytes of `_held` have been scanned and hold no end."""
        self._line_judged = False

    @property
    def pending(self) -> bool:
        """Whether a head has begun and not ended."""
        return bool(self._held) and self._held != _LINE_END

    def held(self) -> int:
        """Bytes of an unfinished head."""
        return len(self._held)

    def feed(self, data: bytes) -> RequestHead | None:
        """The head that is complete with `data`, or None if there is more to come.

        Raises Refusal: the connection can then not be read on.
        """
        return self.again(data) or self.read(data)

    def read(self, data: bytes) -> RequestHead | None:
        """As `feed`, for what `again` did not find: who reads often asks that one first."""
        buffer: bytes | bytearray = data
        if self._held:
            buffer = self._held
            buffer += data
        else:
            request = self._recall(data)
            if request is not None:
                return request
        self.rest = b""
        # RFC 9112 §2.2: one empty line before a request is passed over.
        start = 2 if buffer.startswith(_LINE_END) else 0
        limit = start + self.policy.max_head
        end = buffer.find(END, max(start, self._scanned - 3), limit)
        try:
            if end < 0:
                self._wait(buffer, start, limit)
                return None
            end += 4
            head = bytes(buffer[start:end])
            if not is_clean(head):
                raise self._first_fault(head)
            request = judge_request(head, self.policy)
        except Refusal:
            self._clear()
            raise
        self.rest = bytes(buffer[end:])
        if self._scanned:
            self._clear()
        self._remember(head, request, recalled=False)
        return request

    def _recall(self, data: bytes) -> RequestHead | None:
        """The head at the beginning of `data`, if it is here whole and all of it is known."""
        end = data.find(END) + 4
        if not 4 < end <= self.policy.max_head:
            return None
        size = len(data)
        head = data if end == size else data[:end]
        request = recall(head, self.policy)
        if request is not None:
            self.rest = b"" if end == size else data[end:]
            self._remember(head, request, recalled=True)
        return request

    def _wait(self, buffer: bytes | bytearray, start: int, limit: int) -> None:
        """Look at what has come of a head, and keep it. Raises Refusal."""
        size = min(len(buffer), limit)
        scanned = min(max(start, self._scanned), size)  # `max_head` may have become less
        if scanned > start and buffer[scanned - 1] == 0x0D:
            scanned -= 1  # only its neighbour tells whether that CR was good
        if not is_clean(buffer[scanned:size]):
            raise self._first_fault(buffer[start:size])
        if not self._line_judged:
            line_end = buffer.find(_LINE_END, scanned, size)
            if line_end >= 0:
                self._line_judged = True
                parse_request_line(bytes(buffer[start:line_end]), self.policy.max_target)
        if len(buffer) >= limit:
            raise self._too_large(buffer[start:size])
        if buffer is not self._held:
            self._held += buffer
        self._scanned = size

    def _first_fault(self, head: bytes | bytearray) -> Refusal:
        """What is wrong with a head that is not clean, looking at it in order."""
        line, line_end, _ = head.partition(_LINE_END)
        if line_end and is_clean(line):
            parse_request_line(bytes(line), self.policy.max_target)
        return unclean()

    def _too_large(self, head: bytes | bytearray) -> Refusal:
        """What is wrong with a head of `max_head` bytes that goes on: its target, or its fields."""
        line, line_end, _ = head.partition(_LINE_END)
        if not line_end:
            return target_too_long()
        parse_request_line(bytes(line), self.policy.max_target)
        return Refusal(431, "head_too_large", "The request head is too large.", close=True)

    def _clear(self) -> None:
        self._held = bytearray()
        self._scanned = 0
        self._line_judged = False


class ResponseReader:
    """Reads the heads of one upstream connection. As `RequestReader`; interim heads are returned,
    too, and `rest` is then fed again."""

    __slots__ = (
        "_held",
        "_last",
        "_last_head",
        "_last_method",
        "_max_fields",
        "_max_head",
        "_scanned",
        "rest",
    )

    def __init__(self, max_head: int = 65536, max_fields: int = 200) -> None:
        self._max_head = max_head
        self._max_fields = max_fields
        self._held = bytearray()
        self._scanned = 0
        self._last_head = b""
        """The last head as it came, b"" if it is not remembered; within a second it often comes
        again byte for byte."""
        self._last_method = ""
        self._last: ResponseHead
        self.rest = b""

    @property
    def pending(self) -> bool:
        """Whether a head has begun and not ended."""
        return bool(self._held)

    def last_type(self) -> bytes:
        """The media type of the last answer, in lower case; b"" if it had none."""
        return (self._last.get(b"content-type") or b"").lower()

    def feed(self, data: bytes, method: str) -> ResponseHead | None:
        """The head that is complete with `data`, the answer to a `method` request, or None.

        Raises Refusal 502: the connection can then not be read on.
        """
        buffer: bytes | bytearray = data
        if self._held:
            buffer = self._held
            buffer += data
        elif self._last_head and method == self._last_method and data.startswith(self._last_head):
            self.rest = data[len(self._last_head) :]
            return self._last
        self.rest = b""
        limit = self._max_head
        end = buffer.find(END, max(0, self._scanned - 3), limit)
        if end < 0:
            self._wait(buffer, limit)
            return None
        end += 4
        head = bytes(buffer[:end])
        if not is_clean(head):
            raise bad_response("The upstream's response head holds a control character.")
        response = judge_response(head, method, self._max_fields)
        self.rest = bytes(buffer[end:])
        if self._scanned:
            self._held = bytearray()
            self._scanned = 0
        self._last_head = head if len(head) <= MOST_REPEATED and not response.interim else b""
        self._last_method, self._last = method, response
        return response

    def _wait(self, buffer: bytes | bytearray, limit: int) -> None:
        scanned = self._scanned
        if scanned and buffer[scanned - 1] == 0x0D:
            scanned -= 1
        if not is_clean(buffer[scanned:limit]):
            raise bad_response("The upstream's response head holds a control character.")
        if len(buffer) >= limit:
            raise bad_response("The upstream's response head is too large.")
        if buffer is not self._held:
            self._held += buffer
        self._scanned = len(buffer)
