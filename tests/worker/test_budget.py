"""Who is ended when a worker holds too much, and who is looked at."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.upstream.connection import WRITE_HIGH
from gwd.worker.budget import PER_SUSPECT, ROUND, UNSEEN, Budget


class Held:
    """A connection that holds `size` bytes."""

    def __init__(self, size: int, idle: bool = False) -> None:
        self.size = size
        self.idle = idle
        self.ended = ""
        self.looks = 0

    def buffered(self) -> int:
        self.looks += 1
        return self.size

    def kill(self, reason: str) -> None:
        self.ended = reason


def make_budget(called: list[Callable[[], None]] | None = None) -> Budget:
    """`called`: what the event loop is asked to do."""
    return Budget([].append if called is None else called.append)


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(0, 8000))
@settings(max_examples=100)
def test_those_who_hold_most_are_ended_and_no_more_than_need_be(
    sizes: list[int], most: int
) -> None:
    all_of_them = [Held(size) for size in sizes]
    budget = make_budget()
    budget.suspects.update(all_of_them)
    budget.tick(1.0, set(), most)
    left = [held.size for held in all_of_them if not held.ended]
    ended = [held.size for held in all_of_them if held.ended]
    assert sum(left) <= most
    if ended:
        assert sum(left) + min(ended) > most
        assert max(left, default=0) <= min(ended)


def test_who_is_idle_and_holds_nothing_is_no_suspect_any_more() -> None:
    gone, busy, full = Held(0, idle=True), Held(0), Held(1, idle=True)
    budget = make_budget()
    budget.suspects.update((gone, busy, full))
    budget.tick(1.0, set(), 100)
    assert budget.suspects == {busy, full}


def test_many_suspects_are_looked_at_less_often() -> None:
    budget = make_budget()
    crowd = [Held(1) for _ in range(10_000)]
    budget.suspects.update(crowd)
    budget.tick(1.0, set(), 1 << 30)
    budget.tick(1.0 + 0.9 * len(crowd) * PER_SUSPECT, set(), 1 << 30)
    assert crowd[0].looks == 1
    budget.tick(1.0 + 1.1 * len(crowd) * PER_SUSPECT, set(), 1 << 30)
    assert crowd[0].looks == 2


def test_small_holdings_of_very_many_are_found() -> None:
    crowd = [Held(WRITE_HIGH - 1, idle=True) for _ in range(100)]
    budget, most = make_budget(), 50 * WRITE_HIGH
    for tick in range(ROUND + 3):
        budget.tick(float(tick), set(crowd), most)
    assert sum(held.size for held in crowd if not held.ended) <= most


def test_few_connections_are_never_looked_through() -> None:
    few = [Held(10, idle=True) for _ in range(10)]
    budget = make_budget()
    for tick in range(ROUND + 3):
        budget.tick(float(tick), set(few), 10 * WRITE_HIGH)
    assert not any(held.looks for held in few)


def test_who_is_gone_is_not_looked_for() -> None:
    budget = make_budget()
    crowd = {Held(1000, idle=True) for _ in range(100)}
    budget.tick(0.0, crowd, 10)  # begins a round
    crowd.clear()
    crowd.add(Held(0))
    for tick in range(ROUND):
        budget.tick(float(tick), crowd, 10)
    assert not budget.suspects


def test_what_comes_at_once_is_looked_at_in_the_same_turn() -> None:
    called: list[Callable[[], None]] = []
    budget, most = make_budget(called), 1000 * UNSEEN
    budget.tick(0.0, set(), most)
    crowd = [Held(500) for _ in range(30)]
    for held in crowd[:2]:
        budget.suspect(held, held.size)
    assert not called
    for held in crowd[2:]:
        budget.suspect(held, held.size)
    (look,) = called  # once, however much comes in that turn
    look()
    assert sum(held.size for held in crowd if not held.ended) == most
    budget.suspect(Held(1), 1001)
    assert len(called) == 2


def test_who_is_ended_is_no_suspect_and_is_not_ended_again() -> None:
    called: list[Callable[[], None]] = []
    budget, most = make_budget(called), 1000 * UNSEEN
    budget.tick(0.0, set(), most)
    crowd = [Held(100) for _ in range(100)]
    for held in crowd:
        budget.suspect(held, held.size)
    budget.tick(1.0, set(), most)  # before the early look has its turn
    for look in called:
        look()
    assert sum(bool(held.ended) for held in crowd) == 20
    assert {held.looks for held in crowd} == {1}
