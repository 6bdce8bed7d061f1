"""Those who flood: each a function for a process of its own that ends by itself.

All come from this machine and go to one port of it. Connections end by a reset, so that a flooder
leaves no TIME_WAIT behind and does not run out of ports.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence

from gwd.linger import set_linger
from loadtests.limits.paced import body_length, client_socket

REQUEST = b"GET /hello HTTP/1.1\r\nHost: gw.test\r\n\r\n"
PIPELINED = 16
"""Requests sent at once on a connection, which is as many as gwd serves in one turn."""
LOOK = 256
"""Between two looks at the clock."""

Address = tuple[str, int]


def addresses(count: int, first: str = "127.1.0.1") -> list[str]:
    """So many addresses of 127.0.0.0/8, one after the other."""
    start = int.from_bytes(socket.inet_aton(first), "big")
    return [socket.inet_ntoa((start + number).to_bytes(4, "big")) for number in range(count)]


def scattered(count: int) -> list[str]:
    """So many addresses all over 127.0.0.0/8, no two of them neighbours."""
    # Steps of an odd size come back to the start only after 2^22 of them.
    numbers = (0x7F000000 | number * 2_654_437 % (1 << 22) << 2 | 1 for number in range(count))
    return [socket.inet_ntoa(number.to_bytes(4, "big")) for number in numbers]


class _Speaker:
    """A connection of a proxy that speaks for a new client with each request."""

    __slots__ = ("buffer", "sock", "waiting")

    def __init__(self, address: Address, source: str) -> None:
        self.sock = socket.create_connection(address, 5, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.buffer = b""
        self.waiting = 0


def speak_for(
    address: Address, source: str, clients: int, seconds: float, connections: int = 32
) -> Counter[str]:
    """One request each for `clients` clients that never came before, by X-Forwarded-For, as fast
    as they are answered: statuses, "sent" and "cut". Ends after `seconds` at the latest."""
    told: Counter[str] = Counter()
    selector = selectors.DefaultSelector()
    until = time.monotonic() + seconds
    sent = 0

    def send(speaker: _Speaker) -> None:
        nonlocal sent
        batch = range(sent, min(sent + PIPELINED, clients))
        sent += len(batch)
        speaker.waiting = len(batch)
        speaker.sock.send(b"".join(map(_spoken, batch)))

    for _ in range(connections):
        speaker = _Speaker(address, source)
        selector.register(speaker.sock, selectors.EVENT_READ, speaker)
        send(speaker)
    while selector.get_map() and time.monotonic() < until + 2:
        for key, _ in selector.select(1):
            speaker = key.data
            try:
                data = speaker.sock.recv(262144)
            except OSError:
                data = b""
            speaker.buffer += data
            speaker.waiting -= _take_answers(speaker, told)
            if data and not speaker.waiting and sent < clients and time.monotonic() < until:
                send(speaker)
            elif not data or not speaker.waiting:
                told["cut"] += speaker.waiting
                selector.unregister(speaker.sock)
                speaker.sock.close()
    for key in list(selector.get_map().values()):
        key.data.sock.close()
    selector.close()
    told["sent"] = sent
    return told


def _spoken(number: int) -> bytes:
    client = socket.inet_ntoa((0x0A000000 + number).to_bytes(4, "big"))
    return f"GET /hello HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-For: {client}\r\n\r\n".encode()


def _take_answers(speaker: _Speaker, told: Counter[str]) -> int:
    """Count the whole answers in the buffer and take them off."""
    taken = 0
    data, at = speaker.buffer, 0
    while True:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            break
        whole = end + 4 + body_length(data[at:end])
        if whole > len(data):
            break
        told[data[at + 9 : at + 12].decode()] += 1
        taken += 1
        at = whole
    speaker.buffer = data[at:]
    return taken


def connect(
    address: Address,
    sources: Sequence[str],
    seconds: float,
    *,
    request: bytes = b"",
    at_once: int = 64,
    patience: float = 0.1,
) -> Counter[str]:
    """Open connections as fast as it goes, from `sources` in turn, and see what becomes of each.

    With a `request` it is sent, and the status of its answer counted. Without, a connection is
    closed as soon as it stands: "opened". Else "refused", "reset", "closed" (without an answer),
    "silence" (nothing for `patience` seconds, as when SYNs are dropped). "tried" is how many.
    """
    told: Counter[str] = Counter()
    selector = selectors.DefaultSelector()
    begun: dict[socket.socket, float] = {}
    until = time.monotonic() + seconds
    number = 0
    now = time.monotonic()
    while now < until or begun:
        while now < until and len(begun) < at_once:
            made = client_socket(sources[number % len(sources)])
            set_linger(made, reset=True)
            number += 1
            made.connect_ex(address)
            begun[made] = now
            selector.register(made, selectors.EVENT_WRITE)
        for key, mask in selector.select(patience / 4):
            made = key.fileobj  # type: ignore[assignment]
            outcome = _look(made, mask, request)
            if outcome == "wait":
                selector.modify(made, selectors.EVENT_READ)
            else:
                told[outcome] += 1
                selector.unregister(made)
                del begun[made]
                made.close()
        now = time.monotonic()
        # In the order in which they were begun.
        for made, at in list(begun.items())[: at_once // 4]:
            if now - at < patience:
                break
            told["silence"] += 1
            selector.unregister(made)
            del begun[made]
            made.close()
    selector.close()
    told["tried"] = number
    return told


def _look(made: socket.socket, mask: int, request: bytes) -> str:
    try:
        if mask & selectors.EVENT_WRITE:
            failed = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                return "refused" if failed == errno.ECONNREFUSED else "reset"
            if not request:
                return "opened"
            made.send(request)
            return "wait"
        data = made.recv(4096)
    except ConnectionResetError:
        return "reset"
    except OSError:
        return "closed"
    return data[9:12].decode(errors="replace") if len(data) > 12 else "closed"


def syns(address: Address, sources: Sequence[str], seconds: float) -> Counter[str]:
    """Begin a connection and drop it, as fast as one process can: a SYN each, and an RST if it was
    answered meanwhile. "tried" is how many."""
    told: Counter[str] = Counter()
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        for _ in range(LOOK):
            made = client_socket(sources[number % len(sources)])
            set_linger(made, reset=True)
            made.connect_ex(address)
            made.close()
            number += 1
    told["tried"] = number
    return told
