"""What every balancer promises, whatever the endpoints do; and what is special to each."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.upstream.balance import KINDS, make_balancer


class Endpoint:
    def __init__(self, name: str, weight: int = 1, load: int = 0, up: bool = True) -> None:
        self.name, self.weight, self.load, self.up = name, weight, load, up

    @property
    def in_flight(self) -> int:
        return self.load

    @property
    def usable(self) -> bool:
        return self.up

    def __repr__(self) -> str:
        return f"{self.name}(weight {self.weight}, load {self.load}, up {self.up})"


def endpoints(*weights: int) -> list[Endpoint]:
    return [Endpoint(f"e{place}", weight) for place, weight in enumerate(weights)]


def shares(kind: str, them: list[Endpoint], picks: int, seed: int = 1) -> Counter[str]:
    balancer = make_balancer(kind, them, random.Random(seed))
    picked = [balancer.pick(()) for _ in range(picks)]
    return Counter(endpoint.name for endpoint in picked if endpoint is not None)


every_kind = pytest.mark.parametrize("kind", KINDS)


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'fastest'.*round_robin, least_requests, random"):
        make_balancer("fastest", endpoints(1))


@every_kind
def test_without_endpoints_there_is_none(kind):
    assert make_balancer(kind, []).pick(()) is None


@every_kind
@given(
    them=st.lists(
        st.builds(
            Endpoint,
            name=st.just("e"),
            weight=st.integers(1, 1000),
            load=st.integers(0, 50),
            up=st.booleans(),
        ),
        max_size=12,
    ),
    data=st.data(),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=50)
def test_one_that_may_be_picked_is_picked_and_no_other(kind, them, data, seed):
    balancer = make_balancer(kind, them, random.Random(seed))
    for _ in range(12):
        excluded = {e for e in them if data.draw(st.booleans())}
        for endpoint in them:
            if data.draw(st.integers(0, 3)) == 0:
                endpoint.up = not endpoint.up
        allowed = [e for e in them if e.up and e not in excluded]
        picked = balancer.pick(excluded)
        assert (picked in allowed) if allowed else (picked is None)
        if picked is not None:
            picked.load += 1


@every_kind
@pytest.mark.parametrize("weights", [(1, 1), (1, 2), (1, 1, 1, 1), (5, 1, 1), (1, 2, 3, 4)])
def test_shares_follow_weights_while_loads_are_equal(kind, weights):
    picks = 600 * sum(weights)
    counted = shares(kind, endpoints(*weights), picks)
    for place, weight in enumerate(weights):
        assert counted[f"e{place}"] == pytest.approx(600 * weight, rel=0.15)


@every_kind
@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)])
def test_what_one_that_is_down_leaves_goes_to_the_others_by_weight(kind, weights):
    them = endpoints(*weights)
    them[0].up = False
    counted = shares(kind, them, 600 * (weights[1] + weights[2]))
    assert counted["e0"] == 0
    for place in (1, 2):
        assert counted[f"e{place}"] == pytest.approx(600 * weights[place], rel=0.15)


# round robin


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 2**32))
@settings(max_examples=100)
def test_round_robin_gives_exact_shares_in_every_cycle(weights, seed):
    cycle = sum(weights)
    counted = shares("round_robin", endpoints(*weights), 2 * cycle, seed)
    assert counted == {f"e{place}": 2 * weight for place, weight in enumerate(weights)}


def test_round_robin_spreads_a_heavy_endpoint_over_the_cycle():
    them = endpoints(5, 1, 1)
    balancer = make_balancer("round_robin", them, random.Random(1))
    names = [balancer.pick(()).name for _ in range(70)]
    gaps = [b - a for a, b in pairwise(i for i, n in enumerate(names) if n == "e1")]
    assert gaps == [7] * 9
    assert "e0e0e0e0" not in "".join(names[:7])


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 2, 1)])
def test_an_endpoint_that_returns_meets_no_burst(weights):
    them = endpoints(*weights)
    balancer = make_balancer("round_robin", them, random.Random(1))
    them[0].up = False
    for _ in range(1000):
        balancer.pick(())
    them[0].up = True
    cycle = sum(weights)
    back = Counter(balancer.pick(()).name for _ in range(cycle))
    assert back["e0"] <= weights[0] + 1


def test_workers_begin_at_different_endpoints():
    firsts = {
        make_balancer("round_robin", endpoints(1, 1, 1), random.Random(seed)).pick(()).name
        for seed in range(50)
    }
    assert firsts == {"e0", "e1", "e2"}


# least requests


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
@settings(max_examples=100)
def test_of_two_the_one_with_less_to_do_for_its_weight_is_picked(weights, loads):
    one, other = endpoints(*weights)
    one.load, other.load = loads
    picked = make_balancer("least_requests", [one, other]).pick(())
    rest = other if picked is one else one
    assert picked.load / picked.weight <= rest.load / rest.weight


def test_of_two_idle_ones_each_gets_every_second_request():
    names = list(shares("least_requests", endpoints(1, 1), 10).values())
    assert names == [5, 5]


def widest_spread(kind: str, count: int) -> int:
    """Between the busiest and the idlest while one endpoint takes ten times as long as others."""
    them = endpoints(*[1] * count)
    balancer = make_balancer(kind, them, random.Random(7))
    ends: list[tuple[int, Endpoint]] = []
    widest = 0
    for now in range(2000):
        for end, endpoint in [item for item in ends if item[0] <= now]:
            ends.remove((end, endpoint))
            endpoint.load -= 1
        endpoint = balancer.pick(())
        endpoint.load += 1
        ends.append((now + (10 if endpoint is them[0] else 1) * 2 * count, endpoint))
        loads = [e.load for e in them]
        widest = max(widest, max(loads) - min(loads))
    return widest


@pytest.mark.parametrize(("count", "most"), [(2, 1), (5, 8), (20, 8)])
def test_a_slow_endpoint_does_not_pile_up_requests(count, most):
    assert widest_spread("least_requests", count) <= most
    assert widest_spread("round_robin", count) > 15


def test_power_of_two_choices_prefers_the_idle_among_many():
    them = endpoints(1, 1, 1, 1)
    for busy in them[1:]:
        busy.load = 10
    counted = shares("least_requests", them, 2000)
    # Drawn first or second: 1/4 + 3/4 * 1/3.
    assert counted["e0"] == pytest.approx(1000, rel=0.15)


def test_the_last_usable_among_many_is_found():
    them = endpoints(*[1] * 1000)
    for endpoint in them[:-1]:
        endpoint.up = False
    for kind in KINDS:
        assert make_balancer(kind, them).pick(()) is them[-1]
        assert make_balancer(kind, them).pick({them[-1]}) is None
