"""Heads off a stream (SEC-02, SEC-07, SEC-10, SEC-17): the same outcome however it is cut."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Iterable

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.http.gate import GatePolicy, RequestReader, ResponseReader
from gwd.http.head import NO_HEAD, RequestHead, ResponseHead
from gwd.http.problem import Refusal

POLICY = GatePolicy(max_head=400, max_fields=8, max_target=60, removed=frozenset({b"x-user-id"}))
GOOD = b"GET /a?b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"

Values = tuple[object, ...]


def values(head: RequestHead | ResponseHead) -> Values:
    # Slots, or what they become in compiled code.
    names = [name for name, _ in inspect.getmembers(type(head), inspect.isdatadescriptor)]
    return tuple(getattr(head, name) for name in names)


def outcome(pieces: Iterable[bytes], policy: GatePolicy = POLICY) -> Values | None:
    """What a reader makes of `pieces`: the head's values with what follows it, or the refusal."""
    reader = RequestReader(policy)
    pieces = list(pieces)
    try:
        for number, piece in enumerate(pieces):
            head = reader.feed(piece)
            if head is not None:
                assert not reader.pending
                return ("head", *values(head), reader.rest + b"".join(pieces[number + 1 :]))
            assert reader.rest == b""
    except Refusal as refusal:
        return ("refused", refusal.status, refusal.reason, *(() if refusal.close else ("open",)))
    return None


def bytewise(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


def test_a_head_in_one_read_is_returned_with_what_follows() -> None:
    reader = RequestReader(POLICY)
    head = reader.feed(GOOD + b"next")
    assert head is not None
    assert (head.method, head.path, head.query, head.host) == ("GET", "/a", "?b", "a")
    assert reader.rest == b"next"
    assert not reader.pending


def test_heads_follow_one_another() -> None:
    reader = RequestReader(POLICY)
    data, paths = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(5)), []
    while data:
        head = reader.feed(data)
        assert head is not None
        paths.append(head.path)
        data = reader.rest
    assert paths == ["/0", "/1", "/2", "/3", "/4"]


def test_a_head_in_pieces_is_pending_until_it_is_whole() -> None:
    reader = RequestReader(POLICY)
    assert not reader.pending
    for piece in bytewise(GOOD[:-1]):
        assert reader.feed(piece) is None
        assert reader.pending
    assert reader.feed(b"\nrest") is not None
    assert reader.rest == b"rest"
    assert not reader.pending
    assert reader.feed(GOOD) is not None  # nothing of the first is left
    assert reader.rest == b""


def test_one_empty_line_before_a_request_is_passed_over() -> None:
    reader = RequestReader(POLICY)
    for pieces in ([b"\r\n" + GOOD], [b"\r\n", GOOD], [b"\r", b"\n" + GOOD], [b"\r", b"\n", GOOD]):
        *begun, last = pieces
        for piece in begun:
            assert reader.feed(piece) is None
        assert reader.feed(last) is not None


def test_an_empty_line_alone_is_no_request_begun() -> None:
    reader = RequestReader(POLICY)
    assert reader.feed(b"\r\n") is None
    assert not reader.pending
    assert reader.feed(b"") is None
    assert not reader.pending


def test_two_empty_lines_are_refused() -> None:
    assert outcome([b"\r\n\r\n" + GOOD]) == ("refused", 400, "malformed")
    assert outcome([b"\r\n", b"\r\n"]) == ("refused", 400, "malformed")
    assert outcome([b"\n" + GOOD]) == ("refused", 400, "malformed")


