"""The controller's process: one event loop that runs the checks, watches bans and certificates, and
obeys the supervisor.

Strategy. It is the `Actor` of its control channel. `prepare` makes the plan of the new config,
which can fail only if the segment does not know an endpoint; `commit` lets the running checks
become that plan. There is nothing in flight that anybody waits for, so draining is stopping.

A check that fails by a fault of ours ends the process: its successor starts from what the segment
says, while a check that silently stopped would leave an endpoint's health as it was for ever.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator

from gwd.config.snapshot import Snapshot
from gwd.controller.bans import BanWatch
from gwd.controller.certificates import CertificateWatch
from gwd.controller.checks import Change, Checks, Plan, plan
from gwd.process.child import Child
from gwd.process.control import Control
from gwd.process.events import EventLog
from gwd.process.loop import new_loop
from gwd.segment.endpoints import EndpointTable

LOG = EventLog()
BROKEN = 70
"""EX_SOFTWARE of sysexits.h: exit status after a fault of ours."""


class Controller:
    def __init__(self, child: Child) -> None:
        self._loop = new_loop()
        self._table = EndpointTable(child.segment)
        self._status = 0
        self._ended = False
        self._next: Plan | None = None
        self._plan = plan(child.snapshot, self._table.find)
        self._checks = Checks(self._loop, self._table, _changed, self._broken)
        self._control = Control(self._loop, child, self)
        self._bans = BanWatch(self._loop, child.segment, self._control.tell, LOG, self._broken)
        self._bans.configure(child.snapshot)
        self._certificates = CertificateWatch(self._loop, self._control.tell, LOG, self._broken)
        self._certificates.configure(child.snapshot, child.generation)
        self._following: Snapshot | None = None
        self._generation = child.generation

    def run(self) -> int:
        self._checks.replace(self._plan)
        self._loop.call_soon(self._control.ready)
        self._loop.call_soon(self._bans.start)
        self._loop.call_soon(self._certificates.start)
        try:
            self._loop.run_forever()
            self._ended = True
            ending = self._checks.stop()
            if ending:
                self._loop.run_until_complete(asyncio.wait(ending))
        finally:
            self._loop.close()
        return self._status

    # what the supervisor tells it

    def prepare(self, snapshot: Snapshot, generation: int) -> Iterator[None]:
        self._next = plan(snapshot, self._table.find)
        self._following, self._generation = snapshot, generation
        yield

    def commit(self) -> None:
        assert self._next is not None
        self._plan, self._next = self._next, None
        self._checks.replace(self._plan)
        assert self._following is not None
        self._bans.configure(self._following)
        self._certificates.configure(self._following, self._generation)
        self._following = None

    def abort(self) -> None:
        self._next = self._following = None

    def drain(self, grace: float) -> None:
        self._control.drained()
        self.stop()

    def stop(self) -> None:
        if not self._ended:  # what ends the checks then runs to its own end
            self._loop.stop()

    def reopen_logs(self) -> None:
        """It has none: its lines go to stderr."""

    def _broken(self, error: BaseException) -> None:
        traceback.print_exception(error)
        self._status = BROKEN
        self.stop()


def _changed(change: Change) -> None:
    LOG(
        "info" if change.up else "warning",
        str(change),
        upstream=change.upstream,
        endpoint=change.address,
        state="up" if change.up else "down",
        reason=change.reason,
        left=change.left,
        total=change.total,
    )


def run(child: Child) -> int:
    """Be the controller until told to end; the exit status."""
    return Controller(child).run()
