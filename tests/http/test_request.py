"""The rules over a request's head (SEC-01, SEC-03, SEC-04, SEC-09, SEC-13 to SEC-17, SEC-35)."""

from __future__ import annotations

import inspect

import pytest

from gwd.http.fields import GatePolicy, judge
from gwd.http.head import RequestHead
from gwd.http.problem import Refusal
from gwd.http.request import assemble, confirm, judge_request
from gwd.http.target import parse_request_line

POLICY = GatePolicy(max_fields=10, removed=frozenset({b"x-user-id"}))


def head(*lines: bytes, start: bytes = b"POST / HTTP/1.1", host: bytes = b"Host: a") -> RequestHead:
    raw = b"\r\n".join((start, *((host,) if host else ()), *lines)) + b"\r\n\r\n"
    return judge_request(raw, POLICY)


def refused(*lines: bytes, start: bytes = b"POST / HTTP/1.1", host: bytes = b"Host: a") -> Refusal:
    with pytest.raises(Refusal) as caught:
        head(*lines, start=start, host=host)
    assert caught.value.close
    return caught.value


def test_a_head_comes_down_to_its_value() -> None:
    made = head(
        b"User-Agent: curl/8",
        b"Accept:*/*",
        b"Authorization: Bearer x",
        b"Content-Length: 0003",
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Forwarded-For: 192.0.2.2",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: b",
        b"X-Request-Id: abc",
        start=b"POST /a/./b?q HTTP/1.1",
        host=b"Host: API.example.:8080",
    )
    assert (made.method, made.minor, made.path, made.query) == ("POST", 1, "/a/b", "?q")
    assert (made.host, made.authority) == ("api.example", b"api.example:8080")
    assert made.lines == (b"User-Agent: curl/8\r\nAccept: */*\r\nAuthorization: Bearer x\r\n")
    assert (made.content_length, made.chunked, made.has_body) == (3, False, True)
    assert (made.authorization, made.user_agent) == (b"Bearer x", b"curl/8")
    assert made.forwarded_for == b"192.0.2.1, 192.0.2.2"
    assert (made.forwarded_proto, made.forwarded_host) == (b"https", b"b")
    assert (made.request_id, made.traceparent) == (b"abc", None)
    assert (made.keep_alive, made.expect_continue, made.encoded_slash) == (True, False, False)


def test_a_head_without_the_optional_says_so() -> None:
    made = head(start=b"GET / HTTP/1.1")
    assert made.content_length == -1
    assert not made.has_body
    for name in ("authorization", "forwarded_for", "forwarded_host", "forwarded_proto"):
        assert getattr(made, name) is None
    for name in ("request_id", "traceparent", "user_agent"):
        assert getattr(made, name) is None
    assert made.lines == b""


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 3"),
        (b"Content-Length: 3", b"Transfer-Encoding: gzip"),
        (b"Content-Length: 3", b"Content-Length: 3"),
        (b"Content-Length: 3", b"content-length: 4"),
        (b"Content-Length: 3, 3",),
    ],
)
def test_sec_03_two_framings_are_refused(lines: tuple[bytes, ...]) -> None:
    assert refused(*lines).status == 400


@pytest.mark.parametrize(
    "lines",
    [
        (b"Transfer-Encoding: xchunked",),
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding:",),
    ],
)
def test_sec_04_any_coding_but_one_chunked_is_refused(lines: tuple[bytes, ...]) -> None:
    assert refused(*lines).status == 501


def test_sec_04_a_coding_in_http_1_0_is_refused() -> None:
    for coding in (b"chunked", b"gzip"):
        refusal = refused(b"Transfer-Encoding: " + coding, start=b"POST / HTTP/1.0")
        assert refusal.status == 400


def test_chunked_is_chunked_whatever_its_case() -> None:
    made = head(b"Transfer-Encoding:\t Chunked ")
    assert made.chunked
    assert made.has_body
    assert made.lines == b""


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
def test_a_body_is_framed_whatever_the_method(method: bytes) -> None:
    assert head(b"Content-Length: 5", start=method + b" / HTTP/1.1").content_length == 5


def test_sec_09_there_must_be_one_host() -> None:
    assert refused(host=b"").status == 400
    assert refused(b"Host: a").status == 400
    assert refused(b"host: b").status == 400
    assert refused(host=b"Host:").status == 400
    assert refused(b"Host: a", start=b"POST / HTTP/1.0").status == 400


def test_http_1_0_may_lack_a_host() -> None:
    made = head(start=b"GET / HTTP/1.0", host=b"")
    assert (made.host, made.authority) == ("", b"")
    made = head(start=b"GET http://b:1/ HTTP/1.0", host=b"")
    assert (made.host, made.authority) == ("b", b"b:1")


def test_sec_09_an_absolute_target_agrees_with_host() -> None:
    made = head(start=b"GET http://A/x HTTP/1.1")
    assert (made.path, made.authority) == ("/x", b"a")
    assert refused(start=b"GET http://b/x HTTP/1.1").status == 400
    assert refused(start=b"GET http://a:81/x HTTP/1.1").status == 400


