"""The faster tiers take only what h11 and the policy take, and make the same head of it (SEC-28).

The authority is spelled out here once more, without memory and with h11 always asked. Readers that
remember much are fed real heads and mutations of them, and must come to the same outcome. Beside
our own heads stand those of the black-box suite and of the fuzzer, with its public corpora.
"""

from __future__ import annotations

import inspect
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import h11
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

sys.path += [str(Path(__file__).parents[1] / "end_to_end" / room) for room in ("", "http")]

from fuzz.seeds import OWN_REQUESTS, public
from fuzz.seeds import RESPONSES as OWN_RESPONSES
from rig.scale import amount
from tables import chunks, connections, framing, heads, identities, responses, targets

from gwd.http.fields import MOST_KNOWN, GatePolicy, Kind, connection_options, judge
from gwd.http.gate import RequestReader, ResponseReader
from gwd.http.head import RequestHead, ResponseHead
from gwd.http.problem import Refusal
from gwd.http.request import assemble, confirm
from gwd.http.response import _ASKED, _confirm, judge_response
from gwd.http.scan import is_clean
from gwd.http.target import match_plain_1_1, parse_request_line

REQUESTS = [
    b"GET /items/42?page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0 (X11)\r\n"
    b"Accept: text/html,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\nCookie: a=b; c=d\r\n"
    b"Referer: https://www.example.com/\r\nConnection: keep-alive\r\n\r\n",
    b"POST /orders HTTP/1.1\r\nHost: api.example.com:8080\r\nContent-Length: 12\r\n"
    b"Content-Type: application/json\r\nAuthorization: Bearer abc.def.ghi\r\n"
    b"X-Forwarded-For: 1.2.3.4\r\nX-User-Id: 7\r\n\r\n",
    b"PUT /a%2fb/../c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
    b"Connection: close, x-hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: old.example\r\nConnection: keep-alive\r\nX_Odd: 1\r\n\r\n",
    b"GET http://x.example/p?q HTTP/1.1\r\nHost: x.example\r\nX-Name: caf\xc3\xa9\r\n\r\n",
    b"DELETE /x HTTP/1.1\r\nHost: x\r\ntraceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\r\n"
    b"X-Request-Id: abc\r\nTrailer: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n"
    b"X-Served-By: one\r\nKeep-Alive: timeout=5\r\n\r\n",
    b"HTTP/1.0 200\r\nX-Name: caf\xc3\xa9\r\nX_Odd: 1\r\nConnection: x-hop\r\nX-Hop: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nVary: *\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Name: caf\xc3\xa9\r\n\r\n",
]
LINES = [
    *(b"Host: other\r\n", b"Content-Length: 5\r\n", b"Content-Length: 5, 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: host\r\n"),
    *(b" folded\r\n", b"No-Colon\r\n", b"Blank : x\r\n", b": empty\r\n", b"X-A:\t \x0b\r\n"),
    *(b"Authorization: Basic eA==\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n"),
    *(b"Upgrade: websocket\r\n", b"Upgrade: h2c, x\r\n", b"Connection: keep-alive, Upgrade\r\n"),
    *(b"X_User_Id: 9\r\n", b"X-User-Id: 9\r\n", b"\xff: x\r\n", b"X: \xff\r\n", b"Te: x\r\n"),
]


