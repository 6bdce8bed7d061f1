"""A new config is in force everywhere or nowhere, and nobody notices the change."""

from __future__ import annotations

import signal
import time

from rig.client import request
from rig.configs import ANY_PATH, config
from rig.gateway import until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.load import Load
from rig.scale import amount
from rig.upstream import Pause, response

SECOND = """
[[routes]]
name = "second"
path = "/second"
respond = { status = 200, body = "second" }
"""


def test_hups_under_load_lose_nothing(gateway: StartGateway, upstream: StartUpstream) -> None:
    up = upstream()
    running = gateway(config(up.address), workers=2)
    workers = running.workers()
    with Load(running.address, clients=8) as load:
        over = time.monotonic() + amount(2.0, 30.0)
        turn = 0
        while time.monotonic() < over or running.said().count("reload done") < 3:
            turn += 1
            running.config.write_text(config(up.address, routes=ANY_PATH + SECOND * (turn % 2)))
            running.kill(signal.SIGHUP)
            time.sleep(0.2)
    assert not load.failures
    assert load.done > 100
    assert running.workers() == workers


def test_a_reload_is_in_force_when_the_command_is_done(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address), workers=2)
    clients = [connect(running) for _ in range(8)]
    assert {client.get("/second").body for client in clients} == {b"ok\n"}
    done = running.reload(config(up.address, routes=ANY_PATH + SECOND))
    assert done.returncode == 0, done.stderr
    assert {client.get("/second").body for client in clients} == {b"second"}


def test_a_broken_config_is_refused_and_changes_nothing(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address), workers=2)
    workers = running.workers()
    client = connect(running)
    for broken, word in (
        ("[server\n", "gwd.toml:1"),
        (config(up.address, server=("max_bodi = 1",)), "max_body"),
        (config(up.address, routes=ANY_PATH.replace('"app"\n', '"ap"\n')), "ap"),
        (config(up.address, routes=ANY_PATH + ANY_PATH.replace('name = "app"', 'name = "b"')), "b"),
    ):
        done = running.reload(broken)
        assert done.returncode == 1
        assert word in done.stderr
        assert "Traceback" not in done.stderr
        assert client.get("/x").status == 200
    assert running.workers() == workers
    assert running.reload(config(up.address)).returncode == 0


def test_a_request_in_flight_finishes_on_the_config_it_began_with(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/slow", Pause(1.0), response(b"slow"))
    running = gateway(config(up.address))
    client = connect(running)
    client.send(request("/slow"))
    assert until(lambda: up.requests)
    routes = '[[routes]]\nname = "gone"\npath = "/gone"\nrespond = { status = 200, body = "" }\n'
    assert running.reload(config(routes=routes)).returncode == 0
    assert client.response().body == b"slow"
    assert client.get("/slow").status == 404
