from __future__ import annotations

import json
import math
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.config import units
from gwd.http.problem import problem_response
from gwd.policies.quota import EXCEEDED, MOST_WINDOW, Quota, whole

COUNTS = st.integers(1, 999_999_999)


@pytest.mark.parametrize(
    ("rate", "count", "window"),
    [
        ("100/s", 100, 1),
        ("1/s", 1, 1),
        ("6000/m", 100, 1),
        ("30/m", 1, 2),
        ("10/m", 1, 6),
        ("90/m", 3, 2),
        ("7/h", 7, 3600),
        ("50/h", 1, 72),
        ("1/h", 1, 3600),
    ],
)
def test_a_rate_is_told_in_the_smallest_whole_window(rate: str, count: int, window: int) -> None:
    assert whole(units.rate(rate)) == (count, window)


@given(COUNTS, st.sampled_from([("s", 1), ("m", 60), ("h", 3600)]))
def test_what_is_told_is_the_rate_exactly_and_in_no_smaller_window(
    count: int, unit: tuple[str, int]
) -> None:
    letter, seconds = unit
    told, window = whole(units.rate(f"{count}/{letter}"))
    exact = Fraction(count, seconds)
    assert Fraction(told, window) == exact
    assert window == exact.denominator


@given(st.floats(1e-9, 1e9, allow_nan=False))
def test_any_rate_is_told_in_whole_numbers_of_at_least_one(per_second: float) -> None:
    count, window = whole(per_second)
    assert count >= 1
    assert 1 <= window <= MOST_WINDOW


@given(st.integers(1, 10**12), COUNTS, st.integers(1, 1_000_000))
def test_nobody_is_told_to_come_again_too_early(wait_us: int, count: int, burst: int) -> None:
    quota = Quota("orders", float(count), burst, "Too many.")
    fields = dict(quota.refusal(wait_us).headers)
    seconds = int(fields["Retry-After"])
    assert seconds == math.ceil(Fraction(wait_us, 1_000_000)) >= 1
    limit = re.fullmatch(r'"orders";r=0;t=(\d+)', fields["RateLimit"])
    assert limit is not None
    assert int(limit[1]) <= seconds  # draft-10: Retry-After does not lie before t
    policy = re.fullmatch(r'"orders";q=(\d+);w=(\d+);gwd-burst=(\d+)', fields["RateLimit-Policy"])
    assert policy is not None
    assert [int(number) for number in policy.groups()] == [count, 1, burst]


def test_the_answer_is_a_problem_that_names_the_policy_it_violates() -> None:
    refusal = Quota("per-ip", 100.0, 50, "Too many.").refusal(1)
    head = problem_response(refusal, "id", minor=1, head_only=False, close=False)
    body = json.loads(head.partition(b"\r\n\r\n")[2])
    assert body == {
        "type": EXCEEDED,
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Too many.",
        "request_id": "id",
        "violated-policies": ["per-ip"],
    }


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
def test_a_name_is_quoted_so_that_it_reads_back(name: str) -> None:
    """RFC 9651 section 4.2.5: in a string, a backslash stands before a quote or another one."""
    limit = dict(Quota(name, 1.0, 1, "").refusal(1).headers)["RateLimit"]
    string = re.fullmatch(r'"((?:[^"\\]|\\["\\])*)";r=0;t=1', limit)
    assert string is not None
    assert re.sub(r'\\(["\\])', r"\1", string[1]) == name
