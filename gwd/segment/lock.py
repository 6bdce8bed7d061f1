"""POSIX byte-range locks on the segment: they die with their holder (fcntl(2)).

Each byte stands for something that only one process may change at a time: one per bucket of the
limiter's table, and one more for the bans. A lock is waited for a bounded time: a holder that was
stopped (not killed) may cost others what they wanted to do, but nobody their event loop.

They belong to a process, not to a thread or a description: nothing here excludes two threads.
"""

from __future__ import annotations

import fcntl
import os

TRIES = 200
"""Each yields the processor, so the holder gets its turn: some 0.1 to 1 ms in all."""


def lock(fd: int, byte: int) -> bool:
    """Take the lock of `byte`; False if its holder kept it all the time."""
    for _ in range(TRIES):
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte, os.SEEK_SET)
        except (BlockingIOError, PermissionError):
            os.sched_yield()
        else:
            return True
    return False


def unlock(fd: int, byte: int) -> None:
    fcntl.lockf(fd, fcntl.LOCK_UN, 1, byte, os.SEEK_SET)
