"""poll(2) with a table of who is called for which fd. This, not an event loop, drives the
supervisor: nothing in it survives a fork, starts a thread or owns a signal.
"""

from __future__ import annotations

import select
from collections.abc import Callable


class Poller:
    """Calls a function whenever its fd becomes readable, hangs up or fails."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], None]] = {}

    def register(self, fd: int, reader: Callable[[], None]) -> None:
        self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def unregister(self, fd: int) -> None:
        """Call before `fd` is closed."""
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds, call what is due, return."""
        ready = self._poll.poll(max(0, int(timeout * 1000 + 0.999)))
        due = [(fd, self._readers[fd]) for fd, _events in ready]
        for fd, reader in due:
            # An earlier call of this turn may have closed this fd, and another may have its number.
            if self._readers.get(fd) is reader:
                reader()
