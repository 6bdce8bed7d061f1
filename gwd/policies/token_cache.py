"""Tokens that were verified before, by the exact bytes of the Authorization field (SEC-36).

Strategy: two generations. What is found or stored goes into the young one; when that is full it
becomes the old one, and the old one is dropped. So the cache keeps what is used, needs no order
and no clean-up, and every operation is one or two dictionary look-ups. The young dictionary is
always the same object: the hot path may keep its `get`. Bounded in entries and in bytes, each
generation to half. It holds verified tokens only: strangers cannot fill it, and a
client that owns one good token can add no more than its few spellings.

An entry says from when until when it may be used; the caller compares, on each hit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

MAX_ENTRIES = 16384
MAX_BYTES = 16 * 1024 * 1024
_ENTRY_BYTES = 600
"""An entry without its claims: the object, its sets, strings and lines, its place in a dict."""


class Verified:
    """A token that was found good, with all that a request needs of it.

    It may be used while `since <= now < until`, seconds since 1970. `size` is for the cache.
    """

    __slots__ = ("claims", "lines", "scopes", "since", "size", "subject", "until")

    def __init__(
        self,
        since: float,
        until: float,
        claims: Mapping[str, Any],
        subject: str,
        scopes: frozenset[str],
        lines: bytes,
    ) -> None:
        self.since = since
        self.until = until
        self.claims = MappingProxyType(dict(claims))
        self.subject = subject
        self.scopes = scopes
        self.lines = lines
        self.size = _ENTRY_BYTES + len(lines) + footprint(claims)


class VerifiedTokens:
    """The cache of one verifier in one process; it dies with its verifier."""

    __slots__ = ("_half_bytes", "_half_entries", "_old", "_old_bytes", "_young_bytes", "young")

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._half_entries = max_entries // 2
        self._half_bytes = max_bytes // 2
        self.young: dict[bytes, Verified] = {}
        self._old: dict[bytes, Verified] = {}
        self._young_bytes = 0
        self._old_bytes = 0

    def get(self, authorization: bytes) -> Verified | None:
        """What was stored under these bytes, whether or not it still holds."""
        verified = self.young.get(authorization)
        if verified is None:
            verified = self._old.get(authorization)
            if verified is not None:
                self.put(authorization, verified)
        return verified

    def put(self, authorization: bytes, verified: Verified) -> None:
        size = verified.size + len(authorization)
        if size > self._half_bytes:
            return
        replaced = self.young.pop(authorization, None)
        if replaced is not None:
            self._young_bytes -= replaced.size + len(authorization)
        if len(self.young) >= self._half_entries or self._young_bytes + size > self._half_bytes:
            self._old = dict(self.young)
            self._old_bytes = self._young_bytes
            self.young.clear()
            self._young_bytes = 0
        self.young[authorization] = verified
        self._young_bytes += size

    @property
    def entries(self) -> int:
        return len(self.young) + len(self._old)

    @property
    def held(self) -> int:
        """Bytes of memory, estimated from above."""
        return self._young_bytes + self._old_bytes


def footprint(claims: Mapping[str, Any]) -> int:
    """Bytes of memory that parsed JSON holds: an empty list takes 3 bytes of a token and 56 here,
    so the length of the token would be no bound. Without recursion, whatever the nesting."""
    total = 0
    stack: list[Any] = [dict(claims)]
    while stack:
        value = stack.pop()
        total += sys.getsizeof(value)
        if isinstance(value, dict):
            stack.extend(value)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return total
