from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from gwd.demo.ports import Reservation

SERVE = (
    "import socket, sys; from gwd.demo.service import serve; "
    "serve(sys.argv[1], 1, socket.socket(fileno=int(sys.argv[2])))"
)


@pytest.fixture(scope="module")
def service() -> Iterator[Callable[[str], int]]:
    """Starts instance 1 of a sample service by name; answers its port."""
    started: list[tuple[Reservation, subprocess.Popen[bytes]]] = []
    by_name: dict[str, int] = {}

    def start(name: str) -> int:
        if name not in by_name:
            place = Reservation(0)
            with place.first as listener:
                process = subprocess.Popen(
                    [sys.executable, "-c", SERVE, name, str(listener.fileno())],
                    pass_fds=[listener.fileno()],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                )
            started.append((place, process))
            by_name[name] = place.port
        return by_name[name]

    yield start
    for place, process in started:
        process.terminate()
        process.wait()
        place.close()
