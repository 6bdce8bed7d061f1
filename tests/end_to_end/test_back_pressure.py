"""Who reads slowly is waited for: nothing gathers in the gateway, in neither direction."""

from __future__ import annotations

import threading
import time

from rig.client import request
from rig.configs import config
from rig.gateway import rss
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.upstream import Connection, response

PIECE = b"x" * 65536
ROOM = 16 * 1024 * 1024
"""More than sockets' buffers and marks of the gateway hold, far less than what is offered."""
OFFER = 256 * 1024 * 1024


class _Tap:
    """Offers a lot, and counts what was taken."""

    def __init__(self) -> None:
        self.taken = 0

    def settled(self) -> int:
        """What was taken when, for a while, no more was."""
        seen = -1
        while seen != self.taken:
            seen = self.taken
            time.sleep(0.3)
        return seen


def test_a_slow_reader_of_an_answer_is_waited_for(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up, tap = upstream(), _Tap()

    def pour(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % OFFER)
        while tap.taken < OFFER:
            connection.send(PIECE)
            tap.taken += len(PIECE)

    up.behaviour = pour
    running = gateway(config(up.address))
    (worker,) = running.workers()
    before = rss(worker)
    client = connect(running, small_window=True)
    client.send(request("/x"))
    assert tap.settled() < ROOM
    assert rss(worker) - before < ROOM
    for _ in range(64):  # it goes on as soon as the client does
        client.sock.recv(262144)
    client.close()


def test_a_slow_upstream_holds_back_an_upload(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up, tap = upstream(), _Tap()
    go_on = threading.Event()

    def dawdle(connection: Connection) -> None:
        connection.read_head()
        go_on.wait(60)
        connection.send(response(b"enough"))

    up.behaviour = dawdle
    running = gateway(config(up.address, server=('max_body = "1GiB"',)))
    (worker,) = running.workers()
    before = rss(worker)
    client = connect(running)
    client.send(request("/x", f"Content-Length: {OFFER}", method="POST"))

    def pour() -> None:
        while tap.taken < OFFER and client.send(PIECE):
            tap.taken += len(PIECE)

    pouring = threading.Thread(target=pour)
    pouring.start()
    assert tap.settled() < ROOM
    assert rss(worker) - before < ROOM
    go_on.set()
    assert client.response("POST").body == b"enough"
    pouring.join()


def test_many_slow_readers_stay_within_the_budget(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()

    def pour(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % OFFER)
        while True:
            connection.send(PIECE)

    up.behaviour = pour
    running = gateway(config(up.address))
    (worker,) = running.workers()
    before = rss(worker)
    clients = [connect(running, small_window=True) for _ in range(40)]
    for client in clients:
        client.send(request("/x"))
    time.sleep(1.0)
    assert rss(worker) - before < 64 * 1024 * 1024
    assert all(client.sock.recv(10) for client in clients)
