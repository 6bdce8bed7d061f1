"""Bodies (SEC-02, SEC-05, SEC-06, SEC-22): strict, bounded, the same however they are cut."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.http.bodies import (
    FREE_FRAMING,
    LAST_CHUNK,
    MOST_SIZE_LINE,
    OF_RESPONSE,
    ChunkedBody,
    LengthBody,
    UntilCloseBody,
    encode_chunk,
    request_body,
    response_body,
)
from gwd.http.gate import GatePolicy, RequestReader, ResponseReader
from gwd.http.head import RequestHead, ResponseHead
from gwd.http.problem import Refusal

LIMIT = 1000
TRAILERS = 100


def read(pieces: Iterable[bytes], limit: int = LIMIT) -> tuple[object, ...]:
    """What a chunked reader makes of `pieces`."""
    body, payload, pieces = ChunkedBody(limit, TRAILERS), b"", list(pieces)
    try:
        for number, piece in enumerate(pieces):
            payload += body.feed(piece)
            assert body.received == len(payload)
            if body.done:
                return ("done", payload, body.rest + b"".join(pieces[number + 1 :]))
    except Refusal as refusal:
        return ("refused", refusal.status)
    return ("unfinished", payload)


def bytewise(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


def refused(data: bytes, status: int = 400, limit: int = LIMIT) -> None:
    assert read([data], limit) == ("refused", status)
    assert read(bytewise(data), limit) == ("refused", status)


# length


def test_a_body_of_a_length_ends_there() -> None:
    body = LengthBody(5)
    assert body.feed(b"abc") == b"abc"
    assert (body.done, body.received) == (False, 3)
    assert body.feed(b"defg") == b"de"
    assert (body.done, body.received, body.rest) == (True, 5, b"fg")
    assert body.feed(b"h") == b""
    assert body.rest == b"fgh"


def test_a_read_that_is_all_payload_is_not_copied() -> None:
    data = b"x" * 100
    assert LengthBody(100).feed(data) is data
    assert LengthBody(101).feed(data) is data
    chunked = ChunkedBody()
    chunked.feed(b"100\r\n")
    assert chunked.feed(data) is data


def test_a_body_of_no_bytes_is_done() -> None:
    body = LengthBody(0)
    assert body.done
    body.eof()


def test_sec_22_a_body_cut_before_its_length_is_refused() -> None:
    for body, status in ((LengthBody(5), 400), (LengthBody(5, OF_RESPONSE), 502)):
        body.feed(b"abcd")
        with pytest.raises(Refusal) as caught:
            body.eof()
        assert caught.value.status == status


# until close


def test_a_body_until_close_ends_with_the_connection() -> None:
    body = UntilCloseBody()
    assert body.feed(b"abc") == b"abc"
    assert not body.done
    body.eof()
    assert (body.done, body.received, body.rest) == (True, 3, b"")


# chunked


def test_chunks_are_joined_over_a_read() -> None:
    data = b"".join(map(encode_chunk, (b"abc", b"d" * 20, b"e"))) + LAST_CHUNK + b"next"
    assert read([data]) == ("done", b"abc" + b"d" * 20 + b"e", b"next")
    assert read(bytewise(data)) == read([data])


def test_what_comes_after_the_end_is_kept_as_rest() -> None:
    body = ChunkedBody()
    body.feed(LAST_CHUNK + b"a")
    assert body.feed(b"b") == b""
    assert body.rest == b"ab"
    body.eof()


def test_received_counts_what_has_come_not_what_was_announced() -> None:
    body = ChunkedBody()
    body.feed(b"fffff\r\nabc")
    assert body.received == 3


@pytest.mark.parametrize(
    "line", [b"3", b"003", b"0000000000000003", b"3;a", b"3;a=b;c=d", b"3;chunk-signature=0f"]
)
def test_sec_05_sizes_and_extensions_of_tokens_are_read(line: bytes) -> None:
    data = line + b"\r\nabc\r\n" + LAST_CHUNK
    assert read([data]) == read(bytewise(data)) == ("done", b"abc", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"3\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3\t\r\nabc\r\n",
        b"3 ;a\r\nabc\r\n",
        b"3; a\r\nabc\r\n",
        b"3;\r\nabc\r\n",
        b"3;a=\r\nabc\r\n",
        b"3;a b\r\nabc\r\n",
        b"3;a\x00\r\nabc\r\n",
        b"3;a\rb\r\nabc\r\n",
        b"3;a\n\r\nabc\r\n",
        b"3;\xff\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"3_0\r\nabc\r\n",
        b"g\r\n",
        b"\r\n",
        b"\n",
        b";a\r\n",
        b"3\rabc",
        b"00000000000000003\r\nabc\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\r0\r\n",
        b"3\r\nabc\rx",
        b"3\r\nabc0\r\n\r\n",
        b"0\r\n\n",
        b"0\n\r\n",
        b"0\r\n\r\r\n",
    ],
)
def test_sec_05_what_is_not_strictly_chunked_is_refused(data: bytes) -> None:
    refused(data)


def test_sec_05_a_bare_lf_is_refused_at_once() -> None:
    for data in (b"3\n", b"3\r\nabc\n", b"0\r\n\n"):
        refused(data)


def test_sec_05_a_size_line_is_bounded() -> None:
    longest = b"3;" + b"a" * (MOST_SIZE_LINE - 4) + b"\r\n"
    assert len(longest) == MOST_SIZE_LINE
    assert read([longest + b"abc\r\n" + LAST_CHUNK])[0] == "done"
    assert read(bytewise(longest + b"abc\r\n" + LAST_CHUNK))[0] == "done"
    refused(longest.replace(b";", b";a") + b"abc\r\n")
    refused(b"3;" + b"a" * 10_000)


def test_sec_05_sizes_past_the_limit_are_too_large() -> None:
    assert read([b"3e8\r\n" + b"x" * LIMIT + b"\r\n" + LAST_CHUNK])[0] == "done"
    refused(b"3e9\r\n", 413)
    refused(b"3e7\r\n" + b"x" * 999 + b"\r\n2\r\n", 413)
    refused(b"ffffffffffffffff\r\n", 413)
    refused(b"8000000000000001\r\n", 413, 1 << 63)


def test_sec_05_framing_is_bounded_by_payload() -> None:
    chunk = encode_chunk(b"x")
    few = FREE_FRAMING // 5
    assert read([chunk * few + LAST_CHUNK], 10**6)[0] == "done"
    refused(chunk * 2 * few, 400, 10**6)
    large = encode_chunk(b"x" * 5)
    assert read([large * 20_000 + LAST_CHUNK], 10**6)[0] == "done"


def test_sec_06_trailers_are_checked_and_dropped() -> None:
    data = b"1\r\nx\r\n0\r\nX-Sum: 1\r\nX-Empty:\r\n\r\nnext"
    assert read([data]) == read(bytewise(data)) == ("done", b"x", b"next")


@pytest.mark.parametrize(
    "line",
    [
        *[b"A", b": x", b" A: b", b"A : b", b"A: \x00", b"A: b\rc", b"A\xff: b", b" fold"],
        *[b"Content-Length: 5", b"transfer-encoding: chunked", b"HOST: a", b"Trailer: a"],
        *[b"Authorization: x", b"Connection: close", b"Content-Type: a"],
    ],
)
def test_sec_06_bad_trailers_are_refused(line: bytes) -> None:
    refused(b"0\r\n" + line + b"\r\n\r\n")


def test_sec_06_trailers_are_bounded() -> None:
    line = b"A: " + b"x" * (TRAILERS - 5) + b"\r\n"
    assert read([b"0\r\n" + line + b"\r\n"])[0] == "done"
    assert read(bytewise(b"0\r\n" + line + b"\r\n"))[0] == "done"
    refused(b"0\r\n" + line + b"B: c\r\n\r\n", 431)
    refused(b"0\r\n" + b"A: x" + line, 431)
    refused(b"0\r\n" + b"A" * 1000, 431)


def test_trailers_need_no_room_if_there_are_none() -> None:
    for pieces in ([LAST_CHUNK], bytewise(LAST_CHUNK)):
        body = ChunkedBody(10, 0)
        for piece in pieces:
            body.feed(piece)
        assert body.done


def test_sec_22_a_body_cut_before_its_last_chunk_is_refused() -> None:
    for data in (b"", b"3\r\nab", b"3\r\nabc\r\n", b"0\r\n", b"0\r\nA: b\r\n"):
        for body, status in ((ChunkedBody(), 400), (ChunkedBody(fault=OF_RESPONSE), 502)):
            body.feed(data)
            with pytest.raises(Refusal) as caught:
                body.eof()
            assert caught.value.status == status


def test_a_bad_response_body_is_the_upstreams_fault() -> None:
    for data in (b"3\n", b"0\r\nA: b", b"0\r\nA\r\n", b"2\r\n", b"g"):
        body = ChunkedBody(1, 3, OF_RESPONSE)
        with pytest.raises(Refusal) as caught:
            body.feed(data + b"x" * 10 if data == b"0\r\nA: b" else data)
        assert (caught.value.status, caught.value.reason) == (502, "bad_response")


BODIES = st.lists(
    st.sampled_from(
        [
            *[b"1\r\nx\r\n", b"3\r\nabc\r\n", b"A\r\n0123456789\r\n", b"0\r\n\r\n", b"0\r\n"],
            *[b"\r\n", b"\n", b"\r", b"3", b"a", b";a=b", b";", b" ", b"X: y\r\n", b"3\r\n"],
        ]
    ),
    max_size=10,
).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(BODIES)
def test_a_body_cut_anywhere_is_read_alike(data: bytes) -> None:
    whole = read([data])
    assert read(bytewise(data)) == whole
    for cut in range(1, len(data)):
        assert read([data[:cut], data[cut:]]) == whole


def read_by_h11(data: bytes) -> tuple[object, ...]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data
    )
    payload = b""
    try:
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                payload += event.data
            if isinstance(event, h11.EndOfMessage):
                return ("done", payload, connection.trailing_data[0])
    except h11.RemoteProtocolError:
        return ("refused", 400)
    return ("unfinished", payload)


@settings(max_examples=200, deadline=None)
@given(BODIES)
def test_what_is_read_h11_reads_alike(data: bytes) -> None:
    ours = read([data])
    if ours[0] != "refused":
        assert read_by_h11(data) == ours


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good body, in which a few bytes were replaced, put in or taken out."""
    payload = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    trailers = draw(st.sampled_from([b"", b"X: y\r\n"]))
    data = b"".join(map(encode_chunk, payload)) + b"0\r\n" + trailers + b"\r\n"
    signs = st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b";", b"0", b"f", b"\x00", b"\xff"])
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(signs) + data[at + draw(st.integers(0, 2)) :]
    return data


