from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gwd.policies.token_cache import Verified, VerifiedTokens, footprint


def verified(claims: dict[str, Any] | None = None) -> Verified:
    return Verified(0.0, 1.0, claims or {}, "ada", frozenset(), b"")


def test_what_was_stored_is_found_until_two_generations_are_full() -> None:
    cache = VerifiedTokens(max_entries=8)
    first = verified()
    cache.put(b"first", first)
    for number in range(7):
        cache.put(b"%d" % number, verified())
    assert cache.get(b"first") is first
    for number in range(20):
        cache.put(b"new %d" % number, verified())
    assert cache.get(b"first") is None
    assert cache.entries <= 8


def test_what_is_used_stays() -> None:
    cache = VerifiedTokens(max_entries=8)
    busy = verified()
    cache.put(b"busy", busy)
    for number in range(100):
        cache.put(b"%d" % number, verified())
        assert cache.get(b"busy") is busy


def test_the_young_generation_is_always_the_same_object() -> None:
    cache = VerifiedTokens(max_entries=4)
    look_up = cache.young.get
    for number in range(10):
        key = b"%d" % number
        cache.put(key, verified())
        assert look_up(key) is cache.get(key)


def test_the_claims_of_a_verified_token_are_read_only() -> None:
    claims = verified({"sub": "ada"}).claims
    assert not hasattr(claims, "__setitem__")


def test_one_token_too_large_for_the_cache_is_not_stored() -> None:
    cache = VerifiedTokens(max_bytes=4000)
    cache.put(b"k", verified({"claim": "x" * 4000}))
    assert cache.entries == cache.held == 0


def test_memory_is_counted_as_it_is_held_not_as_it_was_written() -> None:
    text = json.dumps({"a": [[] for _ in range(1000)]})
    assert footprint(json.loads(text)) > 10 * len(text)
    deep: Any = {}
    for _ in range(5000):
        deep = [deep]
    assert footprint({"a": deep}) > 5000 * 56


class Cache(RuleBasedStateMachine):
    """Bounds, and what is found is what was stored last under that key."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = VerifiedTokens(max_entries=6, max_bytes=20_000)
        self.stored: dict[bytes, Verified] = {}

    @rule(key=st.integers(0, 12).map(b"%d".__mod__), length=st.integers(0, 6000))
    def put(self, key: bytes, length: int) -> None:
        self.stored[key] = verified({"c": "x" * length})
        self.cache.put(key, self.stored[key])

    @rule(key=st.integers(0, 12).map(b"%d".__mod__))
    def get(self, key: bytes) -> None:
        found = self.cache.get(key)
        assert found is None or found is self.stored[key]

    @invariant()
    def is_bounded(self) -> None:
        assert self.cache.entries <= 6
        assert 0 <= self.cache.held <= 20_000


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers()), max_size=3))
def test_the_footprint_is_at_least_that_of_every_part(claims: dict[str, Any]) -> None:
    assert footprint(claims) >= sum(v.__sizeof__() for v in claims.values())
