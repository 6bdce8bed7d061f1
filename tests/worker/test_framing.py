"""An answer is framed anew, so that a client can read it in one way only."""

from __future__ import annotations

import h11
import pytest

from gwd.http.gate import GatePolicy, RequestReader, ResponseReader
from gwd.http.head import RequestHead, ResponseHead
from gwd.worker.framing import ending, frame, is_chunked, memorise, open_head


def request(method: str = "GET", version: str = "1.1") -> RequestHead:
    head = RequestReader(GatePolicy()).feed(
        f"{method} / HTTP/{version}\r\nHost: x\r\n\r\n".encode()
    )
    assert head is not None
    return head


def answer(*fields: str, status: int = 200, method: str = "GET") -> ResponseHead:
    lines = "".join(f"{field}\r\n" for field in fields)
    head = ResponseReader().feed(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode(), method)
    assert head is not None
    return head


def test_a_body_that_is_here_whole_gets_its_length() -> None:
    chunked = answer("Transfer-Encoding: chunked")
    assert frame(request(), chunked, 7, True) == b"Content-Length: 7\r\n"
    assert frame(request(version="1.0"), chunked, 7, True) == b"Content-Length: 7\r\n"


def test_a_length_is_kept() -> None:
    assert frame(request(), answer("Content-Length: 9"), 4, False) == b"Content-Length: 9\r\n"


@pytest.mark.parametrize("fields", [("Transfer-Encoding: chunked",), ()])
def test_an_unknown_length_is_chunked_or_ends_with_the_connection(fields: tuple[str, ...]) -> None:
    assert is_chunked(frame(request(), answer(*fields), 4, False))
    assert frame(request(version="1.0"), answer(*fields), 4, False) is None


def test_an_answer_to_head_says_the_length_and_has_no_body() -> None:
    head = answer("Content-Length: 9", method="HEAD")
    assert frame(request("HEAD"), head, 0, True) == b"Content-Length: 9\r\n"
    assert frame(request("HEAD"), answer(method="HEAD"), 0, True) == b""


def test_204_has_no_length_and_304_may_have_one() -> None:
    assert frame(request(), answer(status=204), 0, True) == b""
    assert frame(request(), answer("Content-Length: 9", status=304), 0, True) == (
        b"Content-Length: 9\r\n"
    )


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("status", [200, 299, 404])
def test_the_head_is_read_by_h11_as_it_is_meant(status: int, minor: int, keep_alive: bool) -> None:
    head = answer("X-A: b", "Set-Cookie: c=d", "Content-Length: 0", status=status)
    opening = open_head(head, b"Content-Length: 0\r\n")
    assert memorise(head) == head.opening == opening
    wire = opening + b"abc" + ending(minor, keep_alive)
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    reader.receive_data(wire)
    event = reader.next_event()
    assert isinstance(event, h11.Response)
    fields = dict(event.headers)
    assert event.status_code == status
    assert (fields[b"x-a"], fields[b"set-cookie"], fields[b"x-request-id"]) == (
        b"b",
        b"c=d",
        b"abc",
    )
    expected = (None if minor else b"keep-alive") if keep_alive else b"close"
    assert fields.get(b"connection") == expected
