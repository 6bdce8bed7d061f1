"""The rate of one route: a token bucket per address, header value or claim, over all workers.

Strategy. What a request is counted by is its key; the counting is the limiter's. By address or
header it happens before authentication, so that a flood of bad tokens costs a look; by claim after
it, for only a verified token says who somebody is (DESIGN §4.8).

Invariants:

- Nobody escapes by leaving the key out: a request without the header or the claim, or with an empty
  one, is counted by its address, as is a claim that is no text, number or truth value.
- A key that clients choose is bounded: what is long is hashed, and no hash is as short as a key
  that stands for itself. How many keys they make up is bounded by `limits.per_ip` only.
- Subjects of two issuers are two, whatever they are called.
- Exempt addresses are not limited here either. Refusals are no strikes: they ban nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import blake2b

from gwd.config.snapshot import Rate
from gwd.config.units import default_burst
from gwd.http.problem import Refusal
from gwd.policies.claims import find_claim
from gwd.policies.interface import Request
from gwd.policies.quota import Quota
from gwd.segment.limiter import Limiter
from gwd.segment.memory import Segment

LONGEST_KEY = 63
"""Bytes of a key that stands for itself; a hash has 64."""

Admit = Callable[[bytes, int], int]
KeyOf = Callable[[Request], bytes]


class RateLimit:
    """A policy on how often: `Limiter` by what `rate_key` names.

    Without a `segment` (where no gateway runs) it counts nothing and admits everybody. Raises
    ValueError for a `rate_key` that is none, and for rates that no limiter has.
    """

    __slots__ = ("_admit", "_admit_address", "_clock", "_key", "_quota", "_text")

    def __init__(
        self,
        name: str,
        rate: Rate,
        rate_key: str = "ip",
        *,
        issuers: int = 1,
        segment: Segment | None = None,
        column: int = 0,
        ipv6_prefix: int = 64,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`name`: the route's. `issuers`: how many verifiers may have judged a claim. `clock`:
        monotonic nanoseconds."""
        kind, _, key_name = rate_key.partition(":")
        self._key: KeyOf | None = None
        if kind == "header" and key_name:
            self._key = _header_key(key_name)
        elif kind == "claim" and key_name:
            self._key = _claim_key(key_name, issuers > 1)
        elif rate_key != "ip":
            raise ValueError(f'rate_key: {rate_key!r} is not "ip", "claim:NAME" or "header:NAME"')
        self._clock = clock
        self._quota = Quota(name, rate.per_second, rate.burst, "Too many requests on this route.")
        self._text = _told(rate, kind, key_name)
        self._admit: Admit = _admit_all
        self._admit_address: Admit = _admit_all
        if segment is not None:
            # Another key is another count; another rate is one anyway.
            rule = f"route {rate_key} {name}".encode()
            limiter = Limiter(
                segment, column, rule, rate.per_second, rate.burst, ipv6_prefix=ipv6_prefix
            )
            self._admit_address = limiter.admit
            if self._key is not None:
                self._admit = Limiter(
                    segment, column, rule, rate.per_second, rate.burst, opaque=True
                ).admit

    def __str__(self) -> str:
        return self._text

    def __call__(self, request: Request) -> Refusal | None:
        visitor = request.visitor
        if visitor.exempt:
            return None
        now_us = self._clock() // 1000
        key = b"" if self._key is None else self._key(request)
        wait = self._admit(key, now_us) if key else self._admit_address(visitor.key, now_us)
        return self._quota.refusal(wait) if wait else None


def _admit_all(_key: bytes, _now_us: int) -> int:
    return 0


def _told(rate: Rate, kind: str, key_name: str) -> str:
    text = rate.text
    if rate.burst != default_burst(rate.per_second):
        text += f" burst {rate.burst}"
    return f"{text} by {kind} {key_name}" if key_name else text


def _header_key(name: str) -> KeyOf:
    field = name.lower().encode("ascii")

    def key(request: Request) -> bytes:
        return _bounded(request.head.get(field) or b"")

    return key


def _claim_key(path: str, several_issuers: bool) -> KeyOf:
    def key(request: Request) -> bytes:
        claims = request.claims
        value = None if claims is None else find_claim(claims, path)
        if value is None or value == "" or not isinstance(value, str | int | float):
            return b""
        text = str(value)
        if several_issuers and claims is not None:
            text = f"{claims.get('iss')}\0{text}"
        # JSON can say half a surrogate pair, which no UTF-8 has.
        return _bounded(text.encode("utf-8", "surrogatepass"))

    return key


def _bounded(key: bytes) -> bytes:
    return key if len(key) <= LONGEST_KEY else blake2b(key).digest()