@settings(max_examples=200, deadline=None)
@given(mutated())
def test_sec_05_what_is_read_of_mutations_h11_reads_alike(data: bytes) -> None:
    ours = read([data])
    assert read(bytewise(data)) == ours
    if ours[0] != "refused":
        assert read_by_h11(data) == ours


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20), st.binary(max_size=5))
def test_what_is_written_in_chunks_is_read_back(payload: list[bytes], rest: bytes) -> None:
    data = b"".join(map(encode_chunk, payload)) + LAST_CHUNK + rest
    assert read([data]) == ("done", b"".join(payload), rest)
    assert read_by_h11(data) == ("done", b"".join(payload), rest)


# which reader a head asks for


def request(*lines: bytes) -> RequestHead:
    raw = b"".join(line + b"\r\n" for line in (b"POST / HTTP/1.1", b"Host: a", *lines, b""))
    head = RequestReader(GatePolicy(max_head=len(raw) + 7)).feed(raw)
    assert head is not None
    return head


def response(*lines: bytes, method: str = "GET", status: int = 200) -> ResponseHead:
    raw = b"".join(line + b"\r\n" for line in (b"HTTP/1.1 %d x" % status, *lines, b""))
    head = ResponseReader().feed(raw, method)
    assert head is not None
    return head


