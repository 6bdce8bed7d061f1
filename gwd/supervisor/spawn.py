"""Fork, and everything that must hold in the child before its own first line.

Order matters (each step was seen to go wrong otherwise):

1. In the parent: collect and freeze, so that the child's collector does not touch, and thereby
   copy, inherited pages; flush what is buffered, or it is written twice; block signals, so that
   none is taken by handlers that are not the child's.
2. In the child: ask to be killed with the parent, then look whether it is still there (a death in
   between would go unnoticed); put signals in order; close every fd that is not its own, or
   sockets of siblings and ends of their channels stay open for ever; only then unblock.
3. The child leaves by `os._exit`, never by returning into the parent's stack.

Only the main thread may fork: the kernel ties the death signal to the thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
CRASHED_STATUS = 70
"""EX_SOFTWARE of sysexits.h: exit status of a child whose function raised."""
OURS = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCHLD,
    }
)
"""The signals that the supervisor handles itself."""
_libc = ctypes.CDLL(None, use_errno=True)


def fork_child(run: Callable[[], int], *, keep: Iterable[int], name: str) -> tuple[int, int]:
    """Fork a child that runs `run` and exits with what it returns.

    Returns (pid, pidfd). `keep`: fds it has beside 0, 1 and 2. `name`: at most 15 bytes, for ps.
    In the child, TERM and CHLD have their default effect, what the supervisor acts on itself (INT
    from a terminal, HUP, USR1, USR2) is ignored, and faulthandler is on.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    gc.collect()
    gc.freeze()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
    try:
        pid = os.fork()
        if pid == 0:
            _in_child(run, parent, {0, 1, 2, *keep}, name, before)
    finally:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid, os.pidfd_open(pid)


def _in_child(
    run: Callable[[], int], parent: int, keep: set[int], name: str, mask: set[signal.Signals | int]
) -> NoReturn:
    status = CRASHED_STATUS
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(CRASHED_STATUS)
        _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(ignored, signal.SIG_IGN)
        _close_all_but(keep)
        faulthandler.enable(2)
        gc.enable()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask - OURS)
        status = run()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else CRASHED_STATUS
    except BaseException:
        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _close_all_but(keep: set[int]) -> None:
    lowest = 0
    for fd in (*sorted(keep), os.sysconf("SC_OPEN_MAX")):
        # An empty range must not be asked for: Python 3.11 hands close_range(2) an end of -1,
        # which closes everything.
        if lowest < fd:
            os.closerange(lowest, fd)
        lowest = fd + 1
