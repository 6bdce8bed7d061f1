"""A route's rate, counted in a real segment: by whom, and what those are told who are over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.config.snapshot import Rate
from gwd.http.head import RequestHead
from gwd.policies import RateLimit, Request, Visitor
from gwd.segment.layout import ROW_HIGH, ROW_KIND, ROW_LOW, ROW_MARK
from gwd.segment.memory import Segment

NOW = 5_000_000_000_000
"""Monotonic ns."""
SECOND = 1_000_000_000
RATE = Rate(1.0, 3, "1/s")

RequestWith = Callable[..., Request]
MakeLimit = Callable[..., RateLimit]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(segment: Segment, clock: Clock) -> MakeLimit:
    """`limit("header:X-Key")` is the limit of the route "orders": 3 at once, then 1/s."""

    def make(rate_key: str = "ip", name: str = "orders", rate: Rate = RATE, **more: Any) -> Any:
        return RateLimit(name, rate, rate_key, segment=segment, clock=clock, **more)

    return make


def admitted(limit: RateLimit, request: Request, asked: int = 6) -> int:
    """How many of so many requests pass at once."""
    return sum(limit(request) is None for _ in range(asked))


def with_claims(request: Request, claims: Mapping[str, Any] | None) -> Request:
    request.claims = claims
    return request


def test_who_is_over_it_is_told_when_to_come_again(
    limit: MakeLimit, clock: Clock, request_with: RequestWith
) -> None:
    route = limit()
    assert admitted(route, request_with()) == 3
    refusal = route(request_with())
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (429, "rate_limited")
    assert not refusal.close
    fields = dict(refusal.headers)
    assert fields["RateLimit"] == '"orders";r=0;t=1'
    assert fields["RateLimit-Policy"] == '"orders";q=1;w=1;gwd-burst=3'
    assert fields["Retry-After"] == "1"
    clock.now += SECOND
    assert admitted(route, request_with()) == 1


def test_it_is_one_limit_over_all_workers(limit: MakeLimit, request_with: RequestWith) -> None:
    workers = [limit(column=column) for column in range(3)]
    assert [worker(request_with()) for worker in workers] == [None, None, None]
    assert None not in [worker(request_with()) for worker in workers]


def test_it_goes_on_over_a_reload_that_leaves_it_as_it_was(
    limit: MakeLimit, request_with: RequestWith
) -> None:
    assert admitted(limit(), request_with()) == 3
    assert admitted(limit(), request_with()) == 0
    assert admitted(limit(rate=Rate(1.0, 5, "1/s")), request_with(), 9) == 5


def test_routes_and_addresses_are_counted_apart(
    limit: MakeLimit, request_with: RequestWith
) -> None:
    assert admitted(limit(), request_with(client_ip="192.0.2.1")) == 3
    assert admitted(limit(), request_with(client_ip="192.0.2.2")) == 3
    assert admitted(limit(name="cart"), request_with(client_ip="192.0.2.1")) == 3


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("192.0.2.1", "64:ff9b::192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
    ],
)
def test_one_address_in_two_spellings_is_one(
    limit: MakeLimit, request_with: RequestWith, one: str, same: str
) -> None:
    assert admitted(limit(), request_with(client_ip=one)) == 3
    assert admitted(limit(), request_with(client_ip=same)) == 0


def test_the_address_stands_in_its_row_and_a_key_in_none(
    limit: MakeLimit, request_with: RequestWith, segment: Segment
) -> None:
    limit()(request_with(client_ip="2001:db8::1"))
    limit("header:X-Key")(request_with(lines=b"X-Key: secret\r\n"))
    places = segment.layout.addresses
    rows = [segment.words[places.row(n) : places.row(n + 1)].tolist() for n in range(places.rows)]
    found = sorted(row[ROW_KIND : ROW_LOW + 1] for row in rows if row[ROW_MARK])
    assert found == [[0, 0, 0], [6 << 8 | 64, 0x20010DB8 << 32, 0]]
    assert ROW_HIGH == ROW_KIND + 1


def test_exempt_addresses_are_not_limited(limit: MakeLimit, request_with: RequestWith) -> None:
    for rate_key in ("ip", "header:X-Key"):
        request = request_with(lines=b"X-Key: a\r\n", exempt=True)
        assert admitted(limit(rate_key), request) == 6


def test_without_a_segment_nothing_is_counted(request_with: RequestWith) -> None:
    limit = RateLimit("orders", RATE, "header:X-Key")
    assert admitted(limit, request_with()) == 6
    assert admitted(limit, request_with(lines=b"X-Key: a\r\n")) == 6


# by header


def test_two_header_values_do_not_disturb_each_other(
    limit: MakeLimit, request_with: RequestWith
) -> None:
    route = limit("header:X-Api-Key")
    assert admitted(route, request_with(lines=b"x-api-key: a\r\n")) == 3
    assert admitted(route, request_with(lines=b"X-API-KEY: b\r\n")) == 3
    other = request_with(lines=b"Accept: */*\r\nX-Api-Key: a\r\n", client_ip="192.0.2.9")
    assert admitted(route, other) == 0


@pytest.mark.parametrize("lines", [b"", b"X-Api-Key: \r\n", b"X-Api-Key-2: a\r\n"])
def test_who_leaves_the_header_out_is_counted_by_its_address(
    limit: MakeLimit, request_with: RequestWith, lines: bytes
) -> None:
    route = limit("header:X-Api-Key")
    assert admitted(route, request_with(lines=lines)) == 3
    assert admitted(route, request_with()) == 0
    assert admitted(route, request_with(lines=b"X-Api-Key: a\r\n")) == 3
    assert admitted(route, request_with(client_ip="192.0.2.2")) == 3


def test_no_header_value_is_an_address(limit: MakeLimit, request_with: RequestWith) -> None:
    route = limit("header:X-Api-Key")
    assert admitted(route, request_with(client_ip="97.98.99.100")) == 3
    assert admitted(route, request_with(lines=b"X-Api-Key: abcd\r\n")) == 3


def test_long_keys_are_told_apart_to_their_last_byte(
    limit: MakeLimit, request_with: RequestWith
) -> None:
    route = limit("header:X-Api-Key")
    for last in (b"a", b"b"):
        lines = b"X-Api-Key: %b%b\r\n" % (b"x" * 20_000, last)
        assert admitted(route, request_with(lines=lines)) == 3
        assert admitted(route, request_with(lines=lines)) == 0


# by claim


@pytest.mark.parametrize(
    ("path", "one", "two"),
    [
        ("sub", {"sub": "ada"}, {"sub": "bob"}),
        ("org.id", {"org": {"id": 7}}, {"org": {"id": 8}}),
        ("https://x.example/plan", {"https://x.example/plan": True}, {"sub": "y", "z": 1}),
        ("sub", {"sub": "x" * 5000 + "a"}, {"sub": "x" * 5000 + "b"}),
        ("sub", {"sub": "\ud800"}, {"sub": "\udfff"}),
        ("n", {"n": 1.5}, {"n": 10**4000}),
    ],
)
def test_two_subjects_do_not_disturb_each_other(
    limit: MakeLimit,
    request_with: RequestWith,
    path: str,
    one: Mapping[str, Any],
    two: Mapping[str, Any],
) -> None:
    route = limit(f"claim:{path}")
    for claims in (one, two):
        assert admitted(route, with_claims(request_with(), claims)) == 3
    other = with_claims(request_with(client_ip="192.0.2.9"), one)
    assert admitted(route, other) == 0


@pytest.mark.parametrize("claims", [None, {}, {"sub": ""}, {"sub": None}, {"sub": ["ada"]}])
def test_who_has_no_such_claim_is_counted_by_its_address(
    limit: MakeLimit, request_with: RequestWith, claims: Mapping[str, Any] | None
) -> None:
    route = limit("claim:sub")
    assert admitted(route, with_claims(request_with(), claims)) == 3
    assert admitted(route, with_claims(request_with(), claims)) == 0
    assert admitted(route, with_claims(request_with(), {"sub": "ada"})) == 3
    assert admitted(route, with_claims(request_with(client_ip="192.0.2.9"), claims)) == 3


def test_subjects_of_two_issuers_are_two(limit: MakeLimit, request_with: RequestWith) -> None:
    route = limit("claim:sub", issuers=2)
    for issuer in ("https://a.example", "https://b.example"):
        claims = {"iss": issuer, "sub": "ada"}
        assert admitted(route, with_claims(request_with(), claims)) == 3
    assert admitted(route, with_claims(request_with(), {"iss": "https://a.example", "sub": "b"}))


# what it says, and what it refuses to be


@pytest.mark.parametrize(
    ("rate", "rate_key", "step"),
    [
        (Rate(20.0, 20, "20/s"), "ip", "20/s"),
        (Rate(0.5, 1, "30/m"), "ip", "30/m"),
        (Rate(20.0, 40, "20/s"), "header:X-Api-Key", "20/s burst 40 by header X-Api-Key"),
        (Rate(20.0, 20, "20/s"), "claim:sub", "20/s by claim sub"),
    ],
)
def test_the_step_says_how_often_and_by_what(rate: Rate, rate_key: str, step: str) -> None:
    assert str(RateLimit("orders", rate, rate_key)) == step


@pytest.mark.parametrize("rate_key", ["", "IP", "header:", "claim:", "cookie:a", "header"])
def test_what_is_no_key_is_an_error(rate_key: str) -> None:
    with pytest.raises(ValueError, match="rate_key"):
        RateLimit("orders", RATE, rate_key)


VISITOR = Visitor("192.0.2.1", bytes([192, 0, 2, 1]), exempt=False, trusted=False, refusal=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class Seen:
    """Takes a limiter's place to see what it is asked for."""

    def __init__(self, limit: RateLimit) -> None:
        self.keys: list[bytes] = []
        limit._admit = self

    def __call__(self, key: bytes, now_us: int) -> int:
        self.keys.append(key)
        return 0


@given(st.lists(st.binary(max_size=200).filter(lambda v: b"\r" not in v and b"\n" not in v)))
def test_header_keys_are_short_and_differ_as_their_values_do(values: list[bytes]) -> None:
    limit = RateLimit("orders", RATE, "header:X-Key")
    seen = Seen(limit)
    for value in values:
        head = RequestHead()
        head.lines = b"X-Key: %b\r\n" % value
        assert limit(Request(head, VISITOR, "orders")) is None
    assert len(seen.keys) == len([value for value in values if value])
    assert len(set(seen.keys)) == len({value for value in values if value})
    assert all(0 < len(key) <= 64 for key in seen.keys)


@given(JSON, st.sampled_from([1, 2]))
def test_no_claim_is_too_odd_to_be_counted(value: Any, issuers: int) -> None:
    limit = RateLimit("orders", RATE, "claim:sub", issuers=issuers)
    seen = Seen(limit)
    request = with_claims(Request(RequestHead(), VISITOR, "orders"), {"sub": value})
    assert limit(request) is None
    assert all(0 < len(key) <= 64 for key in seen.keys)
