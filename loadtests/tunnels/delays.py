"""One client that measures: the round trip of a message, and how long an event was on its way."""

from __future__ import annotations

import gc
import os
import socket
import time

from loadtests.tunnels.service import EVENT

PAYLOAD = 64
"""Bytes of a message."""
WARM = 20
"""Messages and events at the start that do not count."""
_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_LISTEN = b"GET /events?every=%.4f HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"


def connect(port: int, request: bytes, status: bytes) -> tuple[socket.socket, bytes]:
    """A connection on which `request` was answered by `status`, and what came behind the head.
    Raises RuntimeError."""
    sock = socket.create_connection(("127.0.0.1", port), 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 " + status):
        sock.close()
        raise RuntimeError(f"no good answer: {head[:200]!r}")
    return sock, rest


def open_websocket(port: int) -> socket.socket:
    sock, _ = connect(port, _HANDSHAKE, b"101")
    return sock


def open_events(port: int, every: float) -> tuple[socket.socket, bytes]:
    return connect(port, _LISTEN % every, b"200")


def message(payload: bytes) -> bytes:
    """A binary message of less than 126 bytes, masked with zeros."""
    return bytes((0x82, 0x80 | len(payload))) + bytes(4) + payload


def echoes(port: int, count: int, per_second: float) -> list[float]:
    """Seconds of `count` round trips, paced; who is late goes on from now. Raises RuntimeError."""
    found = []
    with open_websocket(port) as sock:
        gc.collect()
        due = time.perf_counter()
        for number in range(WARM + count):
            pause = due - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            else:
                due -= pause
            payload = os.urandom(PAYLOAD)
            begin = time.perf_counter()
            sock.sendall(message(payload))
            data = sock.recv(65536)
            while data and len(data) < 2 + PAYLOAD:
                data += sock.recv(65536)
            took = time.perf_counter() - begin
            if data != bytes((0x82, PAYLOAD)) + payload:
                raise RuntimeError(f"something else came back: {data!r}")
            if number >= WARM:
                found.append(took)
            due += 1 / per_second
    return found


def events(port: int, count: int, per_second: float) -> list[float]:
    """Seconds that `count` events were on their way. Raises RuntimeError if one is missing."""
    found: list[float] = []
    expected = 0
    sock, data = open_events(port, 1 / per_second)
    with sock:
        while len(found) < WARM + count:
            more = sock.recv(65536)
            now = time.monotonic_ns()
            if not more:
                raise RuntimeError("the stream ended")
            data += more
            end = 0
            for match in EVENT.finditer(data):
                number, stamp = map(int, match.groups())
                if number != expected:
                    raise RuntimeError(f"event {number} in place of {expected}")
                expected += 1
                found.append((now - stamp) / 1e9)
                end = match.end()
            data = data[end:]
    return found[WARM : WARM + count]
