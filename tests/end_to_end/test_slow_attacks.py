"""Large and slow input: bounded in time, in memory, and for everybody else (SEC-02, SEC-25)."""

from __future__ import annotations

import resource
import time

import pytest
from rig.client import request
from rig.configs import config
from rig.gateway import cpu_seconds, rss, until
from rig.kinds import Connect, StartGateway, StartUpstream

READ = 256_000
"""Bytes that the worker may see in one read."""
MOST_CPU = 1.0
"""Seconds for twenty such reads: far below the 4.5 s that one field can cost h11, far above what
is due, for the machine may be busy."""

HOSTILE = {
    "blanks-before-a-control": b"GET /x HTTP/1.1\r\nX:" + b" " * READ + b"\x0b\r\n\r\n",
    "fields-without-end": b"GET /x HTTP/1.1\r\n" + b"a:\r\n" * (READ // 4),
    "line-without-end": b"GET /" + b"x" * READ,
    "carriage-returns": b"\r" * READ,
    "empty-lines": b"\r\n" * (READ // 2),
    "nothing-but-nul": b"\0" * READ,
    "colons": b"GET /x HTTP/1.1\r\n" + b":" * READ + b"\r\n\r\n",
    "percent-signs": b"GET /" + b"%41" * 2700 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "slashes-and-dots": b"GET /" + b"./../a/" * 1100 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "size-line-of-blanks": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;"
    + b" " * READ
    + b"\n",
    "chunks-of-one-byte": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * (READ // 6),
    "commas": b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: " + b"," * 30000 + b"\r\n\r\n",
}


def test_no_read_costs_much(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=('access_log = "off"',)))
    (worker,) = running.workers()
    for name, data in HOSTILE.items():
        before = cpu_seconds(worker)
        for _ in range(20):
            client = connect(running)
            client.send(data)
            client.finish_sending()
            client.end()
            client.close()
        assert cpu_seconds(worker) - before < MOST_CPU, name
    assert connect(running).get("/x").status == 200


def test_a_thousand_silent_and_slow_clients_harm_nobody(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=('head_timeout = "2s"',)))
    (worker,) = running.workers()
    before = rss(worker)
    slow = [connect(running) for _ in range(1000)]
    for number, client in enumerate(slow):
        if number % 2:
            client.send(b"GET /x HTTP/1.1\r\nHost: gw.test\r\nX-A: ")
    good = connect(running)
    assert good.get("/x").status == 200
    assert rss(worker) - before < 32 * 1024 * 1024
    assert all(client.end() == "closed" for client in slow)
    assert good.get("/x").status == 200


@pytest.mark.slow  # the rate is asked for after ten seconds
def test_min_body_rate(gateway: StartGateway, upstream: StartUpstream, connect: Connect) -> None:
    server = ('min_body_rate = "1KiB/s"', 'body_timeout = "5s"')
    running = gateway(config(upstream().address, server=server))
    client = connect(running)
    client.send(request("/x", "Content-Length: 1000000", method="POST"))
    began = time.monotonic()
    while client.send(b"x") and client.end(0.2) == "open":
        assert time.monotonic() - began < 25, "a trickle may go on for ever"
        if client.buffer:
            break
    assert client.response("POST").status == 408


def test_max_connections_makes_room_by_closing_idle_ones(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=("max_connections = 50",)))
    idle = [connect(running) for _ in range(50)]
    assert all(client.get("/x").status == 200 for client in idle)
    late = connect(running)
    assert late.get("/x").status == 200
    assert until(lambda: any(client.end(0) == "closed" for client in idle))


def test_running_out_of_descriptors_is_survived(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address))
    (worker,) = running.workers()
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (64, 64))
    crowd = [connect(running) for _ in range(100)]
    assert until(lambda: "out of file descriptors" in running.said(), 10)
    for client in crowd:
        client.close()
    assert until(lambda: connect(running).get("/x", "Connection: close").status == 200, 10)


def test_a_client_whose_first_request_is_still_to_come_does_not_make_room(
    gateway: StartGateway, connect: Connect
) -> None:
    routes = '[[routes]]\nname = "here"\npath = "/*"\nrespond = { status = 200, body = "x" }\n'
    running = gateway(config(routes=routes, server=("max_connections = 2",)))
    first, second = connect(running), connect(running)
    late = connect(running)  # waits in the kernel's queue
    time.sleep(0.3)
    assert first.get("/x").status == 200
    assert late.get("/x").status == 200
    assert first.end(1) == "closed"
    assert second.get("/x").status == 200
