"""Requests are spread over the instances of a service, by weight."""

from __future__ import annotations

from collections import Counter
from functools import partial

from rig.client import Client, request
from rig.configs import config
from rig.gateway import until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.upstream import Hang


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
    busy.on("/slow", Hang())
    app = ('balance = "least_requests"',)
    running = gateway(config(busy.address, free.address, app=app), workers=1)

    def taken(client: Client) -> bool:
        client.end(0)
        return bool(busy.requests or client.buffer)

    while not busy.requests:
        client = connect(running)
        client.send(request("/slow"))
        assert until(partial(taken, client))
    assert _served(connect(running), 20) == {"free": 20}
