"""A connection carries many requests, answered in their order, one at a time."""

from __future__ import annotations

from rig.client import request
from rig.configs import config
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.upstream import Hang, Pause, response


def test_pipelined_requests_are_answered_in_order(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/0", Pause(0.05), response(b"0"))
    for number in range(1, 100):
        up.on(f"/{number}", response(str(number).encode()))
    running = gateway(config(up.address))
    client = connect(running)
    client.send(b"".join(request(f"/{number}") for number in range(100)))
    assert [client.response().body for _ in range(100)] == [str(n).encode() for n in range(100)]
    assert [r.target for r in up.requests] == [f"/{number}" for number in range(100)]


def test_pipelined_bodies_and_refusals_keep_the_order(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    routes = '[[routes]]\nname = "app"\npath = "/app/*"\nupstream = "app"\n'
    running = gateway(config(up.address, routes=routes))
    client = connect(running)
    chunks = b"3\r\nabc\r\n0\r\n\r\n"
    client.send(
        request("/app/1", method="POST", body=b"abc")
        + request("/nowhere")
        + request("/app/2", "Transfer-Encoding: chunked", method="POST")
        + chunks
        + request("/app/3", method="HEAD")
        + request("/app/4")
    )
    methods = ("POST", "GET", "POST", "HEAD", "GET")
    assert [client.response(m).status for m in methods] == [200, 404, 200, 200, 200]
    assert [r.body for r in up.requests] == [b"abc", b"abc", b"", b""]


def test_what_follows_a_closing_request_is_ignored(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address))
    client = connect(running)
    client.send(request("/1", "Connection: close") + request("/2"))
    assert client.response().status == 200
    assert client.end() == "closed"
    assert client.buffer == b""
    assert [r.target for r in up.requests] == ["/1"]


def test_a_thousand_pipelined_requests_do_not_starve_others(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    routes = '[[routes]]\nname = "here"\npath = "/*"\nrespond = { status = 200, body = "x" }\n'
    running = gateway(config(routes=routes))
    greedy, modest = connect(running), connect(running)
    greedy.send(request("/greedy") * 1000)
    assert modest.get("/modest").status == 200
    for _ in range(1000):
        assert greedy.response().status == 200
    asked = [line["path"] for line in running.logged(1001)]
    assert len(asked) == 1001
    assert asked.index("/modest") < 990


def test_a_half_closed_client_gets_its_answer(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/x", Pause(0.1), response(b"here"))
    running = gateway(config(up.address))
    client = connect(running)
    client.send(request("/x"))
    client.finish_sending()
    assert client.response().body == b"here"
    assert client.end() == "closed"


def test_what_was_pipelined_before_a_half_close_is_answered(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/x", Pause(0.1), response(b"here"))
    running = gateway(config(up.address))
    client = connect(running)
    client.send(request("/x") * 5)
    client.finish_sending()
    assert [client.response().body for _ in range(5)] == [b"here"] * 5
    assert client.end() == "closed"


def test_upstream_connections_are_used_again(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address))
    for _ in range(10):
        with connect(running) as client:
            assert client.get("/x", "Connection: close").status == 200
    assert len(up.connections) == 1


def test_a_client_that_leaves_takes_its_request_along(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/slow", Hang())
    running = gateway(config(up.address))
    client = connect(running)
    client.send(request("/slow"))
    while not up.requests:
        pass
    client.reset()
    (line,) = running.logged(1, path="/slow")
    assert line["status"] == 499
