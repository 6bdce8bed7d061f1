"""Who talks to the gateway: hostile clients that come once, and well-behaved ones that stay.

Every client comes from an address of its own out of 127.0.0.0/8. A hostile one sends its pieces,
waits until nothing more is said, and leaves; what it was told is kept whole.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import cast

from fuzz.mutations import mutate, pieces
from fuzz.seeds import OWN_REQUESTS, public
from fuzz.upstream import token

from gwd.linger import reset

SILENCE = 0.06
"""Seconds without a byte after which a hostile client has heard enough, if it was answered."""
FIRST = 0.4
"""As long it waits for an answer to what may be no whole request, or has no whole answer."""
PATIENCE = 8.0
"""Seconds after which a client that was told nothing at all is reported."""
_PUBLIC = public()


@dataclass(frozen=True)
class Attack:
    """One execution, as its seed and number decide."""

    number: int
    kind: str
    """ "request": mutated requests. "response", "pieces": a good request, a mutated answer."""
    address: str
    method: str
    pieces: tuple[bytes, ...]
    end: str
    """ "wait", "finish" (half-close at once) or "reset"."""

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)


def address_of(number: int) -> str:
    number += 1
    return f"127.{1 + (number >> 16) % 99}.{number >> 8 & 255}.{number & 255}"


def attack(seed: int, number: int) -> Attack:
    """Execution `number`."""
    chance = Random(f"{seed}:{number}")
    address = address_of(number)
    kind = chance.choices(("request", "response", "pieces"), (60, 30, 10))[0]
    if kind == "request":
        stream, method = _requests(chance, number), ""
        end = chance.choices(("wait", "finish", "reset"), (80, 10, 10))[0]
        cut = pieces(stream, chance)
    else:
        method, stream = _good_request(chance, kind, number)
        end, cut = "wait", [stream]
    return Attack(number, kind, address, method, tuple(cut), end)


def _requests(chance: Random, number: int) -> bytes:
    """One to a few requests behind each other, most of them mutated."""
    found = []
    for part in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
        if chance.random() < 0.7:
            one = chance.choice(OWN_REQUESTS)
        else:
            one = chance.choice(_PUBLIC)
            if b"host:" not in one.lower() and chance.random() < 0.8:
                one = one.replace(b"\r\n", b"\r\nHost: gw.test\r\n", 1)
        if chance.random() < 0.6:
            one = mutate(one, chance, _PUBLIC)
        found.append(one.replace(b"{id}", b"%d-%d" % (number, part)))
    stream = b"".join(found)
    return mutate(stream, chance, _PUBLIC) if chance.random() < 0.1 else stream


def _good_request(chance: Random, kind: str, number: int) -> tuple[str, bytes]:
    """A method, and a request that a hostile upstream answers."""
    method = chance.choices(("GET", "HEAD", "POST", "PUT"), (60, 15, 15, 10))[0]
    minor = 1 if chance.random() < 0.85 else 0
    body = "" if method in ("GET", "HEAD") else "hello"
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    line = f"{method} /hostile/{kind}/{number} HTTP/1.{minor}\r\n"
    return method, (line + "Host: gw.test\r\n" + length + "\r\n" + body).encode()


@dataclass
class Heard:
    """What a client was told, and how it ended."""

    received: bytes
    ended: str
    """ "closed", "reset", or "open": then it left itself."""
    silent: bool
    """Whether PATIENCE ran out without an answer or an end."""


class Hearing(asyncio.Protocol):
    """A client's connection."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = ""
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def eof_received(self) -> bool:
        self.ended = "closed"
        self._changed.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = self.ended or ("closed" if exc is None else "reset")
        self._changed.set()

    async def news(self, seconds: float) -> bool:
        """Wait for bytes or the end; False if neither came in time."""
        self._changed.clear()
        if self.ended:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True


async def open_one(gateway: tuple[str, int], address: str) -> Hearing:
    loop = asyncio.get_running_loop()
    _, hearing = await loop.create_connection(Hearing, *gateway, local_addr=(address, 0))
    return hearing


async def execute(gateway: tuple[str, int], attack: Attack, *, answered: bool) -> Heard:
    """Send what `attack` is, and listen. `answered`: there must be an answer, or an end."""
    hearing = await open_one(gateway, attack.address)
    transport = hearing.transport
    for piece in attack.pieces:
        if hearing.ended or transport.is_closing():
            break
        transport.write(piece)
        if piece is not attack.pieces[-1]:
            await asyncio.sleep(0.0003)
    if attack.end == "reset":
        reset(transport)
        return Heard(bytes(hearing.received), "open", False)
    if attack.end == "finish" and not transport.is_closing():
        transport.write_eof()
    silent = False
    while not hearing.ended:
        if hearing.received:
            patience = SILENCE
        else:
            patience = PATIENCE if answered else FIRST
        if not await hearing.news(patience):
            silent = answered and not hearing.received
            break
    heard = Heard(bytes(hearing.received), hearing.ended or "open", silent)
    if hearing.ended:
        transport.abort()
    else:
        reset(transport)  # after a mere FIN the gateway would go on waiting for an answer
    return heard


@dataclass
class Citizen:
    """A well-behaved client: it keeps its connection, and every answer must be its own."""

    gateway: tuple[str, int]
    address: str
    asked: int = 0
    posts_failed: int = 0
    """POSTs that got an honest 502: their pooled connection died under them."""
    connections: int = 0

    async def live(self, until: asyncio.Event, complaints: list[str]) -> None:
        """Ask until told to stop."""
        secret = token(self.address)
        hearing: Hearing | None = None
        statuses: Counter[int] = Counter()
        while not until.is_set():
            if hearing is None or hearing.ended:
                hearing = await open_one(self.gateway, self.address)
                self.connections += 1
            self.asked += 1
            method = "POST" if self.asked % 4 == 0 else "GET"
            target = f"/good/{self.address}-{self.asked}"
            body = f"Content-Length: {len(target)}\r\n\r\n{target}" if method == "POST" else "\r\n"
            hearing.received.clear()
            hearing.transport.write(
                f"{method} {target} HTTP/1.1\r\nHost: gw.test\r\n{body}".encode()
            )
            status, said = await self._answer(hearing)
            statuses[status] += 1
            if status == 502 and method == "POST" and b'"detail"' in said:
                self.posts_failed += 1
            elif status != 200 or said != f"{secret} {method} {target}".encode():
                complaints.append(f"a well-behaved {method} {target} got {status} {said!r}")
            await asyncio.sleep(0.005)
        if hearing is not None:
            hearing.transport.abort()

    async def _answer(self, hearing: Hearing) -> tuple[int, bytes]:
        """Status and body; status 0 if there is no whole answer."""
        received = hearing.received
        while (found := _whole(bytes(received))) is None:
            if hearing.ended or not await hearing.news(PATIENCE):
                return 0, bytes(received)
        return found


def _whole(received: bytes) -> tuple[int, bytes] | None:
    """Status and body of a canonical answer, once it is all here."""
    head, empty, body = received.partition(b"\r\n\r\n")
    if not empty:
        return None
    status = int(head[9:12])
    if b"\r\nTransfer-Encoding: chunked" in head:
        if not body.endswith(b"0\r\n\r\n"):
            return None
        lines = body.split(b"\r\n")
        return status, b"".join(lines[1::2][: len(lines[:-3]) // 2])
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line[15:])
            return (status, body) if len(body) >= length else None
    return status, body
