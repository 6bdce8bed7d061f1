"""A config reaches everybody or nobody: the two phases of a reload as a pure state machine.

Children are known by key (their pid); nothing here does I/O or looks at a clock. The owner reports
what happened, then asks `step()` which phase has begun, until it answers None; the first answer
is PREPARING.

    PREPARING --all prepared----------------------> COMMITTING --all committed or gone--> COMMITTED
        |  '--time up, somebody prepared: the late are replaced--^
        |--one failed, or children keep dying, or time up and nobody prepared
        v
     ABORTING --all aborted or gone--> ABORTED

A child that joins while PREPARING (the successor of a dead one) is asked like all others, and
waited for: else a config on which everybody dies would have nobody left to object. From
COMMITTING on, successors start on the new config by themselves. In COMMITTING and ABORTING those
who do not answer in time are replaced, which brings them to the right config as well.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

MAX_DEATHS = 3
"""Children that may die while preparing before the config is blamed for it."""


class Phase(enum.Enum):
    PREPARING = enum.auto()
    COMMITTING = enum.auto()
    ABORTING = enum.auto()
    COMMITTED = enum.auto()
    ABORTED = enum.auto()


_AFTER = {
    Phase.PREPARING: Phase.COMMITTING,
    Phase.COMMITTING: Phase.COMMITTED,
    Phase.ABORTING: Phase.ABORTED,
}
"""What follows when nobody is waited for any more."""


class Rollout:
    """One reload over `children`."""

    def __init__(self, children: Iterable[int]) -> None:
        self.phase = Phase.PREPARING
        self.error = ""
        """Why it was aborted."""
        self._asked = set(children)
        self._waiting = set(self._asked)
        self._prepared: set[int] = set()
        self._deaths = 0
        self._expected = 0
        """Successors of dead children that have not come yet."""
        self._told: Phase | None = None

    @property
    def asked(self) -> frozenset[int]:
        """The living children that take part."""
        return frozenset(self._asked)

    def joined(self, child: int) -> bool:
        """A new child has come: whether it must be asked to prepare."""
        if self.phase is Phase.PREPARING:
            self._expected = max(0, self._expected - 1)
            self._asked.add(child)
            self._waiting.add(child)
            return True
        return False

    def prepared(self, child: int) -> None:
        if self.phase is Phase.PREPARING and child in self._waiting:
            self._waiting.discard(child)
            self._prepared.add(child)

    def failed(self, child: int, error: str) -> None:
        if self.phase is Phase.PREPARING and child in self._waiting:
            self._abort(error)

    def answered(self, child: int) -> None:
        """`child` has committed or aborted."""
        if self.phase in (Phase.COMMITTING, Phase.ABORTING):
            self._waiting.discard(child)

    def left(self, child: int) -> None:
        """`child` drains: it ends on the config it has."""
        self._asked.discard(child)
        self._waiting.discard(child)
        self._prepared.discard(child)

    def died(self, child: int, *, was_ready: bool = True) -> None:
        """`child` has ended. The config is not to blame for one that never became ready."""
        if child not in self._asked:
            return
        self._asked.discard(child)
        self._waiting.discard(child)
        self._prepared.discard(child)
        if self.phase is Phase.PREPARING and was_ready:
            self._expected += 1
            self._deaths += 1
            if self._deaths >= MAX_DEATHS:
                self._abort("child processes die while they prepare this config")

    def time_is_up(self) -> frozenset[int]:
        """The phase has lasted too long: the children that are to be replaced for it."""
        late = frozenset(self._waiting)
        if self.phase is Phase.PREPARING and not self._prepared:
            # Nobody was fast enough: the config is too big for the time, no child is to blame.
            self._abort("no child process prepared this config in time")
            return frozenset()
        self._asked -= late
        self._waiting.clear()
        self._expected = 0
        return late

    def step(self) -> Phase | None:
        """The phase that has just begun and must be acted on, None if nothing has changed."""
        if self.phase is self._told and not self._waiting and not self._expected:
            self.phase = _AFTER.get(self.phase, self.phase)
            if self.phase is Phase.COMMITTING:
                self._waiting = set(self._asked)
        if self.phase is self._told:
            return None
        self._told = self.phase
        return self.phase

    def _abort(self, error: str) -> None:
        self.phase = Phase.ABORTING
        self.error = error
        self._waiting = set(self._asked)
        self._expected = 0
