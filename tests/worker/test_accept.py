"""What is accepted is closed once (`gwd.worker.accept.Accepted`).

uvloop closes a connection's descriptor itself and then ends the socket object that it came from. If
that closed the number once more, it would by then be anybody's: a log, another client.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from in_process import PlainRig

import gwd.worker.accept

ASKS = b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n"


class Taken:
    """Descriptors of one pipe, each opened just when the loop had closed a connection's, and under
    its number."""

    def __init__(self) -> None:
        self.pipe = os.pipe()
        self.numbers: list[int] = []
        self.reused = 0

    def take(self, number: int) -> None:
        got = fcntl.fcntl(self.pipe[0], fcntl.F_DUPFD_CLOEXEC, number)  # that one, if it is free
        self.reused += got == number
        self.numbers.append(got)

    def open_still(self) -> list[int]:
        return [number for number in self.numbers if self._is_open(number)]

    def _is_open(self, number: int) -> bool:
        try:
            return os.path.samestat(os.fstat(number), os.fstat(self.pipe[0]))
        except OSError:
            return False

    def close(self) -> None:
        for number in (*self.open_still(), *self.pipe):
            os.close(number)


def taking(base: type, taken: Taken) -> type:
    """`base`, whose last moment another uses to open a file."""

    class Socket(base):
        def detach(self) -> int:
            taken.take(self.fileno())
            return super().detach()

        def close(self) -> None:
            taken.take(self.fileno())
            super().close()

    return Socket


@pytest.fixture
def taken() -> Iterator[Taken]:
    made = Taken()
    yield made
    made.close()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlainRig]:
    monkeypatch.setenv("GWD_EVENT_LOOP", "uvloop")
    with closing(PlainRig(tmp_path)) as made:
        yield made


def come_and_go(rig: PlainRig, taken: Taken) -> None:
    """Have five clients, one by one, whose connections end in several ways."""
    for sends in (b"", b"GET", ASKS % b"", ASKS % b"Connection: close\r\n", b"nonsense\r\n\r\n"):
        before = len(taken.numbers)
        with socket.create_connection(rig.address, 5) as client:
            client.sendall(sends)
            rig.run(asyncio.sleep(0.05))
        for _ in range(1000):
            if len(taken.numbers) > before:
                break
            rig.run(asyncio.sleep(0.005))


@pytest.mark.plain
@pytest.mark.parametrize("kind", [None, socket.SocketType])
def test_a_descriptor_that_is_another_s_by_now_stays_open(
    kind: type | None, rig: PlainRig, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with the plain C type it would not, which shows that the test can tell."""
    used = gwd.worker.accept.Accepted if kind is None else kind
    monkeypatch.setattr(gwd.worker.accept, "Accepted", taking(used, taken))
    come_and_go(rig, taken)
    assert len(taken.numbers) == taken.reused == 5
    assert taken.open_still() == (taken.numbers if kind is None else [])
