"""Responses of the gateway's own (SEC-24, SEC-50)."""

from __future__ import annotations

import json

import h11
import pytest

from gwd.http.problem import REASON_PHRASES, Refusal, plain_response, problem_response

LIMITED = Refusal(
    429, "rate_limited", "Too many requests.", (("Retry-After", "1"),), type="https://x.example/q"
)


def read(wire: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    response, body = connection.next_event(), b""
    assert isinstance(response, h11.Response)
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data[0] == b""
    return response, body


def test_a_problem_tells_its_five_members() -> None:
    wire = problem_response(LIMITED, "id-1", minor=1, head_only=False, close=False)
    response, body = read(wire)
    assert json.loads(body) == {
        "type": "https://x.example/q",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Too many requests.",
        "request_id": "id-1",
    }
    assert response.headers == [
        (b"content-type", b"application/problem+json"),
        (b"retry-after", b"1"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", b"id-1"),
    ]


def test_a_problem_for_head_has_the_length_and_no_body() -> None:
    full = problem_response(LIMITED, "i", minor=1, head_only=False, close=False)
    head = problem_response(LIMITED, "i", minor=1, head_only=True, close=False)
    assert full.startswith(head)
    assert read(head, "HEAD")[1] == b""


@pytest.mark.parametrize(
    ("minor", "close", "connection"),
    [(1, False, None), (1, True, b"close"), (0, True, b"close"), (0, False, b"keep-alive")],
)
def test_the_connections_end_is_said_where_it_is_not_the_rule(
    minor: int, close: bool, connection: bytes | None
) -> None:
    wire = plain_response(200, (), b"", "i", minor=minor, head_only=False, close=close)
    assert dict(read(wire)[0].headers).get(b"connection") == connection
    assert wire.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_have_neither_body_nor_length(status: int) -> None:
    wire = plain_response(status, (), b"x", "i", minor=1, head_only=False, close=False)
    assert b"Content-Length" not in wire
    assert read(wire)[1] == b""


def test_sec_24_no_header_can_end_its_line() -> None:
    headers = (("X\r\nA: b", "1\r\nSet-Cookie: x"), ("Y:", "\x00\x7fä\ud800"))
    wire = plain_response(200, headers, b"", "id\r\nZ: 1", minor=1, head_only=False, close=False)
    assert wire == (
        b"HTTP/1.1 200 OK\r\nX--A--b: 1??Set-Cookie: x\r\nY-: ??\xc3\xa4?\r\n"
        b"Content-Length: 0\r\nX-Request-Id: id??Z: 1\r\n\r\n"
    )


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection"])
def test_no_header_from_outside_frames_the_message(name: str) -> None:
    wire = plain_response(200, ((name, "7"),), b"abc", "i", minor=1, head_only=False, close=False)
    response, body = read(wire)
    assert body == b"abc"
    assert [value for header, value in response.headers if header == b"content-length"] == [b"3"]


@pytest.mark.parametrize(
    "name",
    [
        "Content Length",
        "content:length",
        "Transfer\u2010Encoding",
        "Transfer\tEncoding",
        "Keep Alive",
    ],
)
def test_no_name_becomes_one_that_frames_the_message(name: str) -> None:
    """SEC-24: a name is judged in the spelling in which it is written."""
    wire = plain_response(200, ((name, "7"),), b"abc", "i", minor=1, head_only=False, close=False)
    response, body = read(wire)
    assert body == b"abc"
    assert [header for header, _ in response.headers] == [b"content-length", b"x-request-id"]


def test_a_header_without_a_name_is_left_out() -> None:
    wire = plain_response(200, (("", "7"),), b"abc", "i", minor=1, head_only=False, close=False)
    assert read(wire)[1] == b"abc"


def test_a_status_without_a_phrase_is_still_a_response() -> None:
    assert 299 not in REASON_PHRASES
    wire = plain_response(299, (), b"", "i", minor=1, head_only=False, close=False)
    assert read(wire)[0].status_code == 299


def test_a_refusal_tells_in_a_traceback_what_it_is() -> None:
    assert repr(LIMITED) == "Refusal(429, 'rate_limited', 'Too many requests.')"
