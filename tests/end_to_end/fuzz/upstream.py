"""The upstream behind the gateway under fuzzing: it keeps exact bytes and knows whom it answers.

Strategy. Whom a request comes from is told by X-Forwarded-For, which the gateway writes and a
client cannot forge; each such address has a secret token, and the upstream puts it into everything
it answers. So whatever a client reads, one can tell for whom it was made.

Requests are cut out of what came by `rig.upstream.end_of_message`, which knows canonical HTTP and
nothing else. What it cannot cut is kept as it is, for `judge`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import cast

from fuzz.mutations import mutate, pieces
from fuzz.seeds import RESPONSES
from rig.upstream import end_of_message

from gwd.linger import reset

TOKEN_SIZE = 20


def token(address: str) -> str:
    """What only answers for `address` hold."""
    return "tok-" + hashlib.sha256(address.encode()).hexdigest()[:16]


@dataclass
class Taken:
    """One whole request, and for whom it was."""

    raw: bytes
    method: bytes
    target: bytes
    body: bytes
    address: str
    serial: int


@dataclass
class Wire:
    """What came over one connection since it was last judged: whole requests, then `tail`."""

    whole: list[bytes] = field(default_factory=list)
    tail: bytearray = field(default_factory=bytearray)
    error: str = ""
    """Why what came is no canonical request."""
    ended: bool = False
    """Whether the gateway ended it."""
    closing: bool = False
    """Whether we did."""


@dataclass(frozen=True)
class Hostile:
    """What a hostile upstream answers, and how it ends."""

    wire: bytes
    end: str
    """ "close", "reset" or "keep"."""
    pieces: tuple[bytes, ...]


def hostile(seed: int, number: int, secret: str, *, small: bool) -> Hostile:
    """The answer to execution `number`. `small`: what one write puts into one read."""
    chance = Random(f"{seed}:{number}:response")
    sources = [each.replace(b"{id}", secret.encode()) for each in RESPONSES]
    wire = chance.choice(sources)
    if chance.random() < 0.8:
        wire = mutate(wire, chance, sources)
    if chance.random() < 0.3:
        wire += chance.choice(sources)
    if small:
        wire = wire[:12000]
    end = chance.choices(("close", "reset", "keep"), (45, 10, 45))[0]
    return Hostile(wire, end, tuple(pieces(wire, chance)))


class Upstream:
    """One listener. `scripts` is asked what answers a request, None for the good answer."""

    def __init__(self, serials: Iterator[int], *, by_pieces: bool) -> None:
        """`serials` numbers the requests of all upstreams of a gateway."""
        self.by_pieces = by_pieces
        self.wires: list[Wire] = []
        self.taken: list[Taken] = []
        self.open: set[asyncio.Transport] = set()
        self.port = 0
        self.script: Callable[[bytes, str], Hostile | None] = lambda target, address: None
        self._serials = serials
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for transport in tuple(self.open):
            transport.abort()

    def take(self, raw: bytes, head: bytes, body: bytes) -> Taken:
        method, target, _ = head.split(b" ", 2)
        addresses = [
            line.partition(b":")[2].strip().decode("latin-1")
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"x-forwarded-for:")
        ]
        address = addresses[0] if len(addresses) == 1 else f"not one address: {addresses}"
        taken = Taken(raw, method, target, body, address, next(self._serials))
        self.taken.append(taken)
        return taken


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._wire = Wire()
        self._playing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._upstream.open.add(self._transport)
        self._upstream.wires.append(self._wire)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.ended = True
        self._upstream.open.discard(self._transport)
        if self._playing is not None:
            self._playing.cancel()

    def data_received(self, data: bytes) -> None:
        wire = self._wire
        if wire.closing or wire.error:
            return
        if self._playing is not None and not self._playing.done():
            # Bytes of the last answer are still to come: they would be taken for this one's.
            self._end("reset")
            return
        tail = wire.tail
        tail += data
        while not wire.closing:
            try:
                found = end_of_message(tail, 0)
            except ValueError as error:
                wire.error = str(error)
                self._end("reset")
                return
            if found is None:
                return
            head_end, end, body = found
            raw = bytes(tail[:end])
            del tail[:end]
            wire.whole.append(raw)
            self._answer(self._upstream.take(raw, raw[:head_end], body))

    def _answer(self, taken: Taken) -> None:
        script = self._upstream.script(taken.target, taken.address)
        if script is None:
            self._transport.write(good_answer(taken))
        elif self._upstream.by_pieces:
            self._playing = asyncio.get_running_loop().create_task(self._play(script))
        else:
            self._transport.write(script.wire)
            self._end(script.end)

    async def _play(self, script: Hostile) -> None:
        for piece in script.pieces:
            self._transport.write(piece)
            await asyncio.sleep(0.0005)
        self._end(script.end)

    def _end(self, how: str) -> None:
        if how == "keep":
            return
        self._wire.closing = True
        if how == "reset":
            reset(self._transport)
        else:
            self._transport.close()


def good_answer(taken: Taken) -> bytes:
    """What a well-behaved upstream answers: for whom, to what, and which of its answers it is."""
    body = b"%b %b %b" % (token(taken.address).encode(), taken.method, taken.target)
    head = b"HTTP/1.1 200 OK\r\nX-Serial: %d\r\n" % taken.serial
    if taken.serial % 3:
        framed = b"Content-Length: %d\r\n\r\n" % len(body)
        return head + framed + (b"" if taken.method == b"HEAD" else body)
    framed = b"Transfer-Encoding: chunked\r\n\r\n"
    half = len(body) // 2
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        half,
        body[:half],
        len(body) - half,
        body[half:],
    )
    return head + framed + (b"" if taken.method == b"HEAD" else chunks)
