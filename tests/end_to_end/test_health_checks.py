"""Active health checks: what fails them gets no requests, what passes them again does."""

from __future__ import annotations

from rig.client import Client
from rig.configs import config
from rig.gateway import until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.upstream import Hang, response

HEALTH = """
[upstreams.app.health]
path = "/healthz"
interval = "50ms"
timeout = "200ms"
rise = 2
fall = 2
"""
BAD = response(b"no", status="503 Service Unavailable")


def _served(client: Client, count: int = 12) -> set[str | None]:
    return {client.get("/x").get("x-served-by") for _ in range(count)}


def test_an_endpoint_leaves_and_comes_back(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    sick, well = upstream("sick"), upstream("well")
    app = ('balance = "round_robin"',)
    running = gateway(config(sick.address, well.address, app=app, more=HEALTH), workers=2)
    client = connect(running)
    assert _served(client) == {"sick", "well"}

    for answer in (BAD, Hang()):
        sick.on("/healthz", answer)
        assert until(lambda: _served(client) == {"well"}), "it still gets requests"
        sick.scripts.clear()
        assert until(lambda: _served(client) == {"sick", "well"}), "it does not come back"


def test_an_endpoint_that_dies_is_noticed_by_nobody(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    mortal, other = upstream("mortal"), upstream("other")
    app = ('balance = "round_robin"',)
    running = gateway(config(mortal.address, other.address, app=app, more=HEALTH), workers=1)
    client = connect(running)
    statuses = [client.get("/x").status for _ in range(10)]
    mortal.refuse()
    statuses += [client.get("/x").status for _ in range(100)]
    assert set(statuses) == {200}
    assert until(lambda: _served(client) == {"other"})

    again = upstream("again", port=mortal.port)
    assert until(lambda: _served(client) == {"again", "other"}), "it does not come back"
    assert again.requests


def test_the_checks_bear_the_gateways_name(gateway: StartGateway, upstream: StartUpstream) -> None:
    up = upstream()
    gateway(config(up.address, more=HEALTH))
    assert until(lambda: any(r.target == "/healthz" for r in up.requests))
    check = next(r for r in up.requests if r.target == "/healthz")
    assert (check.method, "gwd" in (check.get("user-agent") or "")) == ("GET", True)
