"""Segments, and real processes beside the test's own."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator

import pytest

from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import WORKER, ProcessTable


@pytest.fixture
def make() -> Iterator[Callable[..., Segment]]:
    """Makes segments: `make(columns=3, max_ips=64)` has three columns given out."""
    made: list[Segment] = []

    def make(columns: int = 0, **sizes: int) -> Segment:
        defaults = {"max_workers": 4, "max_ips": 64, "max_endpoints": 4, "max_routes": 3}
        segment = Segment.create(Sizes(**(defaults | sizes)))
        made.append(segment)
        table = ProcessTable(segment)
        for slot in range(columns):
            assert table.claim(WORKER, slot, os.getpid()) == slot
        return segment

    yield make
    for segment in made:
        segment.close()


class Child:
    """A forked process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = False

    def wait(self) -> int:
        """Its exit status, or minus the signal that killed it."""
        self._ended = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """Kill it where it stands, or bury it if it has ended."""
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
            assert self.wait() in (0, -signal.SIGKILL)

    def stop(self) -> None:
        """Let it stand still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)


@pytest.fixture
def fork() -> Iterator[Callable[[Callable[[], object]], Child]]:
    """`fork(run)` runs `run` in a child, which ends with status 0, or 1 if that raises."""
    children: list[Child] = []

    def fork(run: Callable[[], object]) -> Child:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                run()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(Child(pid))
        return children[-1]

    yield fork
    for child in children:
        child.kill()
