"""How soon dead children are followed up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.supervisor.respawn import LAST_DELAY, Respawn


def test_the_first_three_deaths_are_answered_at_once():
    respawn = Respawn()
    assert [respawn.delay(now) for now in (0.0, 1.0, 2.0)] == [0.0, 0.0, 0.0]


def test_further_deaths_wait_100_ms_doubling_to_10_s():
    respawn = Respawn()
    delays = [respawn.delay(now / 10) for now in range(14)]
    assert delays[3:12] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_quiet_minute_wipes_the_slate():
    respawn = Respawn()
    for now in range(10):
        respawn.delay(float(now))
    assert respawn.delay(70.0) == 0.0


@given(st.lists(st.floats(0, 100), max_size=100))
@settings(max_examples=100)
def test_delays_are_always_bounded(gaps: list[float]):
    respawn, now = Respawn(), 0.0
    for gap in gaps:
        now += gap
        assert 0.0 <= respawn.delay(now) <= LAST_DELAY
