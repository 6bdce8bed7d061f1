"""A client that asks by the clock: so many requests a second, whatever becomes of them.

Strategy. Request k is due at begin + k / rate. If no connection is free then, because answers are
slow, it is sent as soon as one is, and its delay counts from when it was due: a stall is seen by
all who would have met it. What could not even be sent by the end was not offered, and is said.
Each connection has one request in flight and is opened anew when it ends.
"""

from __future__ import annotations

import heapq
import math
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

GRACE = 2.0
"""Seconds in which answers may still come after the last request."""
AGAIN = 0.05
"""Seconds before a connection that failed is opened anew."""
IPV6_FREEBIND = 78
"""Of <linux/in6.h>: to bind an address that is only routed here."""


@dataclass(slots=True)
class Told:
    """What a client met."""

    wanted: int = 0
    """Requests that fell due."""
    offered: int = 0
    """Requests sent."""
    seconds: float = 0.0
    """From the first request to the last."""
    statuses: Counter[int] = field(default_factory=Counter)
    cut: int = 0
    """Requests whose connection ended without an answer."""
    silent: int = 0
    """Requests that nobody answered in time."""
    delays: list[float] = field(default_factory=list)
    """Seconds from due to answered, of all that were answered 200."""

    @property
    def good(self) -> int:
        return self.statuses[200]

    def quantile_ms(self, share: float) -> float:
        """The delay, ms, within which `share` of the good answers came; 0 if there is none."""
        if not self.delays:
            return 0.0
        ordered = sorted(self.delays)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


def client_socket(source: str) -> socket.socket:
    """A socket, not blocking, that comes from `source`, an address of this machine."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    else:
        # The port is chosen when the peer is known, so one address has as many as it has peers.
        made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    made.bind((source, 0))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


IP_BIND_ADDRESS_NO_PORT = 24
"""Of <linux/in.h>."""


class _Connection:
    __slots__ = ("buffer", "due", "sock", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.sock: socket.socket | None = None
        self.due = 0.0
        """When the request in flight was due; 0 if there is none."""
        self.buffer = b""


class _Pacer:
    def __init__(self, address: tuple[str, int], sources: Sequence[str], connections: int) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._all = [_Connection(sources[n % len(sources)]) for n in range(connections)]
        self._idle: deque[_Connection] = deque()
        self._closed: list[tuple[float, int, _Connection]] = []
        self.told = Told()

    def run(
        self, rate: float, seconds: float, request: bytes, going: Callable[[], bool] | None
    ) -> Told:
        told = self.told
        for connection in self._all:
            self._open(connection)
        self._wait_for_all()
        begin = time.monotonic()
        told.wanted = round(rate * seconds)
        last = begin
        while True:
            now = time.monotonic()
            if going is not None and now < begin + seconds and not going():
                seconds = now - begin
                told.wanted = min(told.wanted, math.ceil(rate * seconds))
            while self._closed and self._closed[0][0] <= now:
                self._open(heapq.heappop(self._closed)[2])
            while self._idle and told.offered < told.wanted and now <= begin + seconds:
                due = begin + told.offered / rate
                if due > now:
                    break
                self._send(self._idle.popleft(), due, request)
                last = now
            over = told.offered >= told.wanted or now >= begin + seconds
            if over and not any(c.due for c in self._all):
                break
            if now > begin + seconds + GRACE:
                break
            wait = GRACE if over else max(0.0, begin + told.offered / rate - now)
            self._turn(min(wait, AGAIN) if self._idle or over else AGAIN)
        told.seconds = last - begin
        told.silent = sum(1 for c in self._all if c.due)
        for connection in self._all:
            if connection.sock is not None:
                connection.sock.close()
        self._selector.close()
        return told

    def _wait_for_all(self) -> None:
        deadline = time.monotonic() + GRACE
        while len(self._idle) < len(self._all) and time.monotonic() < deadline:
            self._turn(AGAIN)
            while self._closed and self._closed[0][0] <= time.monotonic():
                self._open(heapq.heappop(self._closed)[2])

    def _open(self, connection: _Connection) -> None:
        made = client_socket(connection.source)
        made.connect_ex(self._address)
        connection.sock = made
        self._selector.register(made, selectors.EVENT_WRITE, connection)

    def _send(self, connection: _Connection, due: float, request: bytes) -> None:
        assert connection.sock is not None
        self.told.offered += 1
        connection.due = due
        connection.buffer = b""
        try:
            connection.sock.send(request)
        except OSError:
            self._ended(connection)

    def _turn(self, wait: float) -> None:
        for key, mask in self._selector.select(wait):
            connection = key.data
            if mask & selectors.EVENT_WRITE:
                if connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._ended(connection)
                else:
                    self._selector.modify(connection.sock, selectors.EVENT_READ, connection)
                    self._idle.append(connection)
            else:
                self._read(connection)

    def _read(self, connection: _Connection) -> None:
        assert connection.sock is not None
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended(connection)
            return
        connection.buffer += data
        head, found, body = connection.buffer.partition(b"\r\n\r\n")
        if not found or len(body) < body_length(head) or not connection.due:
            return
        status = int(head[9:12])
        self.told.statuses[status] += 1
        if status == 200:
            self.told.delays.append(time.monotonic() - connection.due)
        connection.due = 0.0
        if b"\r\nconnection: close" in head.lower():
            self._ended(connection, 0.0)
        else:
            self._idle.append(connection)

    def _ended(self, connection: _Connection, again: float = AGAIN) -> None:
        assert connection.sock is not None
        if connection.due:
            self.told.cut += 1
            connection.due = 0.0
        elif connection in self._idle:
            self._idle.remove(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()
        connection.sock = None
        heapq.heappush(self._closed, (time.monotonic() + again, id(connection), connection))


def body_length(head: bytes) -> int:
    """The Content-Length of a head; 0 if it has none."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def pace(
    address: tuple[str, int],
    rate: float,
    seconds: float,
    sources: Sequence[str],
    *,
    connections: int = 1,
    fields: str = "",
    going: Callable[[], bool] | None = None,
) -> Told:
    """Ask `address` `rate` times a second for `seconds`, or until not `going()`, over so many
    `connections`, which come from `sources` in turn."""
    request = f"GET /hello HTTP/1.1\r\nHost: gw.test\r\n{fields}\r\n".encode()
    return _Pacer(address, sources, connections).run(rate, seconds, request, going)
