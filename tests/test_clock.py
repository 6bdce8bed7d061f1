"""The coarse clock fires late rather than early, once, and forgets what ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.clock import AT_ONCE, NEVER, SLOTS, TICK, Clock


class Item:
    def __init__(self, clock: Clock) -> None:
        self.deadline = NEVER
        self.due = NEVER
        self.fired: list[float] = []
        self._clock = clock

    def expired(self) -> None:
        self.fired.append(self._clock.now)


@pytest.fixture
def clock() -> Iterator[Clock]:
    loop = asyncio.new_event_loop()
    yield Clock(loop)
    loop.close()


def run_until(clock: Clock, end: float) -> None:
    while clock.now < end:
        clock.advance(clock.now + TICK)


@given(
    delays=st.lists(st.floats(0, 3 * SLOTS * TICK), min_size=1, max_size=20),
    step=st.floats(TICK / 3, 20 * TICK),
)
@settings(max_examples=50, deadline=None)
def test_every_deadline_fires_once_and_never_early(delays: list[float], step: float) -> None:
    loop = asyncio.new_event_loop()
    clock = Clock(loop)
    start = clock.now
    items = [(Item(clock), start + delay) for delay in delays]
    for item, deadline in items:
        clock.arm(item, deadline)
    while clock.now < start + 3 * SLOTS * TICK + 2 * (step + TICK):
        clock.advance(clock.now + step)
    loop.close()
    for item, deadline in items:
        assert len(item.fired) == 1
        assert deadline <= item.fired[0] <= deadline + step + 2 * TICK


def test_a_deadline_moved_later_fires_at_the_later_time(clock: Clock) -> None:
    item = Item(clock)
    start = clock.now
    clock.arm(item, start + 1)
    run_until(clock, start + 0.5)
    clock.arm(item, start + 5)
    run_until(clock, start + 4.9)
    assert item.fired == []
    run_until(clock, start + 5.2)
    assert len(item.fired) == 1


def test_a_deadline_moved_earlier_fires_at_the_earlier_time(clock: Clock) -> None:
    item = Item(clock)
    start = clock.now
    clock.arm(item, start + 60)
    clock.arm(item, start + 1)
    run_until(clock, start + 1.2)
    assert len(item.fired) == 1
    run_until(clock, start + 70)
    assert len(item.fired) == 1


def test_what_is_disarmed_never_fires_and_is_not_kept(clock: Clock) -> None:
    item = Item(clock)
    clock.arm(item, clock.now + 1)
    clock.disarm(item)
    assert item.due == NEVER
    run_until(clock, clock.now + 3)
    assert item.fired == []


def test_an_item_ended_by_an_earlier_one_of_the_same_tick_does_not_fire(clock: Clock) -> None:
    second = Item(clock)

    class First(Item):
        def expired(self) -> None:
            super().expired()
            clock.disarm(second)

    first = First(clock)
    clock.arm(first, clock.now + 1)
    clock.arm(second, clock.now + 1)
    order = [first, second]
    run_until(clock, clock.now + 2)
    assert first.fired
    # A set has no order: either the second went first, or it did not go at all.
    assert len(second.fired) <= 1
    assert order[1].due == NEVER


def test_very_many_at_once_let_others_have_their_turn(clock: Clock) -> None:
    loop = clock._loop
    items = [Item(clock) for _ in range(5 * AT_ONCE)]
    for item in items:
        clock.arm(item, clock.now)
    clock.advance(clock.now + 2 * TICK)
    fired = []

    def look() -> None:
        fired.append(sum(bool(item.fired) for item in items))
        if fired[-1] < len(items):
            loop.call_soon(look)
        else:
            loop.stop()

    loop.call_soon(look)
    clock.advance(clock.now + TICK)  # the next tick comes while they are at it
    loop.run_forever()
    assert fired == [AT_ONCE * turn for turn in range(2, 6)]
    assert all(len(item.fired) == 1 for item in items)


def test_who_is_disarmed_while_it_waits_its_turn_does_not_fire(clock: Clock) -> None:
    items = [Item(clock) for _ in range(2 * AT_ONCE)]
    for item in items:
        clock.arm(item, clock.now)
    clock.advance(clock.now + 2 * TICK)
    waiting = [item for item in items if not item.fired]
    for item in waiting:
        clock.disarm(item)
    clock._loop.call_soon(clock._loop.stop)
    clock._loop.run_forever()
    assert not any(item.fired for item in waiting)
