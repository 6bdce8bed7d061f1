"""The access log loses no whole line that can be written, and never waits for a reader."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gwd.worker.access_log import MOST_WAITING, AccessLog


def test_lines_are_appended_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    log.lines += ["one\n", "two\n"]
    assert path.read_text() == ""
    log.flush()
    assert path.read_text() == "one\ntwo\n"
    log.lines.append("three\n")
    log.close()
    assert path.read_text() == "one\ntwo\nthree\n"


def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    log.lines.append("old\n")
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    log.lines.append("new\n")
    log.close()
    assert (tmp_path / "access.log.1").read_text() == "old\n"
    assert path.read_text() == "new\n"


def test_a_log_that_is_off_is_not_enabled() -> None:
    assert not AccessLog("off").enabled


_WRITER = """
import sys, time
from gwd.worker.access_log import AccessLog
log = AccessLog("stdout")
line = "x" * 99 + "\\n"
for _ in range(100):
    log.lines += [line] * 1000
    log.flush()
print(log.dropped, file=sys.stderr)
sys.stdin.read()
for _ in range(20000):
    log.flush()
    if not log._waiting:
        break
    time.sleep(0.001)
"""


@pytest.mark.parametrize("reads", [True, False])
def test_a_pipe_gets_whole_lines_and_a_slow_reader_stops_nobody(reads: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stderr is not None
        if reads:
            out, err = writer.communicate(b"")
            dropped = int(err)
        else:
            # 10 MB for a pipe that nobody reads: it must come to its end all the same.
            dropped = int(writer.stderr.readline())
            assert dropped * 100 >= 10_000_000 - MOST_WAITING - 2 * 65536
            writer.stdin.close()
            out = b""
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                if select.select([writer.stdout], [], [], 0.1)[0]:
                    piece = os.read(writer.stdout.fileno(), 65536)
                    if not piece:
                        break
                    out += piece
    lines = out.splitlines()
    assert set(lines) == {b"x" * 99}
    assert len(lines) + dropped == 100_000


def test_what_nobody_read_is_counted_as_lost_when_the_log_ends() -> None:
    reading, writing = os.pipe()
    before = os.dup(1)
    os.dup2(writing, 1)
    try:
        log = AccessLog("stdout")
        log.lines += ["x" * 999 + "\n"] * 1000  # ten times what a pipe takes
        log.close()
    finally:
        os.dup2(before, 1)
        for fd in (before, writing):
            os.close(fd)
    with open(reading, "rb") as read:
        assert read.read().count(b"\n") + log.dropped == 1000
    assert log.dropped > 800
