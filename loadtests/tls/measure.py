"""Figures of one peer: handshakes, requests on kept connections, memory per connection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from loadtests.compare.running import Running
from loadtests.limits import wrk
from loadtests.limits.beside import Beside
from loadtests.tls import clients

CONNECTIONS = 500
"""For memory."""


_HELLO = """
request = function() return wrk.format("GET", "/hello") end
"""
"""wrk names the address it connects to as the host of its handshake, and so must Host."""


@dataclass(frozen=True, slots=True)
class Handshakes:
    version: str
    resume: bool
    per_second: float
    cpu_us: float
    """Of the peer, per connection: handshake, one request, the end."""
    resumed: float
    """The share of connections that were."""


def handshakes(running: Running, version: str, resume: bool, seconds: float) -> Handshakes:
    address = ("127.0.0.1", running.port)
    begun, spent = time.monotonic(), running.cpu()
    with Beside(clients.shake, address, version, resume, seconds) as client:
        told = client.result()
    took = time.monotonic() - begun
    cpu = running.cpu() - spent
    done = max(1, told["done"])
    return Handshakes(version, resume, done / took, cpu / done * 1e6, told["resumed"] / done)


@dataclass(frozen=True, slots=True)
class Requests:
    per_second: float
    cpu_us: float
    errors: str


def requests(running: Running, seconds: float, room: Path) -> Requests:
    """On 32 kept connections."""
    spent = running.cpu()
    load = wrk.run(_HELLO, running.port, seconds, room, connections=32, scheme="https")
    cpu = running.cpu() - spent
    errors = load.broken or (f"{load.bad} answers were not 200" if load.bad else "")
    return Requests(load.rate, cpu / max(1, load.requests) * 1e6, errors)


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB per connection, of the peer's processes."""

    idle: float
    active: float
    """After an answer of 16 KiB."""


def memory(running: Running, version: str = "1.3", count: int = CONNECTIONS) -> Memory:
    made = clients.context(version)
    address = ("127.0.0.1", running.port)
    with clients.connect(made, address) as first:  # everything has been used once
        first.sendall(clients.KEEP)
        clients.read_answer(first)
    before = running.memory()
    open_ones = [clients.connect(made, address) for _ in range(count)]
    try:
        time.sleep(0.3)
        idle = running.memory()
        for sock in open_ones:
            sock.sendall(clients.KEEP)
            clients.read_answer(sock)
        time.sleep(0.3)
        active = running.memory()
    finally:
        for sock in open_ones:
            sock.close()
    return Memory((idle - before) / count / 1024, (active - before) / count / 1024)