REFUSED_AT_ONCE = [
    (b"\x16\x03\x01\x02\x00\x01", 400),  # a TLS ClientHello
    (b"GET / HTTP/1.1\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET /\r\n", 400),  # HTTP/0.9
    (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
    (b"PRI * HTTP/2.0\r\n", 505),
    (b"GET / HTTP/1.1\rX", 400),
    (b"GET / HTTP/1.1\r\nA: \x00", 400),
    (b"CONNECT a:443 HTTP/1.1\r\n", 501),
]


@pytest.mark.parametrize(("data", "status"), REFUSED_AT_ONCE)
def test_who_speaks_no_http_is_told_before_the_head_ends(data: bytes, status: int) -> None:
    for pieces in ([data], bytewise(data)):
        result = outcome(pieces)
        assert result is not None
        assert result[:2] == ("refused", status)


def sized(size: int) -> bytes:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n"
    return head.replace(b"A: ", b"A: " + b"x" * (size - len(head)))


@pytest.mark.parametrize(
    "cut", [bytewise, lambda data: [data], lambda data: [data[:-1], data[-1:]]]
)
def test_sec_17_a_head_is_bounded_whole_and_in_pieces(cut: Callable[[bytes], list[bytes]]) -> None:
    result = outcome(cut(sized(400)))
    assert result is not None
    assert result[0] == "head"
    assert outcome(cut(sized(401))) == ("refused", 431, "head_too_large")
    assert outcome(cut(sized(4000))) == ("refused", 431, "head_too_large")
    assert outcome(cut(b"\r\n" + sized(400))) is not None
    endless = b"GET /" + b"x" * 4000
    assert outcome(cut(endless)) == ("refused", 414, "target_too_long")
    long = b"GET /" + b"x" * 60 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert outcome(cut(long)) == ("refused", 414, "target_too_long")


def test_sec_17_a_bound_that_falls_below_what_has_come_of_a_head_is_met() -> None:
    reader = RequestReader(POLICY)
    assert reader.feed(sized(380)[:300]) is None
    reader.policy = GatePolicy(max_head=200)
    with pytest.raises(Refusal) as caught:
        reader.feed(b"x")
    assert caught.value.status == 431


def test_sec_17_what_follows_a_head_does_not_count_as_one() -> None:
    result = outcome([GOOD + b"\x00" * 100_000])
    assert result is not None
    assert result[0] == "head"


def test_faults_are_found_in_the_order_in_which_bytes_come() -> None:
    bad_then_large = b"GET / HTTP/1.1\r\nA: \x01" + b"x" * 4000
    large_then_bad = b"GET / HTTP/1.1\r\nA: " + b"x" * 4000 + b"\x01"
    line_then_bad = b"GET / HTTP/3.0\r\nA: \x01"
    bad_in_line = b"GET /\x01 HTTP/3.0\r\nA: \x01"
    for cut in (bytewise, lambda data: [data]):
        for end in (b"", b"\r\n\r\n"):
            assert outcome(cut(bad_then_large + end)) == ("refused", 400, "malformed")
            assert outcome(cut(large_then_bad + end)) == ("refused", 431, "head_too_large")
            assert outcome(cut(line_then_bad + end)) == ("refused", 505, "version")
            assert outcome(cut(bad_in_line + end)) == ("refused", 400, "malformed")


# Heads made of what heads are made of, some of it wrong.
STARTS = [
    *[b"GET / HTTP/1.1", b"POST /a/../b?c HTTP/1.1", b"HEAD http://A/x HTTP/1.1"],
    *[b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1", b"GET / HTTP/2.0", b"GET /", b""],
    *[b"GET  / HTTP/1.1", b"GET /%2F HTTP/1.1", b"TRACE / HTTP/1.1", b"GET /" + b"x" * 60],
]
LINES = [
    *[
        b"Host: a",
        b"Host: A:80",
        b"host:\tb",
        b"Host:",
        b"Accept: x",
        b"X-User-Id: me",
        b"x_odd: 1",
    ],
    *[b"Content-Length: 3", b"Content-Length: 03", b"Content-Length: 3, 3", b"Content-Length: +3"],
    *[b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked", b"Transfer-Encoding: gzip"],
    *[b"Connection: close", b"Connection: keep-alive, x-hop", b"Connection: host", b"X-Hop: 1"],
    *[b"Expect: 100-continue", b"Expect: x", b"Upgrade: h2c", b"Authorization: a", b" fold"],
    *[
        b"Nothing",
        b": x",
        b"A : b",
        b"A: b\x00",
        b"A: b\rc",
        b"A: \xff",
        b"TE: trailers",
        b"Via: x",
    ],
    *[b"X-Forwarded-For: 1.2.3.4", b"X-Request-Id: r", b"B: " + b"y" * 200, b""],
]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n"]


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    lines = [draw(st.sampled_from(STARTS))]
    lines += draw(st.lists(st.sampled_from(LINES[:2]), max_size=1))
    lines += draw(st.lists(st.sampled_from(LINES), max_size=5))
    ends = st.sampled_from(ENDS) if draw(st.integers(0, 3)) == 3 else st.just(b"\r\n")
    data = b"".join(line + draw(ends) for line in lines) + draw(ends)
    return draw(st.sampled_from([b"", b"", b"\r\n"])) + data + draw(st.sampled_from([b"", b"body"]))


@settings(max_examples=150, deadline=None)
@given(heads())
def test_a_head_cut_anywhere_has_the_same_outcome(data: bytes) -> None:
    whole = outcome([data])
    assert outcome(bytewise(data)) == whole
    for cut in range(1, len(data)):
        assert outcome([data[:cut], data[cut:]]) == whole


@settings(max_examples=150, deadline=None)
@given(heads(), st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_a_head_in_any_pieces_has_the_same_outcome(data: bytes, sizes: list[int]) -> None:
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    assert outcome(pieces) == outcome([data])


def wire(head: RequestHead) -> bytes:
    """The request that a gateway would write for `head`."""
    target = ("" if head.path == "*" else head.path) + head.query or "*"
    framing = b""
    if head.chunked:
        framing = b"Transfer-Encoding: chunked\r\n"
    elif head.content_length >= 0:
        framing = b"Content-Length: %d\r\n" % head.content_length
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (
        head.method.encode(),
        target.encode(),
        head.authority,
        head.lines,
        framing,
    )


def read_by_h11(data: bytes) -> tuple[h11.Request, str]:
    """What h11 makes of `data`, and how it frames the body."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    fields = dict(request.headers)
    framing = "none"
    if b"transfer-encoding" in fields:
        framing = "chunked"
    elif b"content-length" in fields:
        framing = fields[b"content-length"].lstrip(b"0").decode() or "0"
    return request, framing


@settings(max_examples=200, deadline=None)
@given(heads())
def test_sec_01_what_is_accepted_means_the_same_to_h11_when_written_anew(data: bytes) -> None:
    reader = RequestReader(POLICY)
    try:
        head = reader.feed(data)
    except Refusal:
        return
    if head is None:
        return
    request, framing = read_by_h11(wire(head))
    assert request.method.decode() == head.method
    assert request.target.decode() == ("*" if head.path == "*" else head.path + head.query)
    if head.chunked:
        assert framing == "chunked"
    else:
        assert framing == ("none" if head.content_length < 0 else str(head.content_length))
    names = [name for name, _ in request.headers]
    assert names.count(b"host") == 1
    for name in (b"connection", b"expect", b"upgrade", b"te", b"x-user-id", b"x-forwarded-for"):
        assert name not in names
    # And what came in meant the same to h11, which merges and folds where the gate refuses.
    original, original_framing = read_by_h11(data.removeprefix(b"\r\n"))
    assert original.method == request.method
    assert original_framing == framing
    if not head.authority:
        return  # HTTP/1.0 without Host: the empty Host that RFC 9110 §7.2 asks for
    # What the gate wrote it takes again, and makes the same of it.
    again = RequestReader(POLICY).feed(wire(head))
    assert again is not None
    assert wire(again) == wire(head)


# responses


def response_outcome(pieces: Iterable[bytes]) -> Values | None:
    reader = ResponseReader(max_head=300, max_fields=5)
    pieces = list(pieces)
    try:
        for number, piece in enumerate(pieces):
            head = reader.feed(piece, "GET")
            if head is not None:
                assert not reader.pending
                return (*values(head), reader.rest + b"".join(pieces[number + 1 :]))
    except Refusal as refusal:
        return ("refused", refusal.status, refusal.reason)
    return None


def test_interim_heads_are_returned_and_the_rest_is_fed_again() -> None:
    reader = ResponseReader()
    early = reader.feed(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody", "GET")
    assert early is not None
    assert early.interim
    head = reader.feed(reader.rest, "GET")
    assert head is not None
    assert (head.status, head.interim, reader.rest) == (200, False, b"body")


def test_response_heads_are_bounded_whole_and_in_pieces() -> None:
    start = b"HTTP/1.1 200 OK\r\nA: "
    exact = start + b"x" * (300 - len(start) - 4) + b"\r\n\r\n"
    for cut in (bytewise, lambda data: [data]):
        assert response_outcome(cut(exact)) is not None
        refusal = ("refused", 502, "bad_response")
        assert response_outcome(cut(exact.replace(b"A: ", b"A: x"))) == refusal
        assert response_outcome(cut(start + b"x" * 1000)) == refusal


RESPONSES = st.builds(
    lambda start, lines, ends: b"".join(
        line + end for line, end in zip((start, *lines, b""), ends, strict=False)
    ),
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"HTTP/1.1 100 C", b"HTTP/1.1 204 N", b"HTTP/2 200 x"]
    ),
    st.lists(
        st.sampled_from(
            [
                *[
                    b"Content-Length: 3",
                    b"Content-Length: x",
                    b"Transfer-Encoding: chunked",
                    b"A:b",
                ],
                *[b"Connection: close", b" fold", b"A: \x00", b"x", b"", b"Set-Cookie: a\xff"],
            ]
        ),
        max_size=6,
    ),
    st.one_of(
        st.just([b"\r\n"] * 8),
        st.lists(st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r"]), min_size=8, max_size=8),
    ),
)


@settings(max_examples=100, deadline=None)
@given(RESPONSES)
def test_a_response_head_cut_anywhere_has_the_same_outcome(data: bytes) -> None:
    whole = response_outcome([data])
    assert response_outcome(bytewise(data)) == whole
    for cut in range(1, len(data)):
        assert response_outcome([data[:cut], data[cut:]]) == whole


# time


READ = 256_000
HOSTILE = {
    "blanks before a control character": b"GET / HTTP/1.1\r\nX:" + b" " * READ + b"\x00\r\n\r\n",
    "blanks within max_head": b"GET / HTTP/1.1\r\nHost: a\r\nX:" + b" " * 32_000 + b"\x0b\r\n\r\n",
    "blanks that end well": b"GET / HTTP/1.1\r\nHost: a\r\nX:" + b" " * 32_000 + b"\r\n\r\n",
    "words and blanks": b"GET / HTTP/1.1\r\nHost: a\r\nX:" + b" a" * 16_000 + b"\r\n\r\n",
    "a field per line": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 8_000 + b"\r\n",
    "many short lines": b"GET / HTTP/1.1\r\n" + b"\r\n" * (READ // 2),
    "a long target": b"GET /" + b"a/" * (READ // 2),
    "dot segments": b"GET " + b"/a/.." * 1_600 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "escapes": b"GET /" + b"%2e" * 2_700 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded slashes": b"GET /" + b"%2F" * 2_700 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a list in Connection": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: "
    + b"a," * 16_000
    + b"\r\n\r\n",
    "labels": b"GET / HTTP/1.1\r\nHost: " + b"a." * 16_000 + b"\r\n\r\n",
    "hops": b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + b"1," * 16_000 + b"\r\n\r\n",
    "carriage returns": b"GET / HTTP/1.1\r\nHost: a\r\nX:" + b"\r" * READ,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_sec_02_a_read_costs_less_than_50_ms(name: str) -> None:
    data = HOSTILE[name]
    best = 1.0
    for _ in range(5):
        reader = RequestReader(GatePolicy())
        begun = time.process_time()
        with contextlib.suppress(Refusal):
            reader.feed(data)
        best = min(best, time.process_time() - begun)
    assert best < 0.05


def test_nothing_is_kept_of_a_long_head_nor_after_forgetting() -> None:
    reader = RequestReader(GatePolicy(max_head=65536))

    def kept() -> int:
        lines = b"" if reader._head is NO_HEAD else reader._head.lines
        return sum(map(len, (reader._tail, reader._after, lines, *reader._pieces)))

    def ask(cookie: bytes) -> None:
        assert reader.feed(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: %b\r\n\r\n" % cookie) is not None

    for number in range(4):
        ask(b"a=%d" % number)
    assert reader._changes
    assert 0 < kept() < 500
    ask(b"a" * 30_000)
    assert kept() == 0
    for number in range(4):
        ask(b"a=%d" % number)
    assert kept() > 0
    reader.forget()
    assert kept() == 0
