"""Two phases, everybody or nobody: the pure machine of a reload."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gwd.supervisor.rollout import MAX_DEATHS, Phase, Rollout


def begun(*children: int) -> Rollout:
    rollout = Rollout(children)
    assert rollout.step() is Phase.PREPARING
    return rollout


def test_all_prepare_then_all_commit():
    rollout = begun(1, 2)
    rollout.prepared(1)
    assert rollout.step() is None
    rollout.prepared(2)
    assert rollout.step() is Phase.COMMITTING
    rollout.answered(1)
    assert rollout.step() is None
    rollout.answered(2)
    assert rollout.step() is Phase.COMMITTED
    assert rollout.step() is None


def test_one_failure_aborts_for_all():
    rollout = begun(1, 2, 3)
    rollout.prepared(1)
    rollout.failed(2, "worker 1: no")
    assert rollout.step() is Phase.ABORTING
    assert rollout.error == "worker 1: no"
    for child in (1, 2, 3):
        assert rollout.step() is None
        rollout.answered(child)
    assert rollout.step() is Phase.ABORTED


def test_when_everybody_dies_nothing_is_committed():
    rollout = begun(1, 2)
    rollout.died(1)
    rollout.died(2)
    assert rollout.step() is None
    assert rollout.time_is_up() == frozenset()
    assert rollout.step() is Phase.ABORTING


def test_without_children_it_is_committed_at_once():
    rollout = begun()
    assert rollout.step() is Phase.COMMITTING
    assert rollout.step() is Phase.COMMITTED


def test_who_dies_is_not_waited_for():
    rollout = begun(1, 2)
    rollout.prepared(1)
    rollout.prepared(2)
    assert rollout.step() is Phase.COMMITTING
    rollout.answered(1)
    rollout.died(2)
    assert rollout.step() is Phase.COMMITTED


def test_the_successor_of_who_died_preparing_is_waited_for():
    rollout = begun(1, 2)
    rollout.prepared(1)
    rollout.died(2)
    assert rollout.step() is None
    assert rollout.time_is_up() == frozenset()
    assert rollout.step() is Phase.COMMITTING


def test_who_never_became_ready_is_neither_waited_for_nor_a_reproach():
    rollout = begun(1, 2)
    for child in range(2, 10):
        rollout.died(child, was_ready=False)
        rollout.joined(child + 1)
    rollout.died(10, was_ready=False)
    rollout.prepared(1)
    assert rollout.step() is Phase.COMMITTING


def test_a_successor_is_asked_like_the_others():
    rollout = begun(1, 2)
    rollout.prepared(1)
    rollout.died(2)
    assert rollout.joined(3)
    assert rollout.step() is None
    rollout.prepared(3)
    assert rollout.step() is Phase.COMMITTING
    assert not rollout.joined(4)


def test_children_that_keep_dying_blame_the_config():
    rollout = begun(0)
    for child in range(MAX_DEATHS):
        rollout.died(child)
        rollout.joined(child + 1)
    assert rollout.step() is Phase.ABORTING
    assert "die" in rollout.error


def test_the_late_are_replaced_when_others_were_in_time():
    rollout = begun(1, 2)
    rollout.prepared(1)
    assert rollout.time_is_up() == {2}
    assert rollout.step() is Phase.COMMITTING


def test_when_nobody_is_in_time_nobody_is_replaced():
    rollout = begun(1, 2)
    assert rollout.time_is_up() == frozenset()
    assert rollout.step() is Phase.ABORTING


def test_who_neither_commits_nor_aborts_in_time_is_replaced():
    rollout = begun(1, 2)
    rollout.prepared(1)
    rollout.prepared(2)
    rollout.step()
    rollout.answered(1)
    assert rollout.time_is_up() == {2}
    assert rollout.step() is Phase.COMMITTED


class Reloads(RuleBasedStateMachine):
    """Whatever children do, in any order, the config is everywhere or nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.rollout = Rollout({1, 2, 3})
        self.alive = {1, 2, 3}
        self.next = 4
        self.state = dict.fromkeys(self.alive, "old")
        self.committed = False
        self.act()

    def act(self) -> None:
        while (phase := self.rollout.step()) is not None:
            if phase is Phase.COMMITTING:
                self.committed = True
                assert all(self.state[child] == "prepared" for child in self.rollout.asked)

    @rule(data=st.data())
    @precondition(lambda self: self.alive)
    def child_does_its_part(self, data) -> None:
        child = data.draw(st.sampled_from(sorted(self.alive)))
        if child not in self.rollout.asked:
            return
        if self.rollout.phase is Phase.PREPARING and self.state[child] == "old":
            self.state[child] = "prepared"
            self.rollout.prepared(child)
        elif self.rollout.phase is Phase.COMMITTING:
            self.state[child] = "new"
            self.rollout.answered(child)
        elif self.rollout.phase is Phase.ABORTING:
            self.state[child] = "old"
            self.rollout.answered(child)
        self.act()

    @rule(data=st.data())
    @precondition(lambda self: self.alive)
    def child_fails(self, data) -> None:
        child = data.draw(st.sampled_from(sorted(self.alive)))
        if self.state[child] == "old":
            self.rollout.failed(child, "no")
            self.act()

    @rule(data=st.data())
    @precondition(lambda self: self.alive)
    def child_dies(self, data) -> None:
        child = data.draw(st.sampled_from(sorted(self.alive)))
        self.alive.discard(child)
        self.rollout.died(child)
        self.act()
        self.alive.add(self.next)
        self.state[self.next] = "new" if self.committed else "old"
        self.rollout.joined(self.next)
        self.next += 1
        self.act()

    @rule()
    def time_passes(self) -> None:
        for child in self.rollout.time_is_up():
            self.alive.discard(child)
            self.rollout.died(child)
        self.act()

    @invariant()
    def everywhere_or_nowhere(self) -> None:
        states = {self.state[child] for child in self.alive}
        if self.rollout.phase is Phase.COMMITTED:
            assert states <= {"new"}
        if self.rollout.phase is Phase.ABORTED:
            assert states <= {"old"}
            assert self.rollout.error


TestReloads = Reloads.TestCase
TestReloads.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
