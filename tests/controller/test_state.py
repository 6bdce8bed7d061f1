"""The rise and fall rule, against a model that keeps the whole history."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.controller.state import HealthState
from gwd.segment.endpoints import HEALTHY, UNHEALTHY, UNKNOWN


def model(history: list[bool], rise: int, fall: int) -> int:
    """The state after `history`: that of the last run of equal checks long enough to count."""
    state = UNKNOWN
    for end in range(1, len(history) + 1):
        last = history[end - 1]
        run = 0
        while run < end and history[end - 1 - run] == last:
            run += 1
        if end == 1 or run >= (rise if last else fall):
            state = HEALTHY if last else UNHEALTHY
    return state


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=200)
def test_any_history_ends_where_the_model_says(history, rise, fall):
    health = HealthState(rise, fall)
    for place, good in enumerate(history):
        before = health.state
        assert health.observe(good) is (health.state != before)
        assert health.state == model(history[: place + 1], rise, fall)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=100)
def test_nothing_becomes_unknown_again(history, rise, fall):
    health = HealthState(rise, fall)
    for good in history:
        health.observe(good)
        assert health.state in (HEALTHY, UNHEALTHY)


@pytest.mark.parametrize(("good", "state"), [(True, HEALTHY), (False, UNHEALTHY)])
def test_the_first_check_decides_alone(good, state):
    health = HealthState(rise=5, fall=5)
    assert health.observe(good)
    assert health.state == state


def test_one_good_check_starts_the_count_of_bad_ones_anew():
    health = HealthState(rise=2, fall=3, state=HEALTHY)
    for good in (False, False, True, False, False):
        assert not health.observe(good)
    assert health.observe(False)
    assert health.state == UNHEALTHY


def test_a_state_that_was_found_before_takes_a_full_count_to_change():
    health = HealthState(rise=2, fall=3, state=UNHEALTHY)
    assert not health.observe(True)
    assert health.observe(True)
    assert health.state == HEALTHY
