"""Who accepts for a slot whose own worker does not: a pure state machine.

Slots are known by number, workers by key (their pid); nothing here does I/O or looks at a clock.
The owner reports what it sees (`step`, `adopted`, `refused`, `ended`) and carries out the orders
that come back: `Adopt` gives a worker the listeners of a slot, `Release` takes them from it.

    needed --Adopt--> asked --adopted--> held --the own worker serves--> Release
                        |  '-- refused, ended, or no answer in time: another is asked, or
                        |      it stays with who has them
                        '-- as `held`: it hangs, or has too many: another is asked as well,
                            and when that one has them, the first is released

Invariants (tests/supervisor/test_adoption.py holds them against every order of events):

- whoever holds a slot is released only when somebody else, the slot's own worker or the next
  holder, is known to accept from it; so there is no moment without anybody;
- a slot goes to the worker that holds fewest, and where one holds two more than another, one slot
  moves: what the kernel spreads evenly over listeners stays even over workers;
- a worker that refuses or does not answer is left alone for a while.

Two workers that accept from one listener at a time harm nobody: each connection goes to one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

ANSWER_TIME = 2.0
"""Seconds in which a worker says that it has adopted, or another is asked."""
REST_TIME = 5.0
"""Seconds in which one that refused or did not answer is not asked again."""

NOBODY = -1
MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Adopt:
    """`worker` is to accept from the listeners of `slot` too, and to answer with `number`."""

    slot: int
    worker: int
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """`worker` is to close its copies of the listeners of `slot`."""

    slot: int
    worker: int


@dataclass(slots=True)
class _Held:
    """`holder` was asked at `since` by order `number` and, if `sure`, has said that it accepts;
    `formers` have not been released yet; `back` is the one of them that may keep them."""

    holder: int
    number: int
    since: float
    sure: bool = False
    formers: set[int] = field(default_factory=set)
    back: int = NOBODY


class Adoption:
    """Which worker holds which slots beside its own."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._resting: dict[int, float] = {}
        self._orders = 0

    def holder(self, slot: int) -> int | None:
        """The worker that is known to accept for `slot` besides its own, None for none."""
        held = self._held.get(slot)
        return held.holder if held is not None and held.sure else None

    def held(self) -> dict[int, int]:
        """The worker by slot, of all slots that some worker has adopted."""
        return {slot: held.holder for slot, held in self._held.items() if held.sure}

    # --- what happens ------------------------------------------------------------------------

    def step(
        self,
        now: float,
        *,
        needs: Mapping[int, str],
        served: Collection[int],
        able: Collection[int],
    ) -> list[Adopt | Release]:
        """What is to be done, at `now` (monotonic seconds).

        `needs`: the slots that others must serve, and why. `served`: those whose own worker
        accepts again; what is in neither stays as it is. `able`: the workers that can adopt.
        """
        orders: list[Adopt | Release] = []
        for slot in [slot for slot in self._held if slot in served]:
            held = self._held.pop(slot)
            holders = held.formers | ({held.holder} - {NOBODY})
            orders += [Release(slot, worker) for worker in sorted(holders)]
        for slot, held in self._held.items():
            if held.holder in able and not held.sure and now - held.since > ANSWER_TIME:
                orders += self.refused(slot, held.number, now)
        self._resting = {worker: end for worker, end in self._resting.items() if end > now}
        loads = {worker: 0 for worker in able if worker not in self._resting}
        for held in self._held.values():
            if held.holder in loads:
                loads[held.holder] += 1
        for slot, reason in needs.items():
            known = self._held.get(slot)
            if loads and (known is None or known.holder not in able):
                orders.append(self._give(slot, min(loads, key=loads.__getitem__), reason, now))
                loads[self._held[slot].holder] += 1
        return orders + self._even(now, loads)

    def adopted(self, slot: int, number: int) -> list[Release]:
        """Order `number` was carried out. Answers to earlier ones say nothing any more."""
        held = self._held.get(slot)
        if held is None or held.number != number or held.holder == NOBODY:
            return []
        held.sure, held.back = True, NOBODY
        formers, held.formers = held.formers, set()
        return [Release(slot, former) for former in sorted(formers)]

    def refused(self, slot: int, number: int, now: float) -> list[Release]:
        """Order `number` cannot be carried out just now, or was not answered."""
        held = self._held.get(slot)
        if held is None or held.number != number or held.holder == NOBODY:
            return []
        refuser, held.number = held.holder, NOBODY
        self._resting[refuser] = now + REST_TIME
        # It may come to have them all the same: in the end it is told to let go.
        if held.back == NOBODY:
            held.formers.add(refuser)
            held.holder = NOBODY
            return []
        held.holder, held.sure, held.back = held.back, True, NOBODY
        held.formers.discard(held.holder)
        return [Release(slot, refuser)]

    def ended(self, worker: int) -> None:
        """`worker` is no more, and holds nothing."""
        self._resting.pop(worker, None)
        for slot, held in list(self._held.items()):
            held.formers.discard(worker)
            if held.back == worker:
                held.back = NOBODY
            if held.holder == worker:
                held.holder, held.sure = NOBODY, False
                if not held.formers:
                    del self._held[slot]

    # --- the orders --------------------------------------------------------------------------

    def _give(self, slot: int, worker: int, reason: str, now: float) -> Adopt:
        self._orders += 1
        held = _Held(worker, self._orders, now)
        before = self._held.get(slot)
        if before is not None:
            held.formers = (before.formers | {before.holder}) - {NOBODY, worker}
        self._held[slot] = held
        return Adopt(slot, worker, self._orders, reason)

    def _even(self, now: float, loads: dict[int, int]) -> list[Adopt | Release]:
        """Move slots from who holds most to who holds fewest."""
        orders: list[Adopt | Release] = []
        while loads:
            most, least = max(loads, key=loads.__getitem__), min(loads, key=loads.__getitem__)
            movable = [
                slot for slot, held in self._held.items() if held.holder == most and held.sure
            ]
            if loads[most] - loads[least] < 2 or not movable:
                break
            orders.append(self._give(movable[-1], least, MOVED, now))
            self._held[movable[-1]].back = most
            loads[most] -= 1
            loads[least] += 1
        return orders
