"""How a gateway ends, by each signal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from echo_rig import Gateway, descendants, is_alive, until


def test_a_term_to_the_whole_process_group_starts_nobody(gateway: Gateway):
    gateway.start()
    gateway.workers()
    os.killpg(gateway.process.pid, signal.SIGTERM)
    assert gateway.wait() == 0
    assert len(gateway.events("child started")) == 3


def test_term_finishes_what_is_in_flight(gateway: Gateway):
    gateway.start()
    below = descendants(gateway.process.pid)
    with gateway.connect() as slow:
        slow.sendall(b"slow\n")
        gateway.ask()  # the other connection was taken before this one was answered, or will be
        gateway.signal(signal.SIGTERM)
        assert b'"body": "one"' in slow.makefile("rb").readline()
    assert gateway.wait() == 0
    assert not any(map(is_alive, below))
    assert not Path(gateway.admin).with_name("gwd.pid").exists()


def test_after_term_new_clients_are_refused_at_once(gateway: Gateway):
    gateway.start()
    with gateway.connect() as slow:
        slow.sendall(b"slow\n")
        gateway.ask()
        gateway.signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                gateway.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        until(refused, "a refused connection")
        assert b"one" in slow.makefile("rb").readline()


def test_in_the_shutdown_delay_it_serves_but_says_not_ready(gateway: Gateway):
    gateway.write(server='shutdown_delay = "30s"')
    gateway.start()
    gateway.signal(signal.SIGTERM)
    until(lambda: not gateway.ask()["serving"], "readiness to be withdrawn")
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0


def test_grace_is_bounded(gateway: Gateway):
    gateway.write(server='shutdown_grace = "200ms"')
    gateway.start()
    with gateway.connect() as idle:
        gateway.ask()
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        del idle


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_is_faster(gateway: Gateway, first: signal.Signals):
    gateway.write(server='shutdown_grace = "300s"')
    gateway.start()
    with gateway.connect() as idle:
        gateway.ask()
        gateway.signal(first)
        until(lambda: gateway.events("gwd stopping"), "the stop to begin")
        gateway.signal(signal.SIGINT)
        assert gateway.wait() == 0
        del idle


def test_int_stops_at_once(gateway: Gateway):
    gateway.write(server='shutdown_grace = "300s"')
    gateway.start()
    with gateway.connect() as idle:
        gateway.ask()
        gateway.signal(signal.SIGINT)
        assert gateway.wait() == 0
        del idle


def test_ctrl_c_reaches_the_whole_group_and_ends_cleanly(gateway: Gateway):
    gateway.start()
    below = descendants(gateway.process.pid)
    os.killpg(gateway.process.pid, signal.SIGINT)
    assert gateway.wait() == 0
    assert not any(map(is_alive, below))
    assert "Traceback" not in gateway.said()


def test_term_to_the_whole_group_still_finishes_what_is_in_flight(gateway: Gateway):
    gateway.start()
    with gateway.connect() as slow:
        slow.sendall(b"slow\n")
        gateway.ask()
        os.killpg(gateway.process.pid, signal.SIGTERM)
        assert b'"body": "one"' in slow.makefile("rb").readline()
    assert gateway.wait() == 0


def test_a_frozen_worker_does_not_hold_up_the_end(gateway: Gateway):
    gateway.start()
    os.kill(gateway.workers()[0]["pid"], signal.SIGSTOP)
    gateway.signal(signal.SIGINT)
    assert gateway.wait() == 0


def test_usr1_reopens_the_logs_of_every_child(gateway: Gateway):
    gateway.start()
    gateway.signal(signal.SIGUSR1)
    until(
        lambda: all(answer["reopened"] == 1 for answer in gateway.workers().values()),
        "all workers to reopen their logs",
    )


def test_usr2_is_refused_and_nothing_else_happens(gateway: Gateway):
    gateway.start()
    gateway.signal(signal.SIGUSR2)
    until(lambda: gateway.events("upgrade refused"), "the refusal")
    assert set(gateway.workers()) == {0, 1}
