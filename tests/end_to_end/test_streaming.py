"""Bodies flow through: 50 MiB up and down, byte for byte, in a worker that does not grow."""

from __future__ import annotations

import hashlib
import os
import threading

from rig.client import request
from rig.configs import config
from rig.gateway import rss
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.upstream import Connection, response

SIZE = 50 * 1024 * 1024
PIECE = os.urandom(1024 * 1024)
PIECES = SIZE // len(PIECE)
ROOM = 20 * 1024 * 1024
"""Bytes by which a worker may grow."""


def _digest() -> str:
    digest = hashlib.sha256()
    for _ in range(PIECES):
        digest.update(PIECE)
    return digest.hexdigest()


class _Memory:
    """The most memory a process held while this was entered."""

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, rss(self._pid))

    def __enter__(self) -> _Memory:
        self.before = rss(self._pid)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self.most - self.before


def _drain_and_tell(connection: Connection) -> None:
    """Read an upload without keeping it, and answer with its hash."""
    head = connection.read_head()
    assert head is not None
    if b"chunked" in head.lower():
        while not connection.received.endswith(b"\r\n0\r\n\r\n"):
            connection.more()
        whole = connection.read_request()
        assert whole is not None
        digest = hashlib.sha256(whole.body).hexdigest()
    else:
        running = hashlib.sha256(connection.received[len(head) :])
        left = SIZE - (len(connection.received) - len(head))
        while left > 0:
            data = connection.sock.recv(262144)
            if not data:
                return
            running.update(data)
            left -= len(data)
        digest = running.hexdigest()
    connection.send(response(digest.encode()))


def test_50_mib_up_with_a_length(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.behaviour = _drain_and_tell
    running = gateway(config(up.address, server=('max_body = "64MiB"',)))
    client = connect(running)
    (worker,) = running.workers()
    with _Memory(worker) as memory:
        head = request("/x", f"Content-Length: {SIZE}", method="POST")
        client.send(head)
        for _ in range(PIECES):
            assert client.send(PIECE)
        answer = client.response("POST")
    assert answer.body.decode() == _digest()
    assert memory.growth < ROOM, f"{memory.growth} bytes"


def test_50_mib_up_in_chunks(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.behaviour = _drain_and_tell
    running = gateway(config(up.address, server=('max_body = "64MiB"',)))
    client = connect(running)
    (worker,) = running.workers()
    with _Memory(worker) as memory:
        client.send(request("/x", "Transfer-Encoding: chunked", method="POST"))
        for _ in range(PIECES):
            client.send(b"%x\r\n" % len(PIECE))
            client.send(PIECE)
            client.send(b"\r\n")
        client.send(b"0\r\n\r\n")
        answer = client.response("POST")
    assert answer.body.decode() == _digest()
    assert memory.growth < ROOM, f"{memory.growth} bytes"


def _pour(connection: Connection) -> None:
    """Answer each request with 50 MiB: with a length, in chunks, or until the end."""
    while (wanted := connection.read_request()) is not None:
        if wanted.target == "/length":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for _ in range(PIECES):
                connection.send(PIECE)
        elif wanted.target == "/chunks":
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(PIECES):
                connection.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
            connection.send(b"0\r\n\r\n")
        else:
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(PIECES):
                connection.send(PIECE)
            return


def test_50_mib_down_however_they_are_framed(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.behaviour = _pour
    running = gateway(config(up.address))
    client = connect(running)
    (worker,) = running.workers()
    digest = _digest()
    with _Memory(worker) as memory:
        for target in ("/length", "/chunks", "/until-close"):
            client.send(request(target))
            assert hashlib.sha256(client.response().body).hexdigest() == digest, target
    assert memory.growth < ROOM, f"{memory.growth} bytes"
