"""A worker that hangs, and fewer workers than there were, lose nobody: others accept for them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

from rig.client import Client
from rig.configs import config
from rig.gateway import Gateway, until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.load import Load
from rig.scale import amount

HELLO = '[[routes]]\nname = "hello"\npath = "/*"\nrespond = { body = "hello" }\n'
RACED = ("closed after b''", "reset after b''")
"""A keep-alive connection that was idle may be closed at the moment in which a client asks on it
(RFC 9112 section 9.5)."""


def events(running: Gateway, name: str, **fields: Any) -> list[dict[str, Any]]:
    lines = [line for line in running.said().splitlines() if line.startswith("{")]
    found = [json.loads(line) for line in lines]
    return [event for event in found if {"msg": name, **fields}.items() <= event.items()]


def happened(running: Gateway, name: str, count: int = 1, **fields: Any) -> dict[str, Any]:
    """Wait until an event was logged so often; the last of them."""
    assert until(lambda: len(events(running, name, **fields)) >= count), (name, running.said())
    return events(running, name, **fields)[-1]


def worker(running: Gateway, slot: int) -> int:
    """The pid of the newest worker of `slot`."""
    pid = happened(running, "child started", child=f"worker {slot}")["pid"]
    assert isinstance(pid, int)
    return pid


def serves(running: Gateway, connect: Connect, clients: int = 40) -> None:
    """Every one of many new clients, over all listeners, gets its answer."""
    waiting = [connect(running) for _ in range(clients)]
    for client in waiting:
        client.send(b"GET /x HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n")
    for client in waiting:
        assert client.response().status == 200
        client.close()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def sizes(workers: int) -> str:
    text = config(server=(f"workers = {workers}",), routes=HELLO)
    return text.replace("max_workers = 4", "max_workers = 8")


def test_a_stopped_worker_costs_no_new_connection(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address), workers=2)
    with Load(running.address, clients=8, anew=True) as load:
        assert until(lambda: load.done > 100)
        with stopped(worker(running, 1)):
            told = happened(running, "listener adopted", reason="hung")
            assert (told["slot"], told["by"], told["reason"]) == (1, "worker 0", "hung")
            # What it had accepted waits for it; everybody else is served without it.
            serves(running, connect)
        happened(running, "listener released", slot=1)
        before = load.done
        assert until(lambda: load.done > before + 100)
    assert not load.failures
    assert not events(running, "child replaced")


def test_who_already_waits_in_its_queue_is_served_as_well(
    gateway: StartGateway, connect: Connect
) -> None:
    running = gateway(config(routes=HELLO), workers=2)
    with stopped(worker(running, 0)):
        serves(running, connect)
        assert events(running, "listener adopted", slot=0, reason="hung")
    happened(running, "listener released", slot=0)


def test_status_shows_who_stands_in(gateway: StartGateway) -> None:
    running = gateway(config(routes=HELLO), workers=2)
    with stopped(worker(running, 1)):
        happened(running, "listener adopted", reason="hung")
        status = json.loads(running.command("status", "--json").stdout)
        assert status["adopted"] == [{"slot": 1, "by": 0}]
        assert "adopted: slot 1 by worker 0" in running.command("status").stdout
    happened(running, "listener released")
    assert json.loads(running.command("status", "--json").stdout)["adopted"] == []


def test_the_successor_of_a_hung_worker_gets_its_listener_back(
    gateway: StartGateway, connect: Connect
) -> None:
    running = gateway(config(routes=HELLO, server=('watchdog = "2s"',)), workers=2)
    victim = worker(running, 1)
    os.kill(victim, signal.SIGSTOP)
    happened(running, "listener adopted", slot=1, reason="hung")
    serves(running, connect)
    happened(running, "child died", pid=victim)
    happened(running, "listener released", slot=1)
    serves(running, connect)
    assert len(events(running, "child replaced")) == 1
    assert worker(running, 1) != victim


def test_an_adopter_that_is_killed_is_followed_by_another(
    gateway: StartGateway, connect: Connect
) -> None:
    running = gateway(config(routes=HELLO), workers=3)
    with stopped(worker(running, 2)):
        adopter = happened(running, "listener adopted", slot=2, reason="hung")["pid"]
        os.kill(adopter, signal.SIGKILL)
        happened(running, "listener adopted", count=2, slot=2, reason="hung")
        serves(running, connect)
    happened(running, "listener released", slot=2)
    serves(running, connect)


def test_stopping_while_a_worker_hangs_serves_who_waits(
    gateway: StartGateway, connect: Connect
) -> None:
    server = ('shutdown_grace = "1s"', 'watchdog = "4s"')
    running = gateway(config(routes=HELLO, server=server), workers=2)
    victim = worker(running, 1)
    os.kill(victim, signal.SIGSTOP)
    happened(running, "listener adopted", slot=1, reason="hung")
    waiting = [connect(running) for _ in range(20)]
    running.kill(signal.SIGTERM)
    for client in waiting:
        client.send(b"GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n")
        assert client.response().status == 200
        client.close()
    assert running.stop() == 0


def resized(running: Gateway, workers: int) -> None:
    """Reload to so many workers, and wait until it is so."""
    done = len(events(running, "reload done"))
    running.config.write_text(sizes(workers))
    running.kill(signal.SIGHUP)
    assert f"{workers} worker" in happened(running, "reload done", count=done + 1)["detail"]
    assert until(lambda: len(running.workers()) == workers and len(running.family()) == workers + 1)


def test_fewer_workers_and_more_again_reset_no_new_connection(
    gateway: StartGateway, connect: Connect
) -> None:
    running = gateway(sizes(8), workers=0)
    with Load(running.address, clients=8, anew=True) as load:
        for _ in range(amount(1, 10)):
            for workers in (2, 8):
                resized(running, workers)
                before = load.done
                assert until(lambda before=before: load.done > before + 200)
    assert not load.failures
    assert load.done > 400
    assert until(lambda: len(events(running, "listener released", by="worker 0")) >= 3)
    serves(running, connect)


def test_fewer_workers_and_more_again_lose_no_request_of_kept_connections(
    gateway: StartGateway,
) -> None:
    running = gateway(sizes(8), workers=0)
    with Load(running.address, clients=16) as load:
        for workers in (2, 8):
            resized(running, workers)
            before = load.done
            assert until(lambda before=before: load.done > before + 200)
    assert not [what for what in load.failures if not any(raced in what for raced in RACED)]


def test_a_kept_connection_to_a_surplus_worker_is_told_that_it_ends(
    gateway: StartGateway, connect: Connect
) -> None:
    running = gateway(sizes(2), workers=0)
    clients: list[Client] = [connect(running) for _ in range(16)]
    for client in clients:
        client.send(b"GET /x HTTP/1.1\r\n")  # the rest of the head is still to come
    running.config.write_text(sizes(1))
    surplus = worker(running, 1)
    running.kill(signal.SIGHUP)
    assert until(lambda: surplus not in running.workers())
    closing = 0
    for client in clients:
        client.send(b"Host: gw.test\r\n\r\n")
        answer = client.response()
        assert answer.status == 200
        closing += answer.closes
    assert 0 < closing < 16
    happened(running, "child ended", pid=surplus)
    resized(running, 2)
