"""Requests are spread over the instances of a service, by weight."""

from __future__ import annotations

from collections import Counter

from rig.client import Client, request
from rig.configs import config
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.upstream import Pause, response


def _served(client: Client, count: int) -> Counter[str | None]:
    return Counter(client.get("/x").get("x-served-by") for _ in range(count))


def test_round_robin_takes_turns(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    ups = [upstream(name) for name in "abc"]
    running = gateway(config(*(up.address for up in ups), app=('balance = "round_robin"',)))
    assert _served(connect(running), 30) == {"a": 10, "b": 10, "c": 10}


def test_weights_count(gateway: StartGateway, upstream: StartUpstream, connect: Connect) -> None:
    light, heavy = upstream("light"), upstream("heavy")
    table = f"""
[upstreams.app]
endpoints = ["{light.address}", {{ address = "{heavy.address}", weight = 3 }}]
balance = "round_robin"
"""
    running = gateway(config(more=table))
    assert _served(connect(running), 40) == {"light": 10, "heavy": 30}


def test_least_requests_avoids_the_busy_one(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    busy, free = upstream("busy"), upstream("free")
    busy.on("/slow", Pause(6), response(b"slow"))
    free.on("/slow", Pause(0.0), response(b"quick"))
    running = gateway(
        config(busy.address, free.address, app=('balance = "least_requests"',)), workers=1
    )
    waiting = []
    while len(busy.requests) < 3:
        client = connect(running)
        client.send(request("/slow"))
        waiting.append(client)
        assert len(waiting) < 500
    assert _served(connect(running), 20)["free"] == 20
