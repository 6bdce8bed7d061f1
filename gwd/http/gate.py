"""How heads are read off a stream: in whatever pieces the bytes come, with the same outcome.

Strategy. A head that comes in one read, by far the most common case, is found by one search and
judged where it lies. Pieces are kept until the empty line comes; each piece is looked at once, so
a head sent byte by byte costs what it is long, and its length is bounded while it grows (SEC-17).
"""

from __future__ import annotations

from gwd.http.head import RequestHead, ResponseHead
from gwd.http.problem import Refusal
from gwd.http.request import GatePolicy, check_request_line, judge_request, too_large
from gwd.http.response import bad_response, judge_response
from gwd.http.scan import END, check_lines

__all__ = ["GatePolicy", "RequestReader", "ResponseReader"]


class _Pieces:
    """The beginning of a head, in the pieces in which it came."""

    __slots__ = ("_held", "size")

    def __init__(self) -> None:
        self._held = bytearray()
        self.size = 0

    def add(self, data: bytes) -> int:
        """Take `data`; returns where in all that is held the search for the end must begin."""
        start = max(0, self.size - len(END) + 1)
        self._held += data
        self.size = len(self._held)
        return start

    def find(self, mark: bytes, start: int) -> int:
        return self._held.find(mark, start)

    def since(self, start: int) -> bytes:
        return bytes(self._held[start:])

    def take(self) -> bytes:
        data = bytes(self._held)
        self._held = bytearray()
        self.size = 0
        return data


class RequestReader:
    """Reads the heads of one client connection, one after the other.

    After `feed` returned a head, `rest` is what follows it, its body or the next request: feed it
    again only where the next request begins. `policy` may be changed between messages.
    """

    __slots__ = ("_line_seen", "_pieces", "_skipped", "policy", "rest")

    def __init__(self, policy: GatePolicy) -> None:
        self.policy = policy
        self.rest = b""
        self._pieces: _Pieces | None = None
        self._line_seen = False
        self._skipped = False

    @property
    def pending(self) -> bool:
        """Whether a head has begun and not ended."""
        return self._pieces is not None

    def feed(self, data: bytes) -> RequestHead | None:
        """The head that is complete with `data`, or None if there is more to come.

        Raises Refusal: the connection can then not be read on.
        """
        if self._pieces is None:
            if data.startswith(b"\r\n") and not self._skipped:
                # RFC 9112 §2.2: one empty line before a request is passed over.
                data = data[2:]
                self._skipped = True
            end = data.find(END)
            if end >= 0:
                end += 4
                self.rest = data[end:]
                self._skipped = False
                return judge_request(data[:end], self.policy)
            self.rest = b""
            if not data:
                return None
            self._pieces = _Pieces()
        return self._go_on(self._pieces, data)

    def _go_on(self, pieces: _Pieces, data: bytes) -> RequestHead | None:
        start = pieces.add(data)
        if not self._skipped and pieces.size >= 2 and pieces.find(b"\r\n", 0) == 0:
            self._skipped = True
            self._pieces = None
            return self.feed(pieces.take()[2:])
        end = pieces.find(END, start)
        if end >= 0:
            held = pieces.take()
            self._pieces = None
            self._line_seen = self._skipped = False
            self.rest = held[end + 4 :]
            return judge_request(held[: end + 4], self.policy)
        if pieces.size > self.policy.max_head:
            raise too_large(pieces.take(), self.policy)
        check_lines(pieces.since(start).removeprefix(b"\n"))
        if not self._line_seen and pieces.find(b"\r\n", start) >= 0:
            self._line_seen = True
            check_request_line(pieces.since(0), self.policy)
        return None


class ResponseReader:
    """Reads the heads of one upstream connection. As `RequestReader`; interim heads are returned,
    too, and `rest` is then fed again."""

    __slots__ = ("_max_fields", "_max_head", "_pieces", "rest")

    def __init__(self, max_head: int = 65536, max_fields: int = 200) -> None:
        self._max_head = max_head
        self._max_fields = max_fields
        self._pieces: _Pieces | None = None
        self.rest = b""

    def feed(self, data: bytes, method: str) -> ResponseHead | None:
        """The head that is complete with `data`, the answer to a `method` request, or None.

        Raises Refusal 502.
        """
        if self._pieces is None:
            end = data.find(END)
            if 0 <= end <= self._max_head:
                self.rest = data[end + 4 :]
                return judge_response(data[: end + 4], method, self._max_fields)
            self.rest = b""
            if not data:
                return None
            self._pieces = _Pieces()
        pieces = self._pieces
        start = pieces.add(data)
        end = pieces.find(END, start)
        if end > self._max_head or (end < 0 and pieces.size > self._max_head):
            raise bad_response("The response head is too large.")
        if end < 0:
            self._refuse_bare_lf(pieces.since(start))
            return None
        held = pieces.take()
        self._pieces = None
        self.rest = held[end + 4 :]
        return judge_response(held[: end + 4], method, self._max_fields)

    def _refuse_bare_lf(self, data: bytes) -> None:
        try:
            check_lines(data.removeprefix(b"\n"))
        except Refusal as refusal:
            raise bad_response(refusal.detail) from None
