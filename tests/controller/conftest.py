from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gwd.config.load import load
from gwd.config.snapshot import Snapshot

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawService:
    """A service that gives a scripted answer to whatever it is asked; it keeps the requests."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.silent = False
        self.requests: list[bytes] = []
        self.ended = asyncio.Event()
        """A client has closed its connection after the whole answer, without a reset."""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if self.silent:
                await reader.read()
            writer.write(self.answer)
            await writer.drain()
            if not await reader.read(1):
                self.ended.set()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@pytest.fixture
def service() -> RawService:
    return RawService()


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """A config with one upstream, to be changed by the test."""
    file = tmp_path / "gwd.toml"
    file.write_text(
        """
[server]
bind = ["127.0.0.1:0"]

[upstreams.orders]
endpoints = ["127.0.0.1:1"]
health = { path = "/healthz" }

[[routes]]
name = "orders"
path = "/*"
upstream = "orders"
"""
    )
    return load(str(file), {}).snapshot
