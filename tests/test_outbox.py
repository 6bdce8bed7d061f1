"""What is put down leaves in order, at the end of the turn, and with whoever must not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from gwd.outbox import SHORT, Outbox
from gwd.process.loop import new_loop


class Peer(asyncio.Protocol):
    """Keeps what it reads."""

    def __init__(self) -> None:
        self.got = b""
        self.made = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.made.set()

    def data_received(self, data: bytes) -> None:
        self.got += data


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = new_loop()
    yield loop
    loop.close()
    asyncio.set_event_loop(None)


async def connected(loop: asyncio.AbstractEventLoop) -> tuple[Peer, Peer, asyncio.Server]:
    ours = Peer()
    server = await loop.create_server(lambda: ours, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, theirs = await loop.create_connection(Peer, "127.0.0.1", port)
    await ours.made.wait()
    return ours, theirs, server


async def reads(peer: Peer, size: int) -> bytes:
    for _ in range(1000):
        if len(peer.got) >= size:
            break
        await asyncio.sleep(0.002)
    return peer.got


def test_a_turns_writes_leave_at_its_end_in_their_order(loop: asyncio.AbstractEventLoop) -> None:
    async def story() -> None:
        ours, theirs, server = await connected(loop)
        outbox = Outbox(loop)
        outbox.put(ours.transport, b"a")
        outbox.put(ours.transport, b"b")
        assert await reads(theirs, 2) == b"ab"
        outbox.put(ours.transport, b"c")
        assert await reads(theirs, 3) == b"abc"
        ours.transport.abort()
        theirs.transport.abort()
        server.close()

    loop.run_until_complete(story())


@pytest.mark.parametrize("how", ["long", "send", "close"])
def test_nothing_overtakes_what_waits(how: str, loop: asyncio.AbstractEventLoop) -> None:
    async def story() -> None:
        ours, theirs, server = await connected(loop)
        outbox = Outbox(loop)
        outbox.put(ours.transport, b"first")
        if how == "long":
            outbox.put(ours.transport, b"x" * (SHORT + 1))
            assert (await reads(theirs, 5 + SHORT + 1)) == b"first" + b"x" * (SHORT + 1)
        elif how == "send":
            outbox.send(ours.transport, b"second")
            assert await reads(theirs, 11) == b"firstsecond"
        else:
            outbox.flush()
            ours.transport.close()
            assert await reads(theirs, 5) == b"first"
        ours.transport.abort()
        theirs.transport.abort()
        server.close()

    loop.run_until_complete(story())


def test_one_that_is_lost_takes_nobody_along(loop: asyncio.AbstractEventLoop) -> None:
    async def story() -> None:
        ours, theirs, server = await connected(loop)
        others, there, second = await connected(loop)
        outbox = Outbox(loop)
        ours.transport.abort()
        await asyncio.sleep(0.01)
        outbox.put(ours.transport, b"lost")
        outbox.put(others.transport, b"kept")
        assert await reads(there, 4) == b"kept"
        for peer in (theirs, others, there):
            peer.transport.abort()
        server.close()
        second.close()

    loop.run_until_complete(story())
