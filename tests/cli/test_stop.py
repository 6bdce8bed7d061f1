"""`gwd stop`: TERM, wait, report."""

from __future__ import annotations

import os
import signal


def test_the_daemon_has_ended_when_it_returns(running):
    running.start()
    done = running.gwd("stop")
    assert done.returncode == 0
    assert done.stdout == f"gwd stopped (process {running.process.pid})\n"
    assert running.process.wait(20) == 0


def test_now_does_not_wait_for_what_is_in_flight(running):
    running.write(server='shutdown_delay = "300s"')
    running.start()
    assert running.gwd("stop", "--timeout", "0.3").returncode == 1
    assert running.gwd("stop", "--now").returncode == 0
    assert running.process.wait(20) == 0


def test_a_daemon_that_does_not_end_is_told(running):
    running.start()
    os.kill(running.process.pid, signal.SIGSTOP)
    done = running.gwd("stop", "--timeout", "0.2")
    assert done.returncode == 1
    assert "still runs" in done.stderr


def test_without_a_daemon_the_exit_code_is_3(running):
    assert running.gwd("stop").returncode == 3
