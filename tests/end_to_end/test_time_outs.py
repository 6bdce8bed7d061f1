"""Every time-out of the data path ends what it is for, with its status, and nothing else."""

from __future__ import annotations

import socket
import threading
import time

from rig.client import Client, request
from rig.configs import config
from rig.gateway import Gateway, until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.programs import free_port
from rig.upstream import Hang, Pause, response

from gwd.worker.process import FORGET

CHUNKED = request("/x", "Transfer-Encoding: chunked", method="POST")


def _trickle(client: Client, data: bytes, pause: float) -> threading.Thread:
    """Send byte by byte, slowly, until it is refused."""
    thread = threading.Thread(
        target=lambda: client.send_pieces([data[at : at + 1] for at in range(len(data))], pause)
    )
    thread.start()
    return thread


def test_head_timeout_is_absolute(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=('head_timeout = "400ms"',)))
    silent, slow, second = connect(running), connect(running), connect(running)
    drip = _trickle(slow, request("/x", "X-A: " + "b" * 400), 0.02)
    assert second.get("/x").status == 200
    second.send(b"GET /x HT")
    assert silent.end() == "closed"
    for late in (slow, second):
        answer = late.response()
        assert (answer.status, answer.closes) == (408, True)
        late.finish_sending()
        assert late.end() == "closed"
    drip.join()


def test_idle_timeout_closes_quietly(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=('idle_timeout = "300ms"',)))
    client = connect(running)
    assert client.get("/x").status == 200
    assert client.end() == "closed"
    assert client.buffer == b""


def test_idle_timeout_is_kept_past_what_is_forgotten_earlier(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=(f'idle_timeout = "{FORGET + 2:.0f}s"',)))
    client = connect(running)
    assert client.get("/x").status == 200
    time.sleep(FORGET + 1)
    assert client.get("/x").status == 200  # by then nothing is known of the first
    assert client.end(FORGET + 1) == "open"
    assert client.end() == "closed"


def test_body_timeout_runs_between_two_reads(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address, server=('body_timeout = "300ms"',)))
    steady = connect(running)
    steady.send(request("/x", "Content-Length: 10", method="POST"))
    steady.send_pieces([b"x"] * 10, 0.06)
    assert steady.response("POST").status == 200
    for begins in (request("/x", "Content-Length: 10", method="POST"), CHUNKED):
        stalled = connect(running)
        stalled.send(begins)
        answer = stalled.response("POST")
        assert (answer.status, answer.closes) == (408, True)
        stalled.finish_sending()
        assert stalled.end() == "closed"
    assert len(up.requests) == 1
    assert until(lambda: not up.unfinished() or all(c.ended for c in up.connections[-2:]))


def test_response_timeout_is_504(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/never", Hang())
    up.on("/half", b"HTTP/1.1 200 OK\r\nContent-Le", Hang())
    up.on("/interim", b"HTTP/1.1 102 Processing\r\n\r\n", Hang())
    app = ('response_timeout = "300ms"', "retries = 0")
    client = connect(gateway(config(up.address, app=app)))
    for target in ("/never", "/half", "/interim"):
        assert client.get(target).status == 504
    assert client.get("/x").status == 200


def test_stream_idle_breaks_the_answer(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/stops", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Hang())
    slow: list[Pause | bytes] = []
    for _ in range(6):
        slow += [Pause(0.1), b"x"]
    up.on("/slow", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", *slow)
    running = gateway(config(up.address, app=('stream_idle = "400ms"',)))
    client = connect(running)
    assert client.get("/slow").body == b"x" * 6
    client.send(request("/stops"))
    assert client.end() in ("closed", "reset")
    assert client.buffer.endswith(b"half")


def test_connect_timeout_moves_on(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    # A queue that is full swallows the SYN: nobody answers, nobody refuses.
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    filling = [socket.socket() for _ in range(4)]
    for sock in filling:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    up = upstream()
    address = f"127.0.0.1:{full.getsockname()[1]}"
    app = ('connect_timeout = "200ms"', 'balance = "round_robin"', "retries = 0")
    both = gateway(config(address, up.address, app=app))
    client = connect(both)
    assert [client.get("/x").status for _ in range(2)] == [200, 200]
    alone = gateway(config(address, app=app))
    assert connect(alone).get("/x").status == 504
    for sock in (*filling, full):
        sock.close()


def test_write_timeout_ends_who_does_not_read(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/big", response(b"x" * 30_000_000))
    running = gateway(config(up.address, server=('write_timeout = "400ms"',)))
    client = connect(running, small_window=True)
    client.send(request("/big"))
    assert until(lambda: _open(running) == 0), "it waits on"
    assert client.end() in ("closed", "reset")
    assert len(client.buffer) < 30_000_000


def test_write_timeout_to_an_upstream_is_504(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.behaviour = lambda connection: threading.Event().wait(3) and None
    server = ('write_timeout = "400ms"', 'max_body = "64MiB"')
    client = connect(gateway(config(up.address, server=server)))
    client.send(request("/x", f"Content-Length: {30_000_000}", method="POST"))

    def pour() -> None:
        for _ in range(300):
            if not client.send(b"x" * 100_000):
                return

    pouring = threading.Thread(target=pour)
    pouring.start()
    assert client.response("POST").status == 504
    client.finish_sending()
    pouring.join()


def test_an_idle_upstream_connection_is_closed_in_time(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address, app=('keepalive_idle = "200ms"',)))
    assert connect(running).get("/x").status == 200
    assert until(lambda: up.connections[0].ended == "closed", 5)


def test_an_unreachable_service_is_502(gateway: StartGateway, connect: Connect) -> None:
    client = connect(gateway(config(f"127.0.0.1:{free_port()}")))
    assert client.get("/x").status == 502


def _open(running: Gateway) -> int:
    """Connections of clients that the workers hold."""
    port = f":{running.address[1]:04X}"
    with open(f"/proc/{running.pid}/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)
