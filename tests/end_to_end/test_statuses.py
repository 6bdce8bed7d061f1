"""Every status that the gateway makes itself, from a real one, as a problem (RFC 9457)."""

from __future__ import annotations

import json
from pathlib import Path

from rig.client import Response, request
from rig.configs import config
from rig.configs import upstream as upstream_table
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.programs import free_port
from rig.tokens import Issuer
from rig.upstream import Hang, Reset

ROUTES = """
[[routes]]
name = "orders"
path = "/orders/*"
methods = ["GET", "POST"]
upstream = "app"

[[routes]]
name = "secured"
path = "/secured/*"
auth = "main"
require = { scope = ["orders:read"] }
upstream = "app"

[[routes]]
name = "down"
path = "/down/*"
upstream = "down"

[[routes]]
name = "here"
path = "/here"
respond = { status = 200, body = "here", headers = { Content-Type = "text/plain" } }

[[routes]]
name = "old"
path = "/old/*"
respond = { redirect = "/orders/{*}", status = 308 }
"""


def _problem(answer: Response, status: int) -> dict[str, object]:
    """The problem in `answer`, which has this status and names no address of ours."""
    assert answer.status == status, answer
    assert answer.get("content-type") == "application/problem+json"
    problem: dict[str, object] = json.loads(answer.body)
    assert problem.keys() >= {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == answer.get("x-request-id")
    assert b"127.0.0.1" not in answer.body
    return problem


def test_each_status(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect, tmp_path: Path
) -> None:
    issuer = Issuer(tmp_path)
    up = upstream()
    up.on("/orders/resets", Reset())
    up.on("/orders/hangs", Hang())
    down = upstream_table("down", [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"])
    running = gateway(
        config(
            up.address,
            server=('max_body = "1KiB"',),
            app=('response_timeout = "200ms"', "retries = 0"),
            more=down + issuer.table,
            routes=ROUTES,
        )
    )
    client = connect(running)

    ok = client.get("/orders/1")
    assert (ok.status, ok.body, ok.get("x-served-by")) == (200, b"ok\n", "up")
    assert ok.get("x-request-id") == up.requests[0].get("x-request-id")

    here = client.get("/here")
    assert (here.status, here.body, here.get("content-type")) == (200, b"here", "text/plain")
    assert client.get("/here", method="HEAD").get("content-length") == "4"
    moved = client.get("/old/7?a=b")
    assert (moved.status, moved.get("location")) == (308, "/orders/7?a=b")

    refused = client.get("/secured/1")
    _problem(refused, 401)
    assert (refused.get("www-authenticate") or "").startswith("Bearer")
    stale = client.get("/secured/1", issuer.bearer(exp=1))
    _problem(stale, 401)
    assert "invalid_token" in (stale.get("www-authenticate") or "")
    unscoped = client.get("/secured/1", issuer.bearer())
    _problem(unscoped, 403)
    assert "insufficient_scope" in (unscoped.get("www-authenticate") or "")
    let_in = client.get("/secured/1", issuer.bearer(scope="orders:read x"), "x_user_id: root")
    assert let_in.status == 200
    assert up.requests[-1].get("x-user-id") == "ada"

    _problem(client.get("/nowhere"), 404)
    not_allowed = client.get("/orders/1", method="PUT")
    _problem(not_allowed, 405)
    assert not_allowed.get("allow") == "GET, HEAD, POST"

    _problem(client.get("/orders/hangs"), 504)
    _problem(client.get("/orders/resets"), 502)
    _problem(client.get("/down/1"), 502)

    for sends, status in (
        (request("/orders/1", method="POST", body=b"x" * 1025), 413),
        (request("/orders/1?" + "x" * 9000), 414),
        (request("/orders/1", "X-A: " + "x" * 40000), 431),
        (b"nonsense\r\n\r\n", 400),
        (request("/orders/1", "Expect: wonders", method="POST", body=b"x"), 417),
        (request("/orders/1", "Transfer-Encoding: gzip", method="POST"), 501),
        (b"GET / HTTP/3.0\r\nHost: gw.test\r\n\r\n", 505),
    ):
        answer = connect(running).request(sends)
        _problem(answer, status)
        assert answer.closes


def test_503_when_every_endpoint_is_known_to_be_down(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/healthz", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    health = '[upstreams.app.health]\npath = "/healthz"\ninterval = "50ms"\nfall = 1\n'
    running = gateway(config(up.address, more=health))
    client = connect(running)
    answers = [client.get("/x")]
    while answers[-1].status == 200 and len(answers) < 2000:
        answers.append(client.get("/x"))
    _problem(answers[-1], 503)
    assert answers[-1].get("retry-after")


def test_503_when_the_queue_is_full(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/slow", Hang())
    running = gateway(
        config(
            up.address,
            app=(
                "max_connections = 1",
                "max_pending = 1",
                'pending_timeout = "300ms"',
                'response_timeout = "1s"',
                "retries = 0",
            ),
        )
    )
    clients = [connect(running) for _ in range(4)]
    for client in clients:
        client.send(request("/slow"))
    answers = [client.response() for client in clients]
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [503, 503, 503, 504]
    for answer in answers:
        _problem(answer, answer.status)
        assert (answer.get("retry-after") is not None) == (answer.status == 503)
