"""What holds in a child before its own first line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gwd.supervisor.spawn import OURS, fork_child


def report(run, *, keep: tuple[int, ...] = ()) -> tuple[str, os.waitid_result]:
    """Fork a child whose `run(fd)` may write to fd; what it wrote, and how it ended."""
    reader, writer = os.pipe()
    pid, pidfd = fork_child(lambda: run(writer), keep=(writer, *keep), name="gwd-test")
    os.close(writer)
    with open(reader, "rb") as stream:
        said = stream.read().decode()
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    assert ended is not None
    assert ended.si_pid == pid
    return said, ended


def test_the_status_is_what_the_function_returns():
    _said, ended = report(lambda fd: 3)
    assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 3)


def test_a_function_that_raises_ends_with_70(capfd):
    def run(fd: int) -> int:
        raise RuntimeError("told")

    _said, ended = report(run)
    assert ended.si_status == 70
    assert "RuntimeError: told" in capfd.readouterr().err


def test_only_its_own_fds_are_open():
    stranger = os.open(os.devnull, os.O_RDONLY)
    kept = os.open(os.devnull, os.O_RDONLY)

    def run(fd: int) -> int:
        def is_open(number: int) -> bool:
            try:
                os.fstat(number)
            except OSError:
                return False
            return True

        open_fds = [number for number in range(256) if is_open(number)]
        os.write(fd, repr([n for n in open_fds if n not in (0, 1, 2, fd)]).encode())
        return 0

    said, _ended = report(run, keep=(kept,))
    assert said == repr([kept])
    os.close(stranger)
    os.close(kept)


def test_signals_meant_for_the_supervisor_do_not_end_it():
    def run(fd: int) -> int:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        os.write(fd, b"alive")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        return 0

    said, ended = report(run)
    assert said == "alive"
    assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, signal.SIGTERM)


def test_no_signal_stays_blocked_on_either_side():
    def run(fd: int) -> int:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) & OURS
        os.write(fd, repr(blocked).encode())
        return 0

    said, _ended = report(run)
    assert said == "set()"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & OURS


def test_sigabrt_prints_the_stack(capfd):
    def run(fd: int) -> int:
        os.kill(os.getpid(), signal.SIGABRT)
        return 0

    _said, ended = report(run)
    assert ended.si_status == signal.SIGABRT
    assert "Fatal Python error: Aborted" in capfd.readouterr().err


def test_it_carries_its_name():
    def run(fd: int) -> int:
        os.write(fd, Path("/proc/self/comm").read_bytes())
        return 0

    assert report(run)[0] == "gwd-test\n"


def test_a_child_dies_with_its_parent(tmp_path: Path):
    program = (
        "import os, signal, time\n"
        "from gwd.supervisor.spawn import fork_child\n"
        "pid, _ = fork_child(lambda: time.sleep(60) or 0, keep=(), name='x')\n"
        "print(pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    child = int(done.stdout)
    deadline = time.monotonic() + 10
    while alive(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_arrives_around_the_fork_reaches_the_parent(number):
    reader, writer = os.pipe2(os.O_NONBLOCK)
    old_fd = signal.set_wakeup_fd(writer)
    old = signal.signal(number, lambda *_: None)
    try:
        os.kill(os.getpid(), number)
        report(lambda fd: 0)
        assert os.read(reader, 10) == bytes([number])
    finally:
        signal.signal(number, old)
        signal.set_wakeup_fd(old_fd)
        os.close(reader)
        os.close(writer)
