"""Retries: what was not sent goes elsewhere, what may have been read is never sent twice."""

from __future__ import annotations

from rig.client import request
from rig.configs import config
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.programs import free_port
from rig.upstream import Close, Connection, Hang, Pause, Reset, response


def test_refused_connections_move_every_method_to_another_endpoint(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    dead = f"127.0.0.1:{free_port()}"
    running = gateway(config(dead, up.address, app=('balance = "round_robin"', "retries = 0")))
    client = connect(running)
    for _ in range(4):
        assert client.get("/x").status == 200
        assert client.request(request("/x", method="POST", body=b"abc")).status == 200
    assert len(up.requests) == 8


def _reset_second(connection: Connection) -> None:
    """Serve one request, and reset the connection on the next one: it dies in the pool."""
    first = connection.read_request()
    if first is None:
        return
    connection.upstream.record(first)
    connection.send(response(b"ok"))
    second = connection.read_request()
    if second is not None:
        connection.upstream.record(second)
        connection.play((Reset(),))


def test_a_pooled_connection_that_died_is_replaced_for_a_get(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.behaviour = _reset_second
    running = gateway(config(up.address, app=("retries = 0",)))
    client = connect(running)
    assert [client.get(target).status for target in ("/1", "/2", "/3")] == [200, 200, 200]
    assert [r.target for r in up.requests] == ["/1", "/2", "/2", "/3", "/3"]


def test_a_post_that_may_have_been_read_is_not_sent_again(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    one, other = upstream("one"), upstream("other")
    for up in (one, other):
        up.on("/order", Close())
    running = gateway(config(one.address, other.address, app=("retries = 3",)))
    client = connect(running)
    assert client.request(request("/order", method="POST", body=b"x")).status == 502
    assert len(one.requests) + len(other.requests) == 1


def test_a_get_is_retried_after_a_close_as_often_as_asked(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    one, other = upstream("one"), upstream("other")
    for up in (one, other):
        up.on("/get", Close())
    running = gateway(config(one.address, other.address, app=("retries = 1",)))
    assert connect(running).get("/get").status == 502
    assert len(one.requests) + len(other.requests) == 2


def test_a_time_out_is_retried_for_a_get_and_not_for_a_post(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    slow, fast = upstream("slow"), upstream("fast")
    slow.on("/x", Hang())
    app = ('balance = "round_robin"', 'response_timeout = "200ms"', "retries = 1")
    running = gateway(config(slow.address, fast.address, app=app))
    client = connect(running)
    for _ in range(2):
        assert client.get("/x").get("x-served-by") == "fast"
    posts = sorted(client.request(request("/x", method="POST", body=b"x")).status for _ in range(2))
    assert posts == [200, 504]


def test_a_status_of_retry_on_is_retried(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    bad, good = upstream("bad"), upstream("good")
    bad.on("/x", response(b"busy", status="503 Busy"))
    app = ('balance = "round_robin"', "retry_on = [503]", "retries = 1")
    running = gateway(config(bad.address, good.address, app=app))
    client = connect(running)
    for _ in range(2):
        assert client.get("/x").get("x-served-by") == "good"
    posts = sorted(client.request(request("/x", method="POST", body=b"x")).status for _ in range(2))
    assert posts == [200, 503]


def test_nothing_is_sent_again_after_the_first_byte_of_an_answer(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/x", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Pause(0.1), Reset())
    running = gateway(config(up.address, app=("retries = 3",)))
    client = connect(running)
    client.send(request("/x"))
    assert client.end() in ("closed", "reset")
    assert client.buffer.endswith(b"half")
    assert len(up.requests) == 1


def test_the_route_bounds_all_attempts_together(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    one, other = upstream("one"), upstream("other")
    for up in (one, other):
        up.on("/x", Hang())
    routes = '[[routes]]\nname = "app"\npath = "/*"\nupstream = "app"\ntimeout = "300ms"\n'
    app = ('response_timeout = "10s"', "retries = 5")
    running = gateway(config(one.address, other.address, app=app, routes=routes))
    assert connect(running).get("/x").status == 504
