"""A network of a test's own: addresses of its choice, settings that harm nobody.

A thread that leaves the network it was born into takes along what it starts: its sockets and its
processes are in the new one, the rest of the tester stays where it was. There is nothing to take
down: the network ends with the last who is in it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
"""<linux/sched.h>."""
_libc = ctypes.CDLL(None, use_errno=True)


def in_own_network(act: Callable[[], None], *addresses: str) -> None:
    """Run `act` where there is nothing but a loopback device, with `addresses` besides its own.

    Skips the test if that may not be had: it takes root.
    """
    failure: list[BaseException] = []

    def run() -> None:
        try:
            if _libc.unshare(CLONE_NEWNET):
                pytest.skip(f"needs a network of its own: {os.strerror(ctypes.get_errno())}")
            _ip("link", "set", "lo", "up")
            for address in addresses:
                _ip("addr", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
            act()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


def set_filter_memory(size: int) -> None:
    """How many bytes a socket may have for its filter (net.core.optmem_max, socket(7)).

    For `act` only, where it concerns nobody else. Skips the test on kernels before 6.9, where all
    networks share one, which those but the first do not see.
    """
    path = Path("/proc/sys/net/core/optmem_max")
    if not path.exists():
        pytest.skip("needs a kernel that has optmem_max per network (6.9)")
    path.write_text(f"{size}\n")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
