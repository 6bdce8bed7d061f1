"""Work in a process of its own, so that who measures does not wait for who loads."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import subprocess
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_CONTEXT = multiprocessing.get_context("fork")
_CLONE_NEWNET = 0x40000000
NETWORK_V6 = "2001:db8::/32"
"""RFC 3849: documentation. Local, every address of it, in `own_network`."""


class Failed(Exception):
    """What a process beside us said when it failed."""


class Beside(Generic[T]):
    """`function(*arguments)` in a forked process; its `result` is what that returns.

    Used in a `with`, it is killed at the end of the block if nobody waited for it.
    """

    def __init__(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> None:
        self._mine, theirs = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=_run, args=(theirs, function, arguments, named), daemon=False
        )
        self._process.start()
        theirs.close()

    def __enter__(self) -> Beside[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def running(self) -> bool:
        return self._process.is_alive()

    def result(self, patience: float = 120.0) -> T:
        """Wait for it. Raises Failed, with its traceback, if it raised or takes too long."""
        try:
            if not self._mine.poll(patience):
                raise Failed(f"nothing after {patience} s")
            good, value = self._mine.recv()
        except EOFError:
            raise Failed("it was killed") from None
        finally:
            self.kill()
        if not good:
            raise Failed(value)
        return value  # type: ignore[no-any-return]

    def kill(self) -> None:
        """End it where it stands, if it has not ended; nothing of it is left."""
        if self._mine.closed:
            return
        self._mine.close()
        self._process.kill()
        self._process.join()
        self._process.close()


def _run(
    told: Connection, function: Callable[..., object], arguments: tuple[object, ...], named: object
) -> None:
    try:
        assert isinstance(named, dict)
        told.send((True, function(*arguments, **named)))
    except BaseException:
        told.send((False, traceback.format_exc()))


def may_have_network() -> bool:
    return os.geteuid() == 0


def own_network(function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
    """Call `function` in a network of this process's own, in which NETWORK_V6 is local.

    For a process that does nothing else afterwards. Raises OSError without the privilege.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "-6", "route", "add", "local", NETWORK_V6, "dev", "lo"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return function(*arguments, **named)
