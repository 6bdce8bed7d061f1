"""Which endpoint comes next: pure choices over weights, load and usability.

Strategy. A balancer is made once per config from the endpoints in their order, and asked once per
attempt. It reads of an endpoint only what `Candidate` names, keeps no clock and no I/O, and its
own memory is what its algorithm needs: whose turn it is. What holds for all of them:

- an endpoint that is excluded (tried already) or not usable is never picked;
- if any other is left, one is picked; None means there is none;
- over many picks among endpoints that stay usable, each gets its share by weight (for
  `LeastRequests`: while their loads are equal);
- an endpoint that comes back is owed nothing for the time it was away, so it meets no burst.

The usual pick looks at one or two endpoints, however many there are; only unequal weights in
`RoundRobin`, or many endpoints that are down, make it look at all.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Container, Sequence
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

DRAWS = 4
"""How often a weighted draw is repeated that hit an endpoint which may not be picked, before the
candidates are listed: with half of the endpoints down, listing is needed once in 16 picks."""


class Candidate(Protocol):
    """What a balancer sees of an endpoint."""

    weight: int
    """At least 1."""

    in_flight: int
    """Requests that it has been given and not answered yet."""
    usable: bool
    """Whether a request should be given to it at all."""


E = TypeVar("E", bound=Candidate)
E_co = TypeVar("E_co", bound=Candidate, covariant=True)


class Balancer(Protocol[E_co]):
    def pick(self, exclude: Container[object]) -> E_co | None:
        """The endpoint for the next attempt; None if all are excluded or not usable."""


class RoundRobin(Generic[E]):
    """Each in turn, those with more weight more often, and evenly spread over time.

    Equal weights: whoever was picked longest ago. Skipping to the neighbour instead would give
    the neighbour of an endpoint that is down a double share. Unequal weights: smooth weighted
    round robin (nginx, commit 52327e0627f4): each candidate earns its weight per pick, the richest
    is picked and pays what all earned.
    """

    __slots__ = ("_credit", "_endpoints", "_order")

    def __init__(self, endpoints: Sequence[E], rng: random.Random) -> None:
        # Workers begin at different places, or their first requests would all meet at one.
        start = rng.randrange(len(endpoints)) if endpoints else 0
        self._endpoints = (*endpoints[start:], *endpoints[:start])
        self._order = deque(self._endpoints)
        equal = len({endpoint.weight for endpoint in endpoints}) < 2
        self._credit = None if equal else [0] * len(self._endpoints)

    def pick(self, exclude: Container[object]) -> E | None:
        if self._credit is not None:
            return self._richest(self._credit, exclude)
        order = self._order
        for place, endpoint in enumerate(order):
            if endpoint.usable and endpoint not in exclude:
                del order[place]
                order.append(endpoint)
                return endpoint
        return None

    def _richest(self, credit: list[int], exclude: Container[object]) -> E | None:
        best = -1
        earned = 0
        for place, endpoint in enumerate(self._endpoints):
            if endpoint.usable and endpoint not in exclude:
                earned += endpoint.weight
                credit[place] += endpoint.weight
                if best < 0 or credit[place] > credit[best]:
                    best = place
        if best < 0:
            return None
        credit[best] -= earned
        return self._endpoints[best]


class Single(Generic[E]):
    """The only one there is."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: E) -> None:
        self._endpoint = endpoint

    def pick(self, exclude: Container[object]) -> E | None:
        endpoint = self._endpoint
        return endpoint if endpoint.usable and endpoint not in exclude else None


class Random(Generic[E]):
    """Any, by chance in proportion to weight."""

    __slots__ = ("_draw", "_endpoints", "_limits", "_total")

    def __init__(self, endpoints: Sequence[E], rng: random.Random) -> None:
        self._endpoints = tuple(endpoints)
        self._limits = list(accumulate(endpoint.weight for endpoint in endpoints))
        self._total = self._limits[-1] if self._limits else 0
        self._draw = rng.random

    def pick(self, exclude: Container[object], other_than: E | None = None) -> E | None:
        """`other_than`: one more that may not be picked."""
        if not self._endpoints:
            return None
        for _ in range(DRAWS):
            # random() < 1.0, and the product with a total below 2^53 stays below the total.
            place = bisect_right(self._limits, int(self._draw() * self._total))
            endpoint = self._endpoints[place]
            if endpoint.usable and endpoint is not other_than and endpoint not in exclude:
                return endpoint
        return self._among_the_rest(exclude, other_than)

    def _among_the_rest(self, exclude: Container[object], other_than: E | None) -> E | None:
        rest = [
            endpoint
            for endpoint in self._endpoints
            if endpoint.usable and endpoint is not other_than and endpoint not in exclude
        ]
        limits = list(accumulate(endpoint.weight for endpoint in rest))
        if not rest:
            return None
        return rest[bisect_right(limits, int(self._draw() * limits[-1]))]


class LeastOfTwo(Generic[E]):
    """The one with fewer requests in flight per weight; in turn while they are equal."""

    __slots__ = ("_endpoints", "_turns")

    def __init__(self, endpoints: Sequence[E], rng: random.Random) -> None:
        self._endpoints = tuple(endpoints)
        self._turns = RoundRobin(endpoints, rng)

    def pick(self, exclude: Container[object]) -> E | None:
        if len(self._endpoints) == 2:
            one, other = self._endpoints
            if (
                one.usable
                and other.usable
                and one not in exclude
                and other not in exclude
                and (lead := _lead(one, other))
            ):
                return one if lead < 0 else other
        return self._turns.pick(exclude)


class PowerOfTwoChoices(Generic[E]):
    """Of two drawn by weight, the one with fewer requests in flight per weight.

    Looking at all for the very least costs more with every endpoint and makes workers, each of
    which knows its own requests, crowd on the same one; two at random spread nearly as well
    (Mitzenmacher, "The power of two choices in randomized load balancing", 2001).
    """

    __slots__ = ("_random",)

    def __init__(self, endpoints: Sequence[E], rng: random.Random) -> None:
        self._random = Random(endpoints, rng)

    def pick(self, exclude: Container[object]) -> E | None:
        one = self._random.pick(exclude)
        if one is None:
            return None
        other = self._random.pick(exclude, other_than=one)
        if other is None or _lead(one, other) <= 0:
            return one
        return other


def _lead(one: Candidate, other: Candidate) -> int:
    """Below 0 if `one` has less to do for its weight, above 0 if `other` has."""
    return one.in_flight * other.weight - other.in_flight * one.weight


def _least_requests(endpoints: Sequence[E], rng: random.Random) -> Balancer[E]:
    if len(endpoints) <= 2:
        return LeastOfTwo(endpoints, rng)
    return PowerOfTwoChoices(endpoints, rng)


KINDS = ("round_robin", "least_requests", "random")
"""The values of `balance` that `make_balancer` knows."""


def make_balancer(
    kind: str, endpoints: Sequence[E], rng: random.Random | None = None
) -> Balancer[E]:
    """The balancer that `balance = kind` names, over `endpoints` in their order.

    `rng` is for tests; without it each balancer gets one of its own, seeded by the system, so that
    forked workers do not draw alike. Raises ValueError if there is no such kind.
    """
    rng = random.Random() if rng is None else rng
    if len(endpoints) == 1 and kind in KINDS:
        return Single(endpoints[0])
    match kind:
        case "round_robin":
            return RoundRobin(endpoints, rng)
        case "least_requests":
            return _least_requests(endpoints, rng)
        case "random":
            return Random(endpoints, rng)
    raise ValueError(f"there is no balancer {kind!r}; there are {', '.join(KINDS)}")
