"""The worker slots: how many are wanted, and who accepts for those whose own worker does not.

A slot is a place for a worker and a set of listeners, and the listeners stay for ever: clients that
the kernel sends there must be accepted by somebody. So a slot without a worker that does so is
given to another one (adoption.py decides to which), and this is when:

- its worker's heartbeat is older than `ADOPT_AFTER`, or it has had no worker for so long, or one
  that is not ready within `START_PATIENCE`;
  what happened while the supervisor itself did not run does not count, and when most heartbeats
  are stale the machine was paused (hung.py). It is released when a worker of its own beats.
- it is one too many, because a reload wants fewer workers: then for good, or until a reload wants
  more. Its worker drains only after another one has said that it accepts.

When the gateway stops, all of this stops: the workers empty the queues of whatever they have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gwd.process.child import WORKER
from gwd.process.events import Log
from gwd.supervisor.adoption import Adopt, Adoption, Release
from gwd.supervisor.children import ChildProcess, Children
from gwd.supervisor.hung import hung
from gwd.supervisor.listeners import Listeners

ADOPT_AFTER = 1.0
"""Seconds without a sign of life after which another worker accepts for a slot."""
START_PATIENCE = 3.0
"""Seconds that a new worker has to get ready before another one accepts for it."""

HUNG, NO_WORKER, RETIRED = "hung", "no worker", "retired"


class Slots:
    """Tells `children` who is to accept where."""

    def __init__(
        self,
        *,
        workers: int,
        children: Children,
        listeners: Listeners,
        log: Log,
        grow: Callable[[int], None],
        grace: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        """`workers`: how many slots are wanted at first. `grow` makes listeners for so many slots,
        or raises BindError. `grace`: seconds that a worker has to drain. `changed` is called when
        another answer of `adopted` is due.
        """
        self.wanted = workers
        self._children = children
        self._listeners = listeners
        self._log = log
        self._grow = grow
        self._grace = grace
        self._changed = changed
        self._adoption = Adoption()
        self._asked: dict[int, Adopt] = {}
        self._attended: dict[int, float] = {}
        """When each slot's own worker was last seen alive, monotonic seconds."""

    def fill(self) -> None:
        """Have a worker on each wanted slot."""
        self._fill(range(self.wanted))

    def resize(self, wanted: int) -> None:
        """Have so many slots with a worker of their own. Raises BindError, and nothing changes.

        A new listener takes its share of clients at once, so it comes right before its worker.
        """
        self._grow(wanted)
        before, self.wanted = self.wanted, wanted
        self._children.tell(self._children, {"op": "workers", "count": wanted})
        self._fill(range(before, wanted))
        for slot in range(wanted, before):
            self._children.empty((WORKER, slot))

    def adopted(self) -> dict[int, int]:
        """By slot, the slot of the worker that accepts for it beside its own."""
        found = {}
        for slot, pid in self._adoption.held().items():
            child = self._children.get(pid)
            if child is not None:
                found[slot] = child.seat[1]
        return found

    # --- what happens ------------------------------------------------------------------------

    def tick(self, now: float, beats: Mapping[int, float], awake_since: float) -> None:
        """`beats` are `Children.beats()`, `awake_since` as for `hung`."""
        self._look(now, beats, awake_since, ADOPT_AFTER)
        for slot in range(self.wanted, len(self._listeners)):
            own = self._children.on((WORKER, slot))
            if own is not None and self._adoption.holder(slot) is not None:
                self._children.retire(own)
                self._children.tell([own], {"op": "drain", "grace": self._grace()})

    def hand_over(self, now: float, beats: Mapping[int, float]) -> None:
        """The gateway is about to drain: what no worker serves goes to one that does, which then
        empties that queue as well."""
        self._look(now, beats, 0.0, 0.0)

    def heard(self, message: Mapping[str, Any]) -> None:
        slot, number = message["slot"], message["number"]
        order = self._asked.get(slot)
        if message["op"] == "not_adopted":
            self._do(self._adoption.refused(slot, number, time.monotonic()))
        elif order is not None and order.number == number:
            del self._asked[slot]
            level = "warning" if order.reason in (HUNG, NO_WORKER) else "info"
            self._say(level, "listener adopted", order, reason=order.reason)
            self._do(self._adoption.adopted(slot, number))
            self._changed()

    def ended(self, child: ChildProcess) -> None:
        if child.pid in self._adoption.held().values():
            self._adoption.ended(child.pid)
            self._changed()
        else:
            self._adoption.ended(child.pid)

    # --- the decisions -----------------------------------------------------------------------

    def _fill(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._attended[slot] = time.monotonic()
            self._children.fill((WORKER, slot))

    def _look(
        self, now: float, beats: Mapping[int, float], awake_since: float, patience: float
    ) -> None:
        stale = hung(beats, now=now, awake_since=awake_since, watchdog=ADOPT_AFTER)
        needs: dict[int, str] = {}
        served, able = set(), []
        for slot in range(len(self._listeners)):
            own = self._children.on((WORKER, slot))
            if slot >= self.wanted:
                needs[slot] = RETIRED
            elif own is not None and own.pid in beats:
                self._attended[slot] = beats[own.pid]
                if own.pid in stale:
                    needs[slot] = HUNG
                elif now - beats[own.pid] <= ADOPT_AFTER:
                    served.add(slot)
                    able.append(own.pid)
            elif own is not None and now - max(own.started, awake_since) <= START_PATIENCE:
                pass
            elif now - max(self._attended[slot], awake_since) > patience:
                needs[slot] = NO_WORKER
        self._do(self._adoption.step(now, needs=needs, served=served, able=able))

    def _do(self, orders: Iterable[Adopt | Release]) -> None:
        for order in orders:
            child = self._children.get(order.worker)
            if child is None:
                continue
            if isinstance(order, Release):
                self._children.tell([child], {"op": "release", "slot": order.slot})
                self._say("info", "listener released", order)
                self._changed()
                continue
            self._asked[order.slot] = order
            listeners = self._listeners.of(order.slot)
            message: dict[str, object] = {"op": "adopt", "slot": order.slot}
            message |= {"number": order.number, "listeners": len(listeners)}
            self._children.tell([child], message, *(sock.fileno() for sock in listeners))

    def _say(self, level: str, event: str, order: Adopt | Release, **fields: str) -> None:
        child = self._children.get(order.worker)
        if child is not None:
            self._log(level, event, slot=order.slot, by=child.name, pid=child.pid, **fields)