def test_sec_13_connection_removes_what_it_names() -> None:
    made = head(
        b"X-Hop: 1", b"X-Stays: 2", b"Connection: x-hop, user-agent", b"x-hop: 3", b"User-Agent: u"
    )
    assert made.lines == b"X-Stays: 2\r\n"
    assert made.user_agent is None


def test_connection_fields_are_read_as_one_list() -> None:
    made = head(b"Connection: x-a", b"X-A: 1", b"X-B: 2", b"Connection: X-B, close")
    assert made.lines == b""
    assert not made.keep_alive


@pytest.mark.parametrize(
    ("minor", "options", "stays"),
    [
        (1, None, True),
        (1, b"close", False),
        (1, b"Keep-Alive, CLOSE", False),
        (1, b"keep-alive", True),
        (0, None, False),
        (0, b"Keep-Alive", True),
        (0, b"keep-alive, close", False),
    ],
)
def test_close_beats_keep_alive(minor: int, options: bytes | None, stays: bool) -> None:
    lines = [] if options is None else [b"Connection: " + options]
    assert head(*lines, start=b"GET / HTTP/1.%d" % minor).keep_alive is stays


def test_sec_14_a_clients_identity_headers_are_gone() -> None:
    made = head(b"X-User-Id: root", b"x_user_id: root", b"X-USER-ID: root", b"X-Other: 1")
    assert made.lines == b"X-Other: 1\r\n"


def test_sec_15_an_expectation_is_met_or_refused() -> None:
    made = head(b"Expect: 100-Continue", b"Content-Length: 3")
    assert made.expect_continue
    assert made.lines == b""
    assert head(b"Expect: 100-continue", b"Transfer-Encoding: chunked").expect_continue
    for lines in (
        (b"Expect: 100-continue", b"Expect: 100-continue"),
        (b"Expect: 100-continue, x",),
        (b"Expect: y 100-continue",),
        (b"Expect: foo",),
        (b"Expect:",),
    ):
        assert refused(*lines, b"Content-Length: 3").status == 417


def test_sec_15_an_expectation_without_body_or_in_http_1_0_is_ignored() -> None:
    assert not head(b"Expect: 100-continue").expect_continue
    assert not head(b"Expect: 100-continue", b"Content-Length: 0").expect_continue
    for value in (b"100-continue", b"foo"):
        made = head(b"Expect: " + value, b"Content-Length: 3", start=b"POST / HTTP/1.0")
        assert not made.expect_continue
        assert made.lines == b""


def test_sec_16_an_upgrade_to_anything_but_websocket_is_ignored() -> None:
    for protocol in (b"h2c", b"TLS/1.0", b"HTTP/2.0, h2c"):
        made = head(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: " + protocol,
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
            start=b"GET / HTTP/1.1",
        )
        assert made.lines == b""
        assert made.keep_alive


def test_sec_17_fields_are_counted() -> None:
    lines = [b"A%d: x" % n for n in range(9)]
    assert head(*lines).lines.count(b"\r\n") == 9
    refusal = refused(*lines, b"B: x")
    assert (refusal.status, refusal.reason) == (431, "too_many_fields")


def test_sec_35_two_authorizations_are_refused() -> None:
    assert refused(b"Authorization: a", b"authorization: a").status == 400


TRACE = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"


def test_a_trace_is_passed_on_whole_or_not_at_all() -> None:
    made = head(b"traceparent: " + TRACE, b"tracestate: x=1")
    assert (made.traceparent, made.lines) == (TRACE, b"tracestate: x=1\r\n")
    for lines in ((), (b"traceparent: x",), (b"traceparent: " + TRACE,) * 2):
        made = head(*lines, b"tracestate: x=1", b"A: b")
        assert (made.traceparent, made.lines) == (None, b"A: b\r\n")


def test_what_is_said_twice_about_the_client_counts_for_nothing() -> None:
    made = head(
        *(b"X-Request-Id: a", b"X-Request-Id: b"),
        *(b"X-Forwarded-Host: a", b"X-Forwarded-Host: b"),
        *(b"X-Forwarded-Proto: http", b"X-Forwarded-Proto: https"),
        *(b"User-Agent: a", b"User-Agent: b"),
    )
    assert (made.request_id, made.forwarded_host, made.forwarded_proto) == (None, None, None)
    assert made.user_agent == b"a"


def test_what_is_left_of_the_head_is_told_for_trailers() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert judge_request(raw, GatePolicy(max_head=100)).spare == 100 - len(raw)


def test_verdicts_may_come_from_anywhere() -> None:
    """The seam of a memory of lines: the same verdicts twice make the same head twice."""
    line = parse_request_line(b"GET / HTTP/1.1", 100)
    fields = [judge(raw, POLICY) for raw in (b"Host: a", b"X: y", b"Connection: close")]
    first, second = assemble(line, fields), assemble(line, fields)
    for name, _ in inspect.getmembers(RequestHead, inspect.isdatadescriptor):
        assert getattr(first, name) == getattr(second, name)


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n"]
)
def test_what_h11_refuses_or_finds_unfinished_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        confirm(raw)
    assert caught.value.status == 400
