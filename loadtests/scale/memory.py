"""What an idle connection and a route weigh: differences of the worker's proportional set size.

The kernel's memory for sockets is not in it; it is the same for every proxy.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from loadtests.limits.gateway import Gateway
from loadtests.limits.report import Show
from loadtests.scale.axes import AXES
from loadtests.scale.window import open_connections

IDLE = 5_000
FEW, MANY = 10, 10_000
_REQUEST = b"GET /items/%d HTTP/1.1\r\nHost: gw.test\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"


def show(service: int, room: Path, idle: int = IDLE) -> Show:
    table = Show(
        "memory",
        "Memory",
        f"Of one worker's PSS. Connections: {idle:,} of them, each after one request and its "
        f"answer, over none. Routes: {MANY:,} over {FEW:,}, in gateways of their own.",
        ("what", "KiB"),
    )
    by_name = {axis.name: axis for axis in AXES}
    with ExitStack() as stack:

        def start(axis: str, size: int) -> Gateway:
            subject = by_name[axis].subject(size, service)
            place = room / f"memory-{axis}-{size}"
            return stack.enter_context(
                Gateway(place, subject.config, workers=1, routes=subject.routes)
            )

        running = start("connections", FEW)
        _open(running, 50)  # what the first requests bring in is not the connections'
        before = worker_pss(running)
        sockets = _open(running, idle, stack)
        assert open_connections(running) >= idle
        each = (worker_pss(running) - before) / idle
        table.add("an idle connection", each / 1024)
        for sock in sockets:
            sock.close()
        few, many = (worker_pss(start("routes", size)) for size in (FEW, MANY))
        table.add("1,000 routes", (many - few) * 1000 / (MANY - FEW) / 1024)
    return table


def worker_pss(running: Gateway) -> int:
    """Bytes, of all workers."""
    return sum(int(psutil.Process(pid).memory_full_info().pss) for pid in running.workers())


def _open(running: Gateway, count: int, stack: ExitStack | None = None) -> list[socket.socket]:
    """Open connections that had one answer each; closed again unless a stack keeps them."""
    sockets = []
    for number in range(count):
        sock = socket.create_connection(("127.0.0.1", running.port), 5)
        sockets.append(sock)
        if stack is not None:
            stack.callback(sock.close)
        sock.sendall(_REQUEST % number)
        answer = b""
        while not answer.endswith(b"hello"):
            data = sock.recv(4096)
            if not data:
                raise RuntimeError(f"the gateway closed connection {number}: {answer!r}")
            answer += data
    if stack is None:
        for sock in sockets:
            sock.close()
    return sockets
