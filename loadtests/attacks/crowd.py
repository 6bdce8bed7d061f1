"""The attackers: a crowd of connections that all do the same.

Strategy. One selector and a clock. Each connection comes from one of the crowd's addresses, sends
its `opening`, then a `drip` every so often, and reads all that comes, or so much at a time.
If the gateway ends it, that is counted, and it is opened anew. The crowd ends by itself, by resets,
so that nothing of it stays behind in the kernel.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.limits.flooders import RESET, Address
from loadtests.limits.paced import client_socket

AGAIN = 0.1
"""Seconds before one that was ended comes back."""
OPENING_AT_ONCE = 256
"""Connections that are being opened at the same time: the gateway's queue has room for them."""
TCP_CLOSE = 7
"""The state of a connection that is gone (<netinet/tcp.h>)."""
SMALL = 4096
"""Bytes of the receive buffer of one that reads slowly or not at all."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """What its connections do."""

    size: int
    opening: bytes = b""
    drip: bytes = b""
    """What each sends again and again; nothing if empty."""
    every: float = 1.0
    """Seconds between two drips, or two reads of `reads` bytes; 0: as fast as it is taken."""
    reads: int | None = None
    """Bytes that each reads at a time; None: all that comes."""
    sources: tuple[str, ...] = ("127.66.0.1",)
    again: bool = True
    """Whether one that was ended comes back."""


class _One:
    __slots__ = ("left", "number", "sock", "start", "stood")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sock: socket.socket | None = None
        self.start = b""
        """The first bytes that came: the status of the first answer stands there."""
        self.left: memoryview = memoryview(b"")
        """What is still to be sent."""
        self.stood = False


class Loiterers:
    """A crowd under way. `told`: how its connections ended, and what they were answered."""

    def __init__(self, address: Address, crowd: Crowd) -> None:
        self._address, self._crowd = address, crowd
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, _One, socket.socket | None]] = []
        """When, whose, and on which connection; None: it is time to open one."""
        self._count = itertools.count()
        self._opening = 0
        self._all = [_One(number) for number in range(crowd.size)]
        self._waiting = self._all[::-1]
        self.told: Counter[str] = Counter()

    def run(self, seconds: float) -> Counter[str]:
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            while self._timers and self._timers[0][0] <= now:
                self._turn(*heapq.heappop(self._timers)[2:], now)
            while self._waiting and self._opening < OPENING_AT_ONCE:
                self._open(self._waiting.pop())
            due = self._timers[0][0] if self._timers else until
            for key, mask in self._selector.select(max(0.0, min(due, until) - now)):
                one = key.data
                if one.sock is not key.fileobj:
                    continue
                if mask & selectors.EVENT_WRITE:
                    self._write(one, now)
                if mask & selectors.EVENT_READ and one.sock is not None:
                    self._read(one, now, 262144)
        self.told["open at the end"] = sum(one.stood for one in self._all)
        for one in self._all:
            if one.sock is not None:
                one.sock.close()
        self._selector.close()
        return self.told

    def _open(self, one: _One) -> None:
        crowd = self._crowd
        sock = client_socket(crowd.sources[one.number % len(crowd.sources)])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if crowd.reads is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        sock.connect_ex(self._address)
        one.sock, one.start, one.stood = sock, b"", False
        one.left = memoryview(crowd.opening)
        self._opening += 1
        self._selector.register(sock, selectors.EVENT_WRITE, one)

    def _write(self, one: _One, now: float) -> None:
        assert one.sock is not None
        crowd = self._crowd
        if not one.stood:
            self._opening -= 1
            failed = one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                self._ended(one, now, "refused" if failed == errno.ECONNREFUSED else "reset")
                return
            one.stood = True
            self.told["opened"] += 1
            if crowd.every and (crowd.drip or crowd.reads):
                # Spread, so that they do not all come at once.
                self._later(now + crowd.every * (1 + one.number / crowd.size), one)
        if not one.left and crowd.drip and not crowd.every:
            one.left = memoryview(crowd.drip)
        try:
            while one.left:
                one.left = one.left[one.sock.send(one.left) :]
                if not one.left and crowd.drip and not crowd.every:
                    break
        except BlockingIOError:
            pass
        except OSError:
            self._read(one, now, 262144)  # what it was told before the end
            if one.sock is not None:
                self._ended(one, now, "reset")
            return
        self._await(one)

    def _await(self, one: _One) -> None:
        assert one.sock is not None
        busy = bool(one.left) or (self._crowd.drip and not self._crowd.every)
        events = selectors.EVENT_WRITE if busy else 0
        events |= selectors.EVENT_READ if self._crowd.reads is None else 0
        if one.sock in self._selector.get_map():
            if events:
                self._selector.modify(one.sock, events, one)
            else:
                self._selector.unregister(one.sock)
        elif events:
            self._selector.register(one.sock, events, one)

    def _later(self, at: float, one: _One) -> None:
        heapq.heappush(self._timers, (at, next(self._count), one, one.sock))

    def _turn(self, one: _One, sock: socket.socket | None, now: float) -> None:
        """Time for a drip, for a read, or to come back."""
        if one.sock is not sock:
            return
        if sock is None:
            self._waiting.append(one)
            return
        self._later(now + self._crowd.every, one)
        if self._crowd.reads:
            # A reader that has much to read would learn of a reset at the end of it only.
            if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE:
                self._ended(one, now, "reset")
                return
            self._read(one, now, self._crowd.reads)
        if one.sock is not None and self._crowd.drip and not one.left:
            one.left = memoryview(self._crowd.drip)
            self._write(one, now)

    def _read(self, one: _One, now: float, size: int) -> None:
        assert one.sock is not None
        try:
            data = one.sock.recv(size)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self._ended(one, now, "reset")
            return
        except OSError:
            data = b""
        if not data:
            self._ended(one, now, "closed")
            return
        self.told["bytes"] += len(data)
        if len(one.start) < 12:
            one.start += data[:12]
            if len(one.start) >= 12:
                self.told[one.start[9:12].decode("latin-1")] += 1

    def _ended(self, one: _One, now: float, how: str) -> None:
        assert one.sock is not None
        self.told[how] += 1
        if one.sock in self._selector.get_map():
            self._selector.unregister(one.sock)
        one.sock.close()
        one.sock, one.stood = None, False
        if self._crowd.again:
            self._later(now + AGAIN, one)


def loiter(address: Address, crowd: Crowd, seconds: float) -> Counter[str]:
    """What becomes of `crowd` within `seconds`."""
    return Loiterers(address, crowd).run(seconds)


def sources(count: int, network: str = "127.67") -> Sequence[str]:
    """So many addresses of `network`, 127.x."""
    return [f"{network}.{number // 250}.{number % 250 + 1}" for number in range(count)]
