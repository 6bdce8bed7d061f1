"""One answer from several services: complete, with a part down, with a part late."""

from __future__ import annotations

import json
import time

from rig.client import Client
from rig.configs import config
from rig.configs import upstream as table
from rig.gateway import Gateway
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.upstream import Hang, Pause, RecordingUpstream, response

ROUTES = """
[[routes]]
name = "home"
path = "/home/{user}"
methods = ["GET"]
timeout = "3s"

[[routes.parts]]
name = "profile"
upstream = "profile"
path = "/users/{user}"
required = true

[[routes.parts]]
name = "orders"
upstream = "orders"
path = "/orders?user={user}"
pick = ["items.id", "items.total"]
timeout = "300ms"
default = []

[[routes.parts]]
name = "cart"
upstream = "cart"
path = "/carts/{user}"
timeout = "300ms"
"""

PROFILE = b'{"name": "Ada", "id": 12345678901234567890123}'
ORDERS = b'{"items": [{"id": 1, "total": 2.50, "secret": "x"}], "count": 1}'
CART = b'{"items": 3}'


class _Services:
    def __init__(self, upstream: StartUpstream) -> None:
        self.profile, self.orders, self.cart = map(upstream, ("profile", "orders", "cart"))
        self.profile.on("/users/ada", response(PROFILE))
        self.orders.on("/orders", response(ORDERS))
        self.cart.on("/carts/ada", response(CART))

    @property
    def all(self) -> tuple[RecordingUpstream, ...]:
        return self.profile, self.orders, self.cart

    def front(self, gateway: StartGateway) -> Gateway:
        tables = "".join(
            table(service.name, [service.address], "retries = 0") for service in self.all
        )
        return gateway(config(more=tables, routes=ROUTES))


def _home(client: Client) -> tuple[int, object, str | None]:
    answer = client.get("/home/ada")
    return answer.status, json.loads(answer.body), answer.get("gwd-incomplete")


def test_all_parts(gateway: StartGateway, upstream: StartUpstream, connect: Connect) -> None:
    services = _Services(upstream)
    client = connect(services.front(gateway))
    answer = client.get("/home/ada", "Range: bytes=0-1", "Accept-Encoding: gzip")
    assert answer.status == 200
    assert answer.get("content-type") == "application/json"
    assert answer.get("gwd-incomplete") is None
    assert b"12345678901234567890123" in answer.body
    assert json.loads(answer.body) == {
        "profile": json.loads(PROFILE),
        "orders": {"items": [{"id": 1, "total": 2.5}]},
        "cart": {"items": 3},
    }
    (asked,) = services.orders.requests
    assert asked.target == "/orders?user=ada"
    assert (asked.get("range"), asked.get("accept-encoding")) == (None, None)
    assert asked.get("x-request-id") == answer.get("x-request-id")


def test_parts_are_fetched_side_by_side(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    services = _Services(upstream)
    for service, path, body in (
        (services.profile, "/users/ada", PROFILE),
        (services.orders, "/orders", ORDERS),
        (services.cart, "/carts/ada", CART),
    ):
        service.on(path, Pause(0.2), response(body))
    client = connect(services.front(gateway))
    client.sock.sendall(b"GET /home/ada HTTP/1.1\r\nHost: gw.test\r\n\r\n")
    deadline = time.monotonic() + 10
    while not all(service.requests for service in services.all):
        assert time.monotonic() < deadline
        assert client.buffer == b""
    assert client.response().status == 200


def test_a_part_that_is_down(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    services = _Services(upstream)
    client = connect(services.front(gateway))
    services.cart.refuse()
    status, body, incomplete = _home(client)
    assert (status, incomplete) == (200, "cart")
    assert isinstance(body, dict)
    assert body.keys() == {"profile", "orders"}
    services.orders.refuse()
    status, body, incomplete = _home(client)
    assert status == 200
    assert incomplete in ("cart, orders", "orders, cart")
    assert body == {"profile": json.loads(PROFILE), "orders": []}


def test_a_part_that_is_late(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    services = _Services(upstream)
    services.orders.on("/orders", Hang())
    status, body, incomplete = _home(connect(services.front(gateway)))
    assert (status, incomplete) == (200, "orders")
    assert body == {"profile": json.loads(PROFILE), "orders": [], "cart": json.loads(CART)}


def test_parts_that_fail_otherwise(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    services = _Services(upstream)
    client = connect(services.front(gateway))
    for wrong in (
        response(b"oops", status="500 Oops"),
        response(b"{not json"),
        response(b'{"a": "' + b"x" * 2_000_000 + b'"}'),
        response(b"\x1f\x8b", "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n[1,2]",
    ):
        services.cart.on("/carts/ada", wrong)
        assert _home(client)[0::2] == (200, "cart"), wrong[:80]


def test_without_a_required_part_there_is_no_answer(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    services = _Services(upstream)
    services.profile.on("/users/nobody", response(b"{}", status="404 Not Found"))
    client = connect(services.front(gateway))
    services.profile.refuse()
    answer = client.get("/home/ada")
    assert answer.status == 502
    assert answer.get("content-type") == "application/problem+json"


def test_a_capture_cannot_leave_its_segment(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    services = _Services(upstream)
    client = connect(services.front(gateway))
    for user in ("..", "%2e%2e", "a%2fb"):
        assert _status(client, user) in (400, 404)
    client.get("/home/a?b=c&user=eve")
    assert services.orders.requests[-1].target == "/orders?user=a"
    client.get("/home/a&user=eve")
    assert services.orders.requests[-1].target == "/orders?user=a%26user%3Deve"


def _status(client: Client, user: str) -> int:
    """The status for this user, asked on a connection of its own, which a refusal may end."""
    with Client(client.sock.getpeername()) as another:
        return another.get(f"/home/{user}", "Connection: close").status
