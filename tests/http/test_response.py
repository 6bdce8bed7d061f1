"""Heads of responses (SEC-01, SEC-18, SEC-23)."""

from __future__ import annotations

import pytest

from gwd.http.head import ResponseHead
from gwd.http.problem import Refusal
from gwd.http.response import judge_response


def head(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", method: str = "GET") -> ResponseHead:
    return judge_response(b"\r\n".join((start, *lines)) + b"\r\n\r\n", method, 10)


def refused(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> None:
    with pytest.raises(Refusal) as caught:
        head(*lines, start=start)
    assert (caught.value.status, caught.value.reason) == (502, "bad_response")


def test_a_head_comes_down_to_its_value() -> None:
    made = head(
        b"Server:x", b"Content-Length: 03", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"X-A: \xff"
    )
    assert (made.status, made.reason, made.minor) == (200, b"OK", 1)
    assert made.lines == b"Server: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-A: \xff\r\n"
    assert (made.content_length, made.chunked, made.until_close, made.bodyless) == (
        3,
        False,
        False,
        False,
    )
    assert made.keep_alive
    assert not made.interim
    assert made.get(b"set-cookie") == b"a=1, b=2"


@pytest.mark.parametrize("start", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.0 404 Not\tF\xfc"])
def test_a_reason_is_whatever_text_there_is(start: bytes) -> None:
    assert head(start=start).status in (200, 404)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.1 600 No",
        b"HTTP/1.1 099 No",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1  200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 +20 OK",
    ],
)
def test_a_version_or_status_that_does_not_exist_is_refused(start: bytes) -> None:
    refused(start=start)


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        (b"Content-Length: 3", b"Content-Length: 3"),
        (b"Content-Length: 3, 3",),
        (b"Content-Length: +3",),
        (b"Content-Length:",),
        (b"Content-Length: " + b"1" * 19,),
        (b"Transfer-Encoding: gzip",),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    ],
)
def test_ambiguous_framing_is_refused(lines: tuple[bytes, ...]) -> None:
    refused(*lines)


def test_a_coding_in_http_1_0_is_refused() -> None:
    refused(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK")


@pytest.mark.parametrize("line", [b"", b"A", b": x", b" A: b", b"A : b", b"\tfold", b"A\xff: b"])
def test_sec_07_lines_that_are_no_field_are_refused(line: bytes) -> None:
    refused(line, b"B: c")


def test_too_many_fields_are_refused() -> None:
    lines = [b"A: b"] * 10
    assert head(*lines).lines == b"A: b\r\n" * 10
    refused(*lines, b"A: b")


def test_hop_by_hop_and_odd_fields_end_here() -> None:
    made = head(
        b"Connection: X-Hop, keep-alive",
        b"X-Hop: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Authenticate: Basic",
        b"Trailer: x",
        b"Upgrade: h2c",
        b"X-Request-Id: theirs",
        b"X_Odd: 1",
        b"X-Stays: 1",
    )
    assert made.lines == b"X-Stays: 1\r\n"


@pytest.mark.parametrize(
    ("start", "method"),
    [
        (b"HTTP/1.1 204 No Content", "GET"),
        (b"HTTP/1.1 304 Not Modified", "GET"),
        (b"HTTP/1.1 200 OK", "HEAD"),
        (b"HTTP/1.1 100 Continue", "POST"),
    ],
)
def test_some_responses_have_no_body(start: bytes, method: str) -> None:
    made = head(b"Content-Length: 5", start=start, method=method)
    assert made.bodyless
    assert not made.until_close
    assert made.content_length == 5
    assert made.interim == start.startswith(b"HTTP/1.1 1")
    made = head(start=start, method=method)
    assert made.bodyless
    assert not made.until_close
    assert made.keep_alive


def test_sec_18_a_204_that_speaks_of_a_body_is_the_last_answer() -> None:
    start = b"HTTP/1.1 204 No Content"
    assert not head(b"Content-Length: 5", start=start).keep_alive
    assert not head(b"Transfer-Encoding: chunked", start=start).keep_alive
    assert head(b"Content-Length: 0", start=start).keep_alive


def test_without_a_length_the_body_ends_with_the_connection() -> None:
    made = head()
    assert made.until_close
    assert not made.keep_alive


def test_a_connection_stays_if_both_speak_1_1_and_nobody_closes() -> None:
    assert not head(b"Content-Length: 0", b"Connection: Close").keep_alive
    keep = (b"Content-Length: 0", b"Connection: keep-alive")
    assert head(*keep).keep_alive
    assert not head(*keep, start=b"HTTP/1.0 200 OK").keep_alive


def test_interim_heads_are_told() -> None:
    made = head(b"Link: </x>", start=b"HTTP/1.1 103 Early Hints")
    assert made.interim
    assert made.lines == b"Link: </x>\r\n"
