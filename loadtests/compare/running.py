"""A started program and what its whole process tree spends.

A program counts as started once its port takes connections; one that ends or says nothing for too
long fails with the end of its own output. Only what was started here is ever stopped.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]

START = 15.0
"""Seconds for a port to open; it takes a fraction of one."""
END = 5.0
"""Seconds to end before it is killed."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def program(name: str) -> str | None:
    """Where the program `name` is: on the path, or beside this Python; None if nowhere."""
    beside = Path(sys.executable).parent / name
    return shutil.which(name) or (str(beside) if beside.exists() else None)


class Running:
    """A started program and its process tree."""

    def __init__(
        self, room: Path, command: list[str], port: int, environ: Mapping[str, str] | None = None
    ) -> None:
        self.port = port
        with (room / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=room, env=environ
            )
        deadline = time.monotonic() + START
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    text = (room / "output.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{command[0]} did not start:\n{text}") from None
                time.sleep(0.05)

    @property
    def pid(self) -> int:
        return self._process.pid

    def tree(self) -> list[psutil.Process]:
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of user and system time of the whole tree so far."""
        times = [process.cpu_times() for process in self.tree()]
        return float(sum(t.user + t.system for t in times))

    def memory(self) -> int:
        """Proportional set size of the whole tree, bytes."""
        return int(sum(process.memory_full_info().pss for process in self.tree()))

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