def test_a_request_without_a_body_needs_no_reader() -> None:
    assert request_body(request(), 10) is None
    assert request_body(request(b"Content-Length: 0"), 10) is None


def test_a_request_past_the_limit_is_refused_before_its_body() -> None:
    assert isinstance(request_body(request(b"Content-Length: 10"), 10), LengthBody)
    with pytest.raises(Refusal) as caught:
        request_body(request(b"Content-Length: 11"), 10)
    assert (caught.value.status, caught.value.close) == (413, True)


def test_sec_06_trailers_of_a_request_count_to_its_head() -> None:
    head = request(b"Transfer-Encoding: chunked")
    body = request_body(head, 10)
    assert isinstance(body, ChunkedBody)
    body.feed(b"0\r\nA: bc\r\n\r\n"[:-3])
    with pytest.raises(Refusal) as caught:
        body.feed(b"\nB: c\r\n")
    assert caught.value.status == 431


def test_a_response_has_the_reader_that_its_framing_asks_for() -> None:
    assert response_body(response(b"Content-Length: 5", method="HEAD")) is None
    assert response_body(response(b"Content-Length: 5", status=304)) is None
    assert response_body(response(b"Content-Length: 0")) is None
    assert isinstance(response_body(response(b"Content-Length: 5")), LengthBody)
    assert isinstance(response_body(response(b"Transfer-Encoding: chunked")), ChunkedBody)
    assert isinstance(response_body(response()), UntilCloseBody)


# time


READ = 256_000
HOSTILE = {
    "1-byte chunks": b"1\r\nx\r\n" * (READ // 6),
    "5-byte chunks": b"5\r\nxxxxx\r\n" * (READ // 10),
    "6-byte chunks with zeros": b"006\r\nxxxxxx\r\n" * (READ // 13),
    "an endless extension": b"1;" + b"a" * READ,
    "an endless extension that ends": b"1;" + b"a" * READ + b"\r\n",
    "extensions": b"1" + b";a=b" * (READ // 4) + b"\r\n",
    "blanks": b"1;" + b" " * READ + b"\n",
    "digits": b"0" * READ,
    "an endless trailer": b"0\r\nA:" + b" " * READ,
    "blanks before a control character in a trailer": b"0\r\nA:" + b" " * 30_000 + b"\x00\r\n\r\n",
    "short trailers": b"0\r\n" + b"a:\r\n" * (READ // 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_sec_02_a_read_costs_less_than_50_ms(name: str) -> None:
    data = HOSTILE[name]
    best = 1.0
    for _ in range(5):
        body = ChunkedBody(10 * 2**20, 32_768)
        begun = time.process_time()
        with contextlib.suppress(Refusal):
            body.feed(data)
        best = min(best, time.process_time() - begun)
    assert best < 0.05