STATUS_LINES = [
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content"),
    *(b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 404 caf\xc3\xa9", b"HTTP/1.1 101 Switching"),
    *(b"HTTP/1.1 100 Continue", b"HTTP/2 200", b"HTTP/1.1 600 X", b"HTTP/1.1 200OK"),
]
MOST_HEAD, MOST_FIELDS = 65536, 200
"""Of a response, as its reader has it."""
OF_ONE_HOP = frozenset(
    (
        *(b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"te"),
        *(b"trailer", b"upgrade", b"http2-settings", b"x-request-id"),
    )
)
"""What the gateway writes anew or leaves out of a response."""


def first_head(message: bytes) -> bytes:
    return message.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def request_heads() -> list[bytes]:
    """Those of the corpora, each once. What is very long is left to `test_gate`."""
    rooms = (chunks, connections, framing, heads, identities, targets)
    suite = [case.sends for room in rooms for case in room.CASES]
    found = dict.fromkeys(map(first_head, [*suite, *OWN_REQUESTS, *public()]))
    return [head for head in found if len(head) < 4096]


def response_heads() -> list[bytes]:
    """Those of the corpora, each once, and the fields of request heads behind status lines."""
    suite = [step for case in responses.CASES for step in case.script if isinstance(step, bytes)]
    found = dict.fromkeys(map(first_head, [*suite, *OWN_RESPONSES]))
    for number, head in enumerate(request_heads()):
        status_line = STATUS_LINES[number % len(STATUS_LINES)]
        found[status_line + head[head.index(b"\r\n") :]] = None
    return [head for head in found if len(head) < 4096]


def policy() -> GatePolicy:
    return GatePolicy(removed=frozenset({b"x-user-id"}))


def outcome(head: RequestHead | ResponseHead | None) -> object:
    """All that a head says, with what only some kinds of heads have."""
    if head is None:
        return None
    # Slots, or what they become in compiled code.
    names = [name for name, _ in inspect.getmembers(type(head), inspect.isdatadescriptor)]
    return (type(head), *(getattr(head, name) for name in names))


def by_authority(head: bytes, asked: GatePolicy) -> object:
    """What the scan, the lines, the rules and h11 say to a whole head."""
    try:
        if not is_clean(head) or len(head) > asked.max_head:
            return "refused"
        lines = head[:-4].split(b"\r\n")
        if len(lines) - 1 > asked.max_fields:
            return "refused"
        line = parse_request_line(lines[0], asked.max_target)
        request = assemble(line, [judge(text, asked) for text in lines[1:]])
        request.spare = asked.max_head - len(head)
        confirm(head)
    except Refusal:
        return "refused"
    return outcome(request)


def mutate(head: bytes, chance: random.Random, others: Sequence[bytes] = REQUESTS) -> bytes:
    """`head` after a few mutations; `others` are heads to take lines of."""
    lines = head[:-2].splitlines(keepends=True)
    for _ in range(chance.randint(1, 3)):
        kind = chance.randrange(8)
        at = chance.randrange(len(lines))
        if kind == 0:
            line = bytearray(lines[at])
            line[chance.randrange(len(line))] = chance.choice(b"\0\t\n\r :,;/%aZ0\x7f\x80\xff")
            lines[at] = bytes(line)
        elif kind == 1:
            lines.insert(chance.randint(1, len(lines)), chance.choice(LINES))
        elif kind == 2:
            lines.insert(at, lines[at])
        elif kind == 3 and len(lines) > 1:
            del lines[at]
        elif kind == 4:
            lines[0] = chance.choice(others).splitlines(keepends=True)[0]
        elif kind == 5:
            lines[at] = lines[at].swapcase()
        elif kind == 6:
            cut = chance.randrange(len(lines[at]))
            lines[at] = lines[at][:cut] + chance.choice((b" ", b"\t", b"x", b"_")) + lines[at][cut:]
        else:
            lines[at] = chance.choice(chance.choice(others)[:-2].splitlines(keepends=True))
    return b"".join(lines) + b"\r\n"


def test_readers_that_remember_agree_with_h11_and_the_policy() -> None:
    chance = random.Random(20261124)
    corpus = request_heads()
    number = amount(40_000, 400_000)
    shared, accepted, of_corpus = policy(), 0, 0
    reader = RequestReader(shared)
    for turn in range(number):
        # Ours are tried more often each, so that much of them is remembered.
        ours = chance.random() < 0.6
        head = chance.choice(REQUESTS if ours else corpus)
        if chance.random() < 0.8:
            head = mutate(head, chance)
        end = head.find(b"\r\n\r\n")
        if not turn % 50:
            reader = RequestReader(shared)
        try:
            found = reader.feed(head)
        except Refusal:
            result: object = "refused"
            reader = RequestReader(shared)
        else:
            result = outcome(found)
            if found is None:
                reader = RequestReader(shared)
        if end < 0:
            assert result in (None, "refused")
            continue
        whole = head[: end + 4].removeprefix(b"\r\n")
        if whole == b"\r\n":
            reader = RequestReader(shared)
            continue
        expected = by_authority(whole, policy())
        assert result == expected, f"differs: {head!r}"
        accepted += expected != "refused"
        of_corpus += expected != "refused" and not ours
    assert accepted > number / 4
    assert of_corpus > number / 30
    assert 0 < len(shared.known) <= MOST_KNOWN


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_the_same_fields_again_make_the_same_head(number: int) -> None:
    reader = RequestReader(policy())
    first = outcome(reader.feed(REQUESTS[number]))
    again = outcome(reader.feed(REQUESTS[number] + b"rest"))
    assert first == again
    assert reader.rest == b"rest"


def test_another_line_before_the_same_fields_is_parsed_and_judged() -> None:
    reader = RequestReader(policy())
    reader.feed(REQUESTS[0])
    fields = REQUESTS[0][REQUESTS[0].index(b"\r\n") :]
    for line in (b"GET /../x HTTP/1.1", b"GET /\0 HTTP/1.1", b"GET / HTTP/2.0", b"get / HTTP/1.1"):
        with pytest.raises(Refusal):
            RequestReader(policy()).feed(line + fields)
        with pytest.raises(Refusal):
            reader.feed(line + fields)
        reader.feed(REQUESTS[0])
    old = reader.feed(b"GET / HTTP/1.0" + fields)
    assert old is not None
    assert old.minor == 0
    other = reader.feed(b"GET http://evil.example/ HTTP/1.0\r\n\r\n")
    assert other is not None
    assert other.host == "evil.example"
    plain = reader.feed(b"GET / HTTP/1.0\r\n\r\n")
    assert plain is not None
    assert plain.host == ""


def test_verdicts_die_with_their_policy() -> None:
    reader = RequestReader(GatePolicy())
    kept = reader.feed(REQUESTS[1])
    assert kept is not None
    assert b"X-User-Id" in kept.lines
    reader.policy = policy()
    removed = reader.feed(REQUESTS[1])
    assert removed is not None
    assert b"X-User-Id" not in removed.lines


def test_no_secret_is_remembered() -> None:
    shared = policy()
    for head in REQUESTS:
        RequestReader(shared).feed(head)
    assert not any(b"Cookie" in line or b"Authorization" in line for line in shared.known)


def response_by_authority(head: bytes, method: str) -> object:
    """What the scan, the rules and h11 say to a whole head that answers a `method` request."""
    try:
        if not is_clean(head) or len(head) > MOST_HEAD:
            return "refused"
        response = judge_response(head, method, MOST_FIELDS)
        _confirm(head, response.interim)
    except Refusal:
        return "refused"
    assert (response.lines, framing_of(response)) == as_h11_reads(head, method), head
    return outcome(response)


def framing_of(head: ResponseHead) -> object:
    """The one thing that ends its body, looked for in all."""
    return [
        *(("bodyless",) if head.bodyless else ()),
        *(("chunked",) if head.chunked and not head.bodyless else ()),
        *((head.content_length,) if head.content_length >= 0 and not head.bodyless else ()),
        *(("close",) if head.until_close else ()),
    ]


def as_h11_reads(head: bytes, method: str) -> tuple[bytes, object]:
    """The lines that go on, and what ends the body, made of what h11 has read and nothing else."""
    connection = h11.Connection(h11.CLIENT, 2 * MOST_HEAD)
    connection.send(_ASKED)
    connection.receive_data(head)
    event = connection.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    options = connection_options(b",".join(v for n, v in event.headers if n == b"connection"))
    kept = [
        b"%b: %b\r\n" % (name, value)
        for name, value in event.headers.raw_items()
        if re.fullmatch(rb"[A-Za-z0-9-]+", name)
        and name.lower() not in OF_ONE_HOP | options
        and not name.lower().startswith(b"proxy-")
    ]
    said = dict(event.headers)
    if method == "HEAD" or event.status_code < 200 or event.status_code in (204, 304):
        framing: object = "bodyless"
    elif b"transfer-encoding" in said:
        framing = "chunked"
    elif b"content-length" in said:
        framing = int(said[b"content-length"])
    else:
        framing = "close"
    return b"".join(kept), [framing]


def compare_responses(number: int, make: Callable[[], ResponseReader] = ResponseReader) -> None:
    """Readers that `make` makes must come to what the authority says."""
    chance = random.Random(42)
    corpus = response_heads()
    accepted = repeated = of_corpus = 0
    reader, head, ours = make(), RESPONSES[0], True
    for _ in range(number):
        # A service's next answer is often like its last one, or nearly.
        if chance.random() < 0.6:
            ours = chance.random() < 0.6
            head = chance.choice(RESPONSES if ours else corpus)
        if chance.random() < 0.5:
            head = mutate(head, chance, RESPONSES)
        elif chance.random() < 0.2:
            head = head[:-2] + chance.choice(LINES) + b"\r\n"
        method = "HEAD" if chance.random() < 0.2 else "GET"
        rest = chance.choice((b"", b"body"))
        end = head.find(b"\r\n\r\n") + 4
        before = reader._last if reader._last_head else None
        try:
            found = reader.feed(head + rest, method)
        except Refusal:
            result: object = "refused"
        else:
            result = outcome(found)
            repeated += found is not None and found is before
        if end < 4:
            assert result in (None, "refused"), head
        else:
            expected = response_by_authority(head[:end], method)
            assert result == expected, f"differs: {head!r}"
            assert result == "refused" or reader.rest == head[end:] + rest
            accepted += result != "refused"
            of_corpus += result != "refused" and not ours
        if result in (None, "refused"):
            reader, head = make(), chance.choice(RESPONSES)
    assert accepted > number / 5
    assert of_corpus > number / 20
    assert repeated > number / 30


def test_response_readers_that_remember_agree_with_h11() -> None:
    compare_responses(amount(20_000, 300_000))


VALUES = [
    *(
        b"session=1; theme=dark",
        b"",
        b" ",
        b"x ",
        b" x",
        b"\tx",
        b"x\t y",
        b"caf\xc3\xa9",
        b"a\x00b",
    ),
    *(b"x\r\nHost: other", b"x\r\n folded", b"x\n", b"\x7f", b"12", b"0", b"-1", b"5, 5", b"+5"),
    *(b"Bearer a.b.c", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"00-bad", b"1.2.3.4"),
    *(b"good-id_1.2", b"bad id", b"x" * 600, b'"etag"', b"chunked", b"close", b"close, cookie"),
]
NAMES = [
    *(b"Cookie", b"If-None-Match", b"Referer", b"Content-Length", b"Authorization", b"traceparent"),
    *(b"X-Request-Id", b"X-Forwarded-For", b"tracestate", b"X-User-Id", b"cookie", b"Range"),
    *(b"X-Api-Key", b"Connection", b"Host", b"User-Agent", b"X_Cookie", b"Transfer-Encoding"),
]
TARGETS = [
    b"/",
    b"/items/42",
    b"/a?b=c",
    b"/a/../b",
    b"/%41",
    b"//x",
    b"/a%2fb",
    b"http://h/x",
    b"*",
]


def test_a_connection_whose_clients_change_some_values_is_read_as_by_the_authority() -> None:
    compare_connections(amount(3_000, 30_000))


def compare_connections(number: int) -> None:
    """Readers whose clients send the same fields with some other values, at times other fields."""
    chance = random.Random(7)
    shared = policy()
    accepted = repeated = several = 0
    for _ in range(number):
        reader = RequestReader(shared)
        names = [b"Host", *chance.sample(NAMES, chance.randint(1, 6))]
        if chance.random() < 0.2:
            names.insert(chance.randint(1, len(names)), chance.choice(names[1:]))
        values = [b"api.example.com", *(chance.choice(VALUES) for _ in names[1:])]
        if chance.random() < 0.1:
            names = [b"Host", b"Expect", b"Content-Length"]
            values = [b"api.example.com", b"100-continue", b"12"]
        moving = chance.sample(range(1, len(names)), min(len(names) - 1, chance.randint(1, 4)))
        method = chance.choice((b"GET", b"GET", b"GET", b"POST", b"OPTIONS", b"get"))
        for _ in range(12):
            for at in moving:
                if chance.random() < 0.8:
                    values[at] = b"%d" % chance.randrange(99)
                if chance.random() < 0.1:
                    values[at] = chance.choice(VALUES)
            if chance.random() < 0.05:
                values[chance.randrange(len(names))] = chance.choice(VALUES)
            if chance.random() < 0.05:
                names[-1] = chance.choice(NAMES)
            version = b"1.0" if chance.random() < 0.05 else b"1.1"
            target = b"/items/%d" % chance.randrange(99)
            if chance.random() < 0.2:
                target = chance.choice(TARGETS)
            line = b"%b %b HTTP/%b" % (method, target, version)
            fields = [b"%b: %b" % pair for pair in zip(names, values, strict=True)]
            head = b"\r\n".join((line, *fields, b"", b""))
            expected = by_authority(head, policy()) if head.count(b"\r\n\r\n") == 1 else None
            if reader.again(head + b"rest") is not None:
                repeated += 1
                several += len(reader._changes) > 1
            try:
                result: object = outcome(reader.feed(head + b"rest"))
            except Refusal:
                result = "refused"
            if expected is not None:
                assert result == expected, f"differs: {head!r}"
            if result == "refused":
                reader = RequestReader(shared)
            elif expected is not None:
                assert reader.rest == b"rest"
                accepted += 1
    assert accepted > 2.5 * number
    assert repeated > number / 2
    assert several > number / 7


POLICIES: list[Callable[[], GatePolicy]] = [
    policy,
    GatePolicy,
    lambda: GatePolicy(max_head=220, max_fields=6, max_target=12, odd_names="reject"),
    lambda: GatePolicy(odd_names="forward", removed=frozenset({b"cookie", b"range"})),
]
Fields = list[tuple[bytes, bytes]]
Edit = Callable[[Fields], None]
Step = tuple[list[Edit], bytes, int, bytes]
"""What happens to the fields of the head before, the request line, which policy, what is behind."""
REST = (b"", b"", b"rest", b"\r\n", b"GET / HT", b"GET /next HTTP/1.1\r\nHost: y\r\n\r\n")

LOOSE = [
    *(b"Cookie", b"If-None-Match", b"Referer", b"Content-Length", b"Authorization", b"cookie"),
    *(b"X-Request-Id", b"X-Forwarded-For", b"Range", b"X-Api-Key", b"If-Match", b"X-User-Id"),
]
"""Names whose lines are known by the name alone, once one was seen."""


def weighted(*choices: tuple[int, st.SearchStrategy]) -> st.SearchStrategy:
    """One of several, each as often as its number says: `one_of` takes no strategy twice."""
    return st.sampled_from([each for times, each in choices for _ in range(times)]).flatmap(
        lambda each: each
    )


places = st.integers(0, 7)
short = st.text("ab 1,;=-\t:", max_size=6).map(str.encode)
usual = st.integers(0, 99).map(b"%d".__mod__)
written = weighted((12, usual), (1, short), (1, st.sampled_from(VALUES)))
named = weighted(
    (4, st.sampled_from(LOOSE)), (1, st.sampled_from([b"Host", b"Accept", b"X-Odd", *NAMES]))
)
fields_of_heads = st.lists(
    st.tuples(st.sampled_from(LOOSE), usual),
    min_size=2,
    max_size=6,
    unique_by=lambda field: field[0].lower(),
)


def change(at: int, value: bytes) -> Edit:
    def edit(fields: Fields) -> None:
        if len(fields) > 2:  # the first are Host and Connection
            place = 2 + at % (len(fields) - 2)
            fields[place] = (fields[place][0], value)

    return edit


def insert(at: int, field: tuple[bytes, bytes]) -> Edit:
    return lambda fields: fields.insert(at % (len(fields) + 1), field)


def repeat(at: int, where: int) -> Edit:
    def edit(fields: Fields) -> None:
        if fields:
            fields.insert(where % (len(fields) + 1), fields[at % len(fields)])

    return edit


def remove(at: int) -> Edit:
    def edit(fields: Fields) -> None:
        if fields:
            del fields[at % len(fields)]

    return edit


edits = weighted(
    # Most often what a client does: another value where there was one.
    (24, st.builds(change, places, written)),
    (1, st.builds(insert, places, st.tuples(named, written))),
    (1, st.builds(repeat, places, places)),
    (1, st.builds(remove, places)),
)
request_lines = weighted(
    (8, st.just(b"GET /items/42 HTTP/1.1")),
    (8, st.sampled_from([b"POST /x HTTP/1.1", b"HEAD /a?b HTTP/1.1", b"OPTIONS / HTTP/1.1"])),
    (3, st.just(b"GET /y HTTP/1.0")),
    (
        1,
        st.builds(
            lambda *parts: b"%b %b HTTP/%b" % parts,
            st.sampled_from([b"GET", b"PUT", b"OPTIONS", b"CONNECT", b"get", b"M-X"]),
            st.sampled_from([*TARGETS, b"/a?b", b"/x/1234567890"]),
            st.sampled_from([b"1.1", b"1.1", b"1.0", b"2.0"]),
        ),
    ),
)
steps = st.lists(
    st.tuples(
        st.lists(edits, min_size=1, max_size=3),
        request_lines,
        weighted((20, st.just(-1)), (1, st.sampled_from(range(len(POLICIES))))),
        st.sampled_from(REST),
    ),
    min_size=8,
    max_size=20,
)


def drive(fields: Fields, steps: list[Step], in_force: list[GatePolicy]) -> None:
    """Send one reader head after head, each made of the one before; each must be taken as the
    authority takes it under the policy of then. `in_force` are policies as POLICIES makes them."""
    fields = [(b"Host", b"api.example.com"), (b"Connection", b"keep-alive"), *fields]
    number = 0
    reader = RequestReader(in_force[number])
    for turn, (changes, line, other, rest) in enumerate(steps):
        before = [*fields]
        if turn:  # the fields as they are come first
            for edit in changes:
                edit(fields)
        if other >= 0:
            number = other
            reader.policy = in_force[number]
        lines = (line, *(b"%b: %b" % field for field in fields))
        head = b"".join(text + b"\r\n" for text in lines) + b"\r\n"
        try:
            result: object = outcome(reader.feed(head + rest))
        except Refusal:
            result = "refused"
        assert result == by_authority(head, POLICIES[number]()), f"differs: {head!r}"
        if result == "refused":
            # What all connections know stays known, and this client will do better.
            reader, fields = RequestReader(in_force[number]), before
        else:
            assert reader.rest == rest, f"differs: {head!r}"


@settings(max_examples=amount(300, 5_000), deadline=None)
@given(fields_of_heads, steps)
def test_one_reader_takes_any_heads_in_a_row_as_the_authority_does(
    fields: Fields, steps: list[Step]
) -> None:
    drive(fields, steps, [make() for make in POLICIES])


def test_of_two_lines_that_were_equal_the_one_that_changes_is_no_guess() -> None:
    reader = RequestReader(policy())
    for second in (b"b", b"a", b"c", b"d"):
        head = b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a\r\nCookie: %b\r\n\r\n" % second
        assert outcome(reader.feed(head)) == by_authority(head, policy())


# Planted faults: each must make one of the comparisons above fail.


@pytest.mark.plain
@pytest.mark.parametrize("fault", ["value", "shape", "put", "kind"])
def test_the_comparison_catches_a_tier_that_is_too_lax(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "value":  # a loose line with anything in it
        lax = re.compile(rb"([^:]+): ([^\r]*)").fullmatch
        monkeypatch.setattr("gwd.http.recall.match_loose", lax)
    elif fault == "shape":  # a shape whatever Connection takes away
        monkeypatch.setattr("gwd.http.recall._CONDITIONAL", frozenset())
    elif fault == "put":  # the value of another request
        monkeypatch.setattr("gwd.http.last_head.put", lambda kind, value, head: None)
    else:  # a value that means something taken for one that does not
        monkeypatch.setattr("gwd.http.recall._VALUED", frozenset())
        monkeypatch.setattr("gwd.http.recall._LOOSE", frozenset(range(14)))
    with pytest.raises(AssertionError, match="differs"):
        compare_connections(2_000)


class OneOfAKind(dict):
    """Shapes in which a second line of `kind` does not count."""

    def __init__(self, kind: int) -> None:
        super().__init__()
        self.kind = kind

    def get(self, key: tuple, default: object = None) -> object:
        minor, *verdicts = key
        of_kind = [at for at, field in enumerate(verdicts) if field.kind == self.kind]
        return super().get(
            (minor, *(field for at, field in enumerate(verdicts) if at not in of_kind[1:])), default
        )


@pytest.mark.plain
@pytest.mark.parametrize("kind", [Kind.HOST, Kind.LENGTH, Kind.AUTHORIZATION])
def test_a_second_field_let_through_by_shapes_is_seen(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lax() -> GatePolicy:
        made = GatePolicy(removed=frozenset({b"x-user-id"}))
        made.shapes = OneOfAKind(kind)
        return made

    monkeypatch.setitem(globals(), "policy", lax)
    with pytest.raises(AssertionError, match="differs"):
        compare_connections(2_000)


class OfAnyPolicy(RequestReader):
    def again(self, data: bytes) -> RequestHead | None:
        self._followed = self.policy
        return super().again(data)


def match_any_version(data: bytes) -> re.Match[bytes] | None:
    return match_plain_1_1(re.sub(rb"1\.0\r\n", b"1.1\r\n", data, count=1))


class WithoutEnd(RequestReader):
    """Does not look whether the lines behind the last one that changes end there."""

    def again(self, data: bytes) -> RequestHead | None:
        self._after = self._after[:-4]
        return super().again(data)


@pytest.mark.plain
@pytest.mark.parametrize("fault", ["known", "shapes", "policy", "version", "end"])
def test_a_memory_that_lasts_too_long_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lax = {"policy": OfAnyPolicy, "end": WithoutEnd}
    monkeypatch.setitem(globals(), "RequestReader", lax.get(fault, RequestReader))
    if fault == "version":
        monkeypatch.setattr("gwd.http.last_head.match_plain_1_1", match_any_version)

    @settings(
        max_examples=1_000,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # that it is found is enough
        report_multiple_bugs=False,
    )
    @given(fields_of_heads, steps)
    def compare(fields: Fields, steps: list[Step]) -> None:
        in_force = [make() for make in POLICIES]
        if fault in ("known", "shapes"):  # verdicts that outlive their policy
            for each in in_force:
                each.known, each.loose = in_force[0].known, in_force[0].loose
                if fault == "shapes":
                    each.shapes = in_force[0].shapes
        drive(fields, steps, in_force)

    with pytest.raises(AssertionError, match="differs"):
        compare()


class OfAnyMethod(ResponseReader):
    def feed(self, data: bytes, method: str) -> ResponseHead | None:
        self._last_method = method
        return super().feed(data, method)


class OfAnyEnd(ResponseReader):
    """Takes for the last head what goes on where that had its empty line."""

    def feed(self, data: bytes, method: str) -> ResponseHead | None:
        last = self._last_head[:-2]
        if last and method == self._last_method and data.startswith(last):
            self.rest = data[data.index(b"\r\n\r\n") + 4 :]
            return self._last
        return super().feed(data, method)


class OfAnyFields(ResponseReader):
    """Takes for the last head what has its status line and its size."""

    def feed(self, data: bytes, method: str) -> ResponseHead | None:
        last, end = self._last_head, data.find(b"\r\n\r\n") + 4
        line_end = last.find(b"\r\n")
        alike = end == len(last) and data.startswith(last[: line_end + 2])
        if last and alike and method == self._last_method:
            self.rest = data[end:]
            return self._last
        return super().feed(data, method)


@pytest.mark.plain
@pytest.mark.parametrize("make", [OfAnyMethod, OfAnyEnd, OfAnyFields])
def test_an_answer_remembered_for_another_one_is_seen(make: type[ResponseReader]) -> None:
    with pytest.raises(AssertionError, match="differs"):
        compare_responses(20_000, make)


@pytest.mark.plain
@pytest.mark.parametrize(
    ("name", "lax"),
    [
        ("gate.is_clean", lambda head: True),
        ("response.TOKEN", re.compile(rb".*")),
        ("response._DROPPED", frozenset()),
        ("response._FORWARDED", frozenset({b"connection"})),
        ("response._FORWARDED", frozenset({b"content-length"})),
    ],
)
def test_a_response_judged_too_laxly_is_seen(
    name: str, lax: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"gwd.http.{name}", lax)
    with pytest.raises(AssertionError):
        compare_responses(20_000)
