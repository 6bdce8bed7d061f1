"""Who accepts for a slot whose own worker does not: the pure machine."""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gwd.supervisor.adoption import ANSWER_TIME, MOVED, REST_TIME, Adopt, Adoption, Release


def given(adoption: Adoption, slot: int, *, able: list[int], now: float = 0.0) -> Adopt:
    """`slot` in need, one order for it, carried out."""
    (order,) = adoption.step(now, needs={slot: "hung"}, served=(), able=able)
    assert isinstance(order, Adopt)
    adoption.adopted(slot, order.number)
    return order


def test_a_slot_in_need_goes_to_an_able_worker_and_back_when_its_own_serves():
    adoption = Adoption()
    (order,) = adoption.step(0, needs={1: "hung"}, served={0}, able=[10])
    assert (order.slot, order.worker, order.reason) == (1, 10, "hung")
    assert adoption.holder(1) is None
    assert adoption.adopted(1, order.number) == []
    assert adoption.holder(1) == 10
    assert adoption.step(1, needs={1: "hung"}, served={0}, able=[10]) == []
    assert adoption.step(2, needs={}, served={0, 1}, able=[10, 11]) == [Release(1, 10)]
    assert adoption.held() == {}


def test_without_an_able_worker_it_waits_for_one():
    adoption = Adoption()
    assert adoption.step(0, needs={0: "hung"}, served=(), able=[]) == []
    assert given(adoption, 0, able=[11], now=1).worker == 11


def test_what_is_neither_in_need_nor_served_stays_as_it_is():
    adoption = Adoption()
    given(adoption, 1, able=[10])
    assert adoption.step(1, needs={}, served=(), able=[10]) == []
    assert adoption.holder(1) == 10


def test_slots_are_spread():
    adoption = Adoption()
    needs = dict.fromkeys(range(2, 8), "retired")
    orders = adoption.step(0, needs=needs, served={0, 1}, able=[10, 11])
    assert sorted(order.worker for order in orders) == [10] * 3 + [11] * 3


def test_when_the_adopter_ends_another_one_is_asked_at_once():
    adoption = Adoption()
    given(adoption, 2, able=[10])
    adoption.ended(10)
    assert adoption.holder(2) is None
    assert given(adoption, 2, able=[11], now=1).worker == 11


def test_a_hung_adopter_is_released_only_when_the_next_one_accepts():
    adoption = Adoption()
    given(adoption, 2, able=[10])
    (order,) = adoption.step(1, needs={2: "retired"}, served=(), able=[11])
    assert order.worker == 11
    assert adoption.adopted(2, order.number) == [Release(2, 10)]


def test_both_are_released_when_the_own_worker_comes_first():
    adoption = Adoption()
    given(adoption, 2, able=[10])
    adoption.step(1, needs={2: "hung"}, served=(), able=[11])
    orders = adoption.step(2, needs={}, served={2}, able=[10, 11])
    assert orders == [Release(2, 10), Release(2, 11)]


def test_an_answer_to_an_earlier_order_says_nothing():
    adoption = Adoption()
    (first,) = adoption.step(0, needs={1: "hung"}, served=(), able=[10])
    adoption.step(1, needs={}, served={1}, able=[10])
    (second,) = adoption.step(2, needs={1: "hung"}, served=(), able=[10])
    adoption.adopted(1, first.number)
    assert adoption.holder(1) is None
    adoption.adopted(1, second.number)
    assert adoption.holder(1) == 10


def test_one_that_refuses_is_left_alone_for_a_while():
    adoption = Adoption()
    (order,) = adoption.step(0, needs={1: "hung"}, served=(), able=[10])
    assert adoption.refused(1, order.number, 0) == []
    assert adoption.step(REST_TIME - 0.1, needs={1: "hung"}, served=(), able=[10]) == []
    assert given(adoption, 1, able=[10], now=REST_TIME).worker == 10


def test_one_that_does_not_answer_is_passed_over_and_released_when_another_has():
    adoption = Adoption()
    (order,) = adoption.step(0, needs={1: "hung"}, served=(), able=[10, 11])
    assert adoption.step(ANSWER_TIME, needs={1: "hung"}, served=(), able=[10, 11]) == []
    (again,) = adoption.step(ANSWER_TIME + 0.1, needs={1: "hung"}, served=(), able=[10, 11])
    assert {order.worker, again.worker} == {10, 11}
    assert adoption.adopted(1, again.number) == [Release(1, order.worker)]


def test_a_worker_that_comes_later_takes_its_part():
    adoption = Adoption()
    needs = dict.fromkeys(range(2, 6), "retired")
    for order in adoption.step(0, needs=needs, served={0}, able=[10]):
        adoption.adopted(order.slot, order.number)
    orders = adoption.step(1, needs=needs, served={0, 1}, able=[10, 11])
    assert [(order.worker, order.reason) for order in orders] == [(11, MOVED)] * 2
    for order in orders:
        assert adoption.adopted(order.slot, order.number) == [Release(order.slot, 10)]
    assert sorted(adoption.held().values()) == [10, 10, 11, 11]


