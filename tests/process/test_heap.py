"""Memory is given back after a storm, and seldom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gwd.process import heap
from gwd.process.heap import EVERY, STORM, Heap, give_back


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(heap._trim is None, reason="this C library has no malloc_trim")
def test_holes_between_living_pieces_go_back_to_the_system() -> None:
    pieces = [bytearray(8000) for _ in range(8000)]
    full = resident()
    del pieces[::2]  # every other one
    give_back()
    assert len(pieces) == 4000
    assert full - resident() > 8_000_000


def test_it_is_harmless_where_there_is_no_such_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_trim", None)
    give_back()


def test_it_is_asked_for_after_a_storm_and_not_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(heap, "_trim", asked.append)
    made = Heap()
    made.freed = STORM - 1
    made.tick(100.0)
    assert asked == []
    made.freed += 1
    made.tick(101.0)
    made.tick(102.0)
    assert asked == [0]
    made.freed += STORM
    made.tick(101.0 + EVERY / 2)
    assert asked == [0]
    made.tick(101.0 + EVERY)
    assert asked == [0, 0]


def test_the_rest_of_a_storm_is_worth_asking_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(heap, "_trim", asked.append)
    made = Heap()
    made.freed = STORM
    made.tick(100.0)
    made.freed += 1
    for second in range(10):
        made.tick(101.0 + EVERY + second)
    assert asked == [0, 0]
    made.freed += 1
    made.tick(200.0)
    assert asked == [0, 0]
