"""Which children are hung: a pure judgement over their heartbeats.

A heartbeat older than `watchdog` seconds says that the child's event loop stands still. But a
machine that was paused (suspended guest, frozen cgroup, debugger) shows the same, and shooting
every worker of a machine that just woke up is the one thing a supervisor must not do. So:

- whatever happened while the supervisor itself was not running counts for nothing: ages are
  measured from its last late tick at the earliest;
- when most heartbeats are stale, the cause is hardly in the children. They are left alone for
  twice the time more, in which a paused machine would show by a late tick of our own.
"""

from __future__ import annotations

from collections.abc import Mapping

LATE_TICK = 1.0
"""Seconds by which a tick must be late for the supervisor to distrust the clock."""
PATIENCE_WITH_MANY = 3.0
"""Multiple of `watchdog` that applies when most are stale."""


def hung(
    beats: Mapping[int, float], *, now: float, awake_since: float, watchdog: float
) -> set[int]:
    """The keys of `beats` (last heartbeat, monotonic seconds) whose child counts as hung.

    `awake_since`: the moment since which the supervisor's own ticks were in time.
    """
    ages = {key: now - max(beat, awake_since) for key, beat in beats.items()}
    stale = {key for key, age in ages.items() if age > watchdog}
    if len(stale) * 2 > len(beats):
        return {key for key in stale if ages[key] > watchdog * PATIENCE_WITH_MANY}
    return stale
