"""How it ends: TERM gracefully, INT at once; and what keeps a second one from starting."""

from __future__ import annotations

import signal
import socket
import threading

import pytest
from rig.client import request
from rig.configs import config
from rig.gateway import DidNotStart, Gateway, until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.load import Load
from rig.upstream import Hang, Pause, response


def _refuses(running: Gateway) -> bool:
    try:
        socket.create_connection(running.address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_term_lets_requests_in_flight_finish_and_refuses_new_connections(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/slow", Pause(1.0), response(b"slow"))
    running = gateway(config(up.address), workers=2)
    idle, busy = connect(running), connect(running)
    assert idle.get("/x").status == 200
    busy.send(request("/slow"))
    assert until(lambda: len(up.requests) == 2)
    running.kill(signal.SIGTERM)
    assert idle.end() == "closed"
    assert until(lambda: _refuses(running))  # the other worker drains at its own pace
    answer = busy.response()
    assert (answer.body, answer.closes) == (b"slow", True)
    assert running.process.wait(10) == 0


def test_term_under_load_fails_nothing_that_was_taken(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address), workers=2)
    with Load(running.address, clients=8) as load:
        assert until(lambda: load.done > 200)
        running.kill(signal.SIGTERM)
        assert running.process.wait(10) == 0
    wrong = [what for what in load.failures if not what.startswith("ConnectionRefused")]
    # A keep-alive connection may be closed at the moment in which a client asks on it (RFC 9112
    # section 9.5): a client sees the close before any byte of an answer.
    assert all("closed after b''" in what or "reset after b''" in what for what in wrong), wrong


def test_the_grace_ends(gateway: StartGateway, upstream: StartUpstream, connect: Connect) -> None:
    up = upstream()
    up.on("/never", Hang())
    running = gateway(config(up.address, server=('shutdown_grace = "300ms"',)))
    client = connect(running)
    client.send(request("/never"))
    assert until(lambda: up.requests)
    assert running.stop(signal.SIGTERM) == 0
    assert client.end() in ("closed", "reset")


def test_int_ends_it_at_once(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/never", Hang())
    running = gateway(config(up.address), workers=2)
    client = connect(running)
    client.send(request("/never"))
    assert until(lambda: up.requests)
    assert running.stop(signal.SIGINT) == 0
    assert client.end() in ("closed", "reset")


def test_stop_the_command_waits_until_it_is_over(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address))
    reaper = threading.Thread(target=running.process.wait)
    reaper.start()  # or it would stay, as a zombie of ours, for the command to wait for
    done = running.command("stop")
    assert done.returncode == 0, done.stderr
    reaper.join(10)
    assert not running.alive()
    assert running.command("stop").returncode == 3


def test_a_second_one_on_the_same_port_is_refused(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    first = gateway(config(up.address))
    with pytest.raises(DidNotStart) as refused:
        gateway(config(up.address, server=(f'bind = ["{first.addresses[0]}"]',)))
    assert refused.value.code == 4
    assert str(first.address[1]) in refused.value.said
    assert len(refused.value.said.strip().splitlines()) == 1
    for _ in range(20):
        assert connect(first).get("/x", "Connection: close").status == 200


def test_a_second_one_in_the_same_runtime_directory_is_refused(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    up = upstream()
    first = gateway(config(up.address))
    with pytest.raises(DidNotStart) as refused:
        gateway(config(up.address), arguments=("--admin", first.admin))
    assert refused.value.code == 4
    assert str(first.pid) in refused.value.said


def test_health_and_status_tell_whether_it_runs(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address), workers=2)
    assert running.command("health").returncode == 0
    status = running.command("status")
    assert status.returncode == 0, status.stderr
    assert "workers 2/2" in status.stdout
    running.stop()
    assert running.command("health").returncode in (1, 3)
    assert running.command("status").returncode == 3
