"""Whose heart stands still, and when that is nobody's fault."""

from __future__ import annotations

from gwd.supervisor.hung import hung


def judge(beats, *, now=100.0, awake_since=0.0, watchdog=10.0):
    return hung(beats, now=now, awake_since=awake_since, watchdog=watchdog)


def test_fresh_hearts_are_left_alone():
    assert judge({1: 99.0, 2: 91.0}) == set()


def test_one_stale_heart_among_others_is_hung():
    assert judge({1: 89.0, 2: 99.0, 3: 99.5}) == {1}


def test_half_of_all_is_not_most():
    assert judge({1: 89.0, 2: 99.0}) == {1}


def test_when_most_are_stale_nobody_is_hung_yet():
    assert judge({1: 89.0, 2: 88.0, 3: 99.0}) == set()


def test_most_are_hung_after_three_times_the_watchdog():
    assert judge({1: 69.0, 2: 75.0, 3: 99.0}) == {1}


def test_time_before_the_supervisor_woke_up_does_not_count():
    assert judge({1: 10.0, 2: 99.0}, awake_since=95.0) == set()
    assert judge({1: 10.0, 2: 99.0}, awake_since=89.0) == {1}


def test_no_children_no_hung():
    assert judge({}) == set()
