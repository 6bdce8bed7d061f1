"""kill -9 of anybody at any time: what can survive does, what cannot ends, nothing is orphaned."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from rig.client import Broken, request
from rig.configs import config
from rig.gateway import Gateway, until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.load import Load
from rig.upstream import Hang

HEALTH = '[upstreams.app.health]\npath = "/healthz"\ninterval = "50ms"\n'


def _answers(running: Gateway, connect: Connect) -> bool:
    client = connect(running)
    answered = client.get("/x", "Connection: close").status == 200
    client.close()
    return answered


def test_a_killed_worker_is_replaced_on_the_same_socket(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address), workers=2)
    before = running.workers()
    idle = connect(running)
    for victim in before:
        os.kill(victim, signal.SIGKILL)
    # Nobody is refused meanwhile: who comes now waits in the queue of the socket that stays.
    for _ in range(50):
        assert _answers(running, connect)
    assert until(lambda: len(running.workers()) == 2)
    assert not set(running.workers()) & set(before)
    idle.close()


def test_killing_one_worker_again_and_again_fails_only_what_was_in_it(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address), workers=2)
    with Load(running.address, clients=8) as load:
        for _ in range(5):
            os.kill(running.workers()[0], signal.SIGKILL)
            assert until(lambda: len(running.workers()) == 2)
    # A request, or the connection it would have come on, may be lost per client and kill.
    assert sum(load.failures.values()) <= 8 * 5
    assert all("closed" in what or "reset" in what.lower() for what in load.failures), load.failures
    assert load.done > 0


def test_the_requests_in_flight_of_other_workers_go_on(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/slow", Hang())
    running = gateway(config(up.address), workers=2)
    clients = [connect(running) for _ in range(16)]
    for client in clients:
        client.send(request("/slow"))
    assert until(lambda: len(up.requests) == 16)
    os.kill(running.workers()[0], signal.SIGKILL)
    assert until(lambda: any(client.end(0) != "open" for client in clients))
    time.sleep(0.3)
    lost = [client for client in clients if client.end(0) != "open"]
    assert 0 < len(lost) < 16


def test_a_killed_controller_is_noticed_by_nobody(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address, more=HEALTH), workers=1)
    workers, controller = running.workers(), running.controller()
    with Load(running.address) as load:
        os.kill(controller, signal.SIGKILL)
        assert until(lambda: len(running.family()) == 2 and running.controller() != controller)
    assert not load.failures
    assert running.workers() == workers
    seen = len(up.requests)
    assert until(lambda: any(r.target == "/healthz" for r in up.requests[seen:]))


def test_children_do_not_outlive_a_killed_supervisor(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/slow", Hang())
    running = gateway(config(up.address, more=HEALTH), workers=2)
    client = connect(running)
    client.send(request("/slow"))
    assert until(lambda: any(r.target == "/slow" for r in up.requests))
    running.kill(signal.SIGKILL)
    running.process.wait(10)
    assert until(lambda: not running.alive(), 10), "orphans"
    with contextlib.suppress(Broken):
        client.response()
    # Its place is free: the next one starts on the same port and in the same directory.
    again = gateway(config(up.address, server=(f'bind = ["{running.addresses[0]}"]',)))
    assert _answers(again, connect)


def test_a_stopped_worker_is_replaced(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=('watchdog = "1s"',)), workers=1)
    (stuck,) = running.workers()
    os.kill(stuck, signal.SIGSTOP)
    assert until(lambda: running.workers() not in ([stuck], []), 20)
    assert _answers(running, connect)
