"""What a tunnel keeps alive: nothing of a config that was replaced, and nothing when it has ended.

The garbage collector is off: in a worker, `gc.freeze` at each reload takes whatever lives then out
of its hands for good, so a cycle through a tunnel would stay.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import Rig

import gwd.worker.client
import gwd.worker.process
import gwd.worker.tables
from gwd.http.gate import GatePolicy
from gwd.http.websocket import accept_value
from gwd.upstream.upstream import BUDGET_LEAST
from gwd.worker.tables import Route, Tables
from gwd.worker.tunnel import Tunnel

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n" % KEY
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_value(KEY)
)


class WatchedTables(Tables):
    __slots__ = ("__weakref__",)


class WatchedRoute(Route):
    __slots__ = ("__weakref__",)


class WatchedPolicy(GatePolicy):
    __slots__ = ("__weakref__",)


class WatchedTunnel(Tunnel):
    __slots__ = ("__weakref__",)
    made: list[weakref.ref[Tunnel]] = []  # noqa: RUF012

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.made.append(weakref.ref(self))


class TunnelRig(Rig):
    """With an upstream that echoes."""

    def __init__(self, directory: Path) -> None:
        self.opened: list[asyncio.StreamWriter] = []
        super().__init__(directory)

    async def serve(self, sock: socket.socket) -> asyncio.AbstractServer:
        return await asyncio.start_server(self._echo, sock=sock)

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH)
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        self.opened.append(writer)
        writer.write(HANDSHAKE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        return reader, writer

    def in_flight(self) -> int:
        return sum(e.in_flight for u in self.worker.upstreams.values() for e in u.endpoints)

    def leave(self) -> None:
        for writer in self.opened:
            writer.transport.abort()


@pytest.fixture(params=["uvloop", "asyncio"])
def rig(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TunnelRig]:
    monkeypatch.setenv("GWD_EVENT_LOOP", request.param)
    monkeypatch.setattr(gwd.worker.process, "Tables", WatchedTables)
    monkeypatch.setattr(gwd.worker.tables, "Route", WatchedRoute)
    monkeypatch.setattr(gwd.worker.tables, "GatePolicy", WatchedPolicy)
    monkeypatch.setattr(gwd.worker.client, "Tunnel", WatchedTunnel)
    WatchedTunnel.made.clear()
    made = TunnelRig(tmp_path)
    gc.collect()
    gc.disable()
    try:
        yield made
    finally:
        gc.enable()
        gc.unfreeze()
        made.close()


async def _echoes(ends: tuple[asyncio.StreamReader, asyncio.StreamWriter], payload: bytes) -> bool:
    frame = b"\x82\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload
    ends[1].write(frame)
    return await ends[0].readexactly(len(frame)) == frame


@pytest.mark.plain
def test_tunnels_are_no_requests_that_others_might_retry_beside(rig: TunnelRig) -> None:
    upstream = rig.worker.upstreams["app"]
    for _ in range(5 * BUDGET_LEAST + 5):
        rig.run(rig.open())
    assert rig.in_flight() == 5 * BUDGET_LEAST + 5
    upstream.retrying = BUDGET_LEAST
    assert not upstream.retry_allowed()
    (endpoint,) = upstream.endpoints
    endpoint.in_flight += 5 * BUDGET_LEAST + 5
    assert upstream.retry_allowed()
    endpoint.in_flight -= 5 * BUDGET_LEAST + 5
    rig.leave()
    rig.run(asyncio.sleep(0.1))
    assert (endpoint.in_flight, endpoint.handed_over) == (0, 0)


@pytest.mark.plain
def test_old_tables_are_freed_while_tunnels_are_open(rig: TunnelRig) -> None:
    tunnels = [rig.run(rig.open()) for _ in range(5)]
    seen = []
    for generation in range(2, 8):
        old = rig.worker.tables
        seen += [weakref.ref(each) for each in (old, old.gate, *old.routes)]
        del old
        tunnels.append(rig.run(rig.open()))
        rig.reload(generation)
        for tunnel in tunnels:
            assert rig.run(_echoes(tunnel, b"x" * 1000))
    freed = [kept() is None for kept in seen]
    counted = rig.in_flight(), len(rig.worker.census.connections), len(tunnels)
    for _, writer in tunnels:
        writer.close()
    rig.run(asyncio.sleep(0.2))
    assert freed == [True] * 18
    assert counted == (11, 11, 11)
    assert rig.in_flight() == 0


@pytest.mark.plain
@pytest.mark.parametrize("how", ["closed", "aborted", "killed", "drained"])
def test_nothing_is_left_of_a_tunnel_that_has_ended(rig: TunnelRig, how: str) -> None:
    ends = rig.run(rig.open())
    assert rig.run(_echoes(ends, b"x" * 1000))
    (tunnel,) = WatchedTunnel.made
    (client,) = rig.worker.census.connections
    rig.reload(2)
    if how == "closed":
        ends[1].close()
    elif how == "aborted":
        ends[1].transport.abort()
    elif how == "killed":
        client.kill("banned")
    else:
        client.close_soon()
        last = rig.run(ends[0].readexactly(4))
        assert last == b"\x88\x02\x03\xe9"
        ends[1].write(b"\x88\x82" + bytes(4) + last[2:])
    del client
    rig.run(asyncio.sleep(0.3))
    ends[1].close()
    assert tunnel() is None
    assert not rig.worker.census.connections
    assert rig.in_flight() == 0
    rig.worker.account.flush()
    (line,) = rig.log.read_text().splitlines()
    assert '"status":101' in line
