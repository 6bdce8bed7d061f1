"""How an upstream's answer is framed anew for the client: a pure decision.

The answer is never passed on as it was framed. What is here whole gets its length; what has a
length keeps it; the rest is chunked for HTTP/1.1, and ends with the connection for HTTP/1.0, which
knows no chunks (RFC 9112 §6.1). HEAD, 204 and 304 have no body, and say at most the length that
one would have had (RFC 9110 §8.6).
"""

from __future__ import annotations

from gwd.http.head import RequestHead, ResponseHead
from gwd.http.problem import REASON_PHRASES

_STATUS_LINES = {
    status: b"HTTP/1.1 %d %s\r\n" % (status, phrase) for status, phrase in REASON_PHRASES.items()
}
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"\r\n\r\n"
_END_CLOSE = b"\r\nConnection: close\r\n\r\n"
_END_KEEP = b"\r\nConnection: keep-alive\r\n\r\n"


def frame(request: RequestHead, answer: ResponseHead, size: int, last: bool) -> bytes | None:
    """The framing field of the answer to `request`, of which `size` bytes of body are here, all
    there are if `last`: b"" if none is needed, None if the body must end with the connection."""
    if answer.bodyless:
        if answer.content_length >= 0 and (request.method == "HEAD" or answer.status == 304):
            return b"Content-Length: %d\r\n" % answer.content_length
        return b""
    if last:
        return b"Content-Length: %d\r\n" % size
    if answer.content_length >= 0:
        return b"Content-Length: %d\r\n" % answer.content_length
    return _CHUNKED if request.minor else None


def is_chunked(framing: bytes | None) -> bool:
    return framing is _CHUNKED


def open_head(answer: ResponseHead, framing: bytes | None) -> bytes:
    """The head as the client gets it, in the gateway's one form, up to the request's id."""
    return b"".join(
        (
            _STATUS_LINES.get(answer.status) or b"HTTP/1.1 %d \r\n" % answer.status,
            answer.lines,
            framing or b"",
            b"X-Request-Id: ",
        )
    )


def memorise(answer: ResponseHead) -> bytes:
    """`open_head` with the length that `answer` told, kept with it: the same head often comes
    again, byte for byte, and is then the same value."""
    answer.opening = open_head(answer, b"Content-Length: %d\r\n" % answer.content_length)
    return answer.opening


def ending(minor: int, keep_alive: bool) -> bytes:
    """What comes after the request's id: the end of the head, for a client of HTTP/1.`minor`."""
    if keep_alive:
        return END if minor else _END_KEEP
    return _END_CLOSE
