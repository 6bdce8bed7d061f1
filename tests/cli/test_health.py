"""`gwd health`: 0 when ready, 1 when not, 3 when there is nobody."""

from __future__ import annotations

import os
import signal
import time


def test_a_ready_gateway_is_0(running):
    running.start()
    done = running.gwd("health")
    assert (done.returncode, done.stdout) == (0, "ready\n")


def test_a_gateway_that_stops_is_1_while_it_still_serves(running):
    running.write(server='shutdown_delay = "300s"')
    running.start()
    os.kill(running.process.pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while (done := running.gwd("health")).returncode == 0:
        assert time.monotonic() < deadline
    assert (done.returncode, done.stdout) == (1, "not ready\n")


def test_without_a_daemon_it_is_3(running):
    assert running.gwd("health").returncode == 3
    running.start()
    running.process.kill()
    running.process.wait()
    assert running.gwd("health").returncode == 3