def test_a_move_that_is_refused_changes_nothing():
    adoption = Adoption()
    needs = dict.fromkeys(range(2, 4), "retired")
    for order in adoption.step(0, needs=needs, served={0}, able=[10]):
        adoption.adopted(order.slot, order.number)
    (order,) = adoption.step(1, needs=needs, served={0, 1}, able=[10, 11])
    assert adoption.refused(order.slot, order.number, 1) == [Release(order.slot, 11)]
    assert adoption.held() == {2: 10, 3: 10}
    assert adoption.step(2, needs=needs, served={0, 1}, able=[10, 11]) == []


class Gateways(RuleBasedStateMachine):
    """Slots 0–4, three of them wanted; their workers come, hang, wake and die, and orders reach
    them late. What a worker has is what the orders it has read made of it."""

    WANTED, SLOTS = 3, 5

    def __init__(self) -> None:
        super().__init__()
        self.adoption = Adoption()
        self.now = 0.0
        self.next = 10
        self.own: dict[int, int] = {}
        self.hung: set[int] = set()
        self.full: set[int] = set()
        self.has: dict[int, set[int]] = {}
        self.channel: dict[int, deque[Adopt | Release]] = {}
        for slot in range(self.WANTED):
            self.worker_comes(slot)
        self.settle()

    def worker_comes(self, slot: int) -> None:
        self.own[slot] = self.next
        self.has[self.next] = set()
        self.channel[self.next] = deque()
        self.next += 1

    def act(self, orders) -> None:
        for order in orders:
            if order.worker in self.channel:
                self.channel[order.worker].append(order)

    def look(self) -> None:
        needs = dict.fromkeys(range(self.WANTED, self.SLOTS), "retired")
        needs |= {s: "none" for s in range(self.WANTED) if s not in self.own}
        needs |= {s: "hung" for s, worker in self.own.items() if worker in self.hung}
        able = [worker for worker in self.own.values() if worker not in self.hung]
        served = {slot for slot, worker in self.own.items() if worker not in self.hung}
        guarded = self.guarded()
        self.act(self.adoption.step(self.now, needs=needs, served=served, able=able))
        assert guarded <= self.guarded()

    def guarded(self) -> set[int]:
        """The slots that a worker which is awake accepts from, and goes on to."""
        found = {slot for slot, worker in self.own.items() if worker not in self.hung}
        for worker, slots in self.has.items():
            if worker not in self.hung:
                leaving = {o.slot for o in self.channel[worker] if isinstance(o, Release)}
                found |= slots - leaving
        return found

    def read(self, worker: int) -> None:
        order = self.channel[worker].popleft()
        if isinstance(order, Release):
            self.has[worker].discard(order.slot)
        elif worker in self.full:
            self.act(self.adoption.refused(order.slot, order.number, self.now))
        else:
            self.has[worker].add(order.slot)
            self.act(self.adoption.adopted(order.slot, order.number))

    def awake(self) -> list[int]:
        return [worker for worker in self.channel if worker not in self.hung]

    def settle(self) -> None:
        """Time enough passes, and everybody who is awake does what it was told."""
        for _ in range(20):
            self.now += 1.0
            self.look()
            while any(self.channel[worker] for worker in self.awake()):
                for worker in self.awake():
                    if self.channel[worker]:
                        self.read(worker)

    @rule(data=st.data())
    def somebody_reads(self, data) -> None:
        readers = [worker for worker in self.awake() if self.channel[worker]]
        if readers:
            self.read(data.draw(st.sampled_from(readers)))

    @rule(slot=st.integers(0, 2), what=st.sampled_from(["hang", "wake", "die", "fill", "empty"]))
    def something_happens(self, slot: int, what: str) -> None:
        worker = self.own.get(slot)
        if worker is None:
            self.worker_comes(slot)
        elif what == "die":
            del self.own[slot], self.has[worker], self.channel[worker]
            self.hung.discard(worker)
            self.full.discard(worker)
            self.adoption.ended(worker)
        else:
            group = self.hung if what in ("hang", "wake") else self.full
            (group.add if what in ("hang", "fill") else group.discard)(worker)

    @rule(seconds=st.floats(0.0, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    @rule()
    @precondition(lambda self: any(w not in self.hung | self.full for w in self.own.values()))
    def in_the_end_everything_is_served_once(self) -> None:
        self.settle()
        able = {w for w in self.own.values() if w not in self.hung | self.full}
        for slot in range(self.SLOTS):
            own = self.own.get(slot)
            served = own is not None and own not in self.hung
            holders = [w for w in self.awake() if slot in self.has[w]]
            assert len(holders) == (0 if served else 1), (slot, holders)
            if not served:
                assert self.adoption.holder(slot) == holders[0]
        loads = [len(self.has[worker]) for worker in able]
        assert max(loads) - min(loads) <= 1

    @invariant()
    def nobody_adopts_what_its_own_worker_serves(self) -> None:
        for worker, slots in self.has.items():
            assert not {s for s, w in self.own.items() if w == worker} & slots


TestGateways = Gateways.TestCase
TestGateways.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
