"""What a tunnel keeps alive: nothing of a config that was replaced, and nothing when it has ended.

A real worker, on either loop, with a real segment; only its supervisor is the test. The garbage
collector is off: in a worker, `gc.freeze` at each reload takes whatever lives then out of its hands
for good, so a cycle through a tunnel would stay.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

import gwd.worker.client
import gwd.worker.process
import gwd.worker.tables
from gwd.config.load import load
from gwd.config.snapshot import Snapshot
from gwd.http.gate import GatePolicy
from gwd.http.websocket import accept_value
from gwd.process.child import WORKER, Child
from gwd.segment.endpoints import EndpointTable
from gwd.segment.memory import Segment, Sizes
from gwd.segment.metrics import RouteMetrics
from gwd.segment.processes import WORKER as WORKER_CODE
from gwd.segment.processes import ProcessTable
from gwd.upstream.endpoint import table_name
from gwd.worker.process import Worker
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
CONFIG = """
[server]
bind = ["127.0.0.1:0"]
access_log = "{log}"
max_body = "{size}B"
[upstreams.app]
endpoints = ["127.0.0.1:{port}"]
[[routes]]
name = "app"
path = "/*"
upstream = "app"
"""


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


class Rig:
    """A worker on a loop that we turn ourselves, and an upstream that echoes on the same one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "access.log"
        self.opened: list[asyncio.StreamWriter] = []
        self.segment = Segment.create(Sizes(2, 1024, 8, 8))
        table = ProcessTable(self.segment)
        column = table.claim(WORKER_CODE, 0, os.getpid())
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.echo_socket = socket.create_server(("127.0.0.1", 0))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        port = self.echo_socket.getsockname()[1]
        EndpointTable(self.segment).assign([table_name("app", f"127.0.0.1:{port}")])
        RouteMetrics(self.segment).assign([b"app"])
        self.theirs = theirs
        self.worker = Worker(
            Child(
                role=WORKER,
                slot=0,
                column=column,
                segment=self.segment,
                channel=theirs,
                listeners=(self.listener,),
                snapshot=self.snapshot(1000),
                generation=1,
                supervisor_pid=os.getppid(),
                workers=1,
            )
        )
        self.loop = self.worker.loop
        self.worker.clock.each_tick(self.worker._tick)
        self.worker.clock.start()
        for acceptor in self.worker._acceptors:
            acceptor.start()
        self.echo = self.loop.run_until_complete(
            asyncio.start_server(self._echo, sock=self.echo_socket)
        )

    def snapshot(self, size: int) -> Snapshot:
        file = self.directory / "gwd.toml"
        port = self.echo_socket.getsockname()[1]
        file.write_text(CONFIG.format(log=self.log, size=size, port=port))
        return load(str(file), {}).snapshot

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH)
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    def reload(self, generation: int) -> None:
        for _ in self.worker.prepare(self.snapshot(1000 + generation), generation):
            pass
        self.worker.commit()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        self.opened.append(writer)
        writer.write(HANDSHAKE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        return reader, writer

    def run(self, work):
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def in_flight(self) -> int:
        return sum(e.in_flight for u in self.worker.upstreams.values() for e in u.endpoints)

    def close(self) -> None:
        self.echo.close()
        for connection in list(self.worker.census.connections):
            connection.kill("shutdown")
        for writer in self.opened:
            writer.transport.abort()
        self.run(asyncio.sleep(0.05))
        self.worker.clock.stop()
        for acceptor in self.worker._acceptors:
            acceptor.pause(float("inf"))
        self.worker.account.close()
        self.loop.remove_reader(self.theirs.fileno())
        self.loop.remove_signal_handler(signal.SIGTERM)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        for each in (self.ours, self.theirs, self.listener):
            each.close()
        self.segment.close()


@pytest.fixture(params=["uvloop", "asyncio"])
def rig(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    monkeypatch.setenv("GWD_EVENT_LOOP", request.param)
    monkeypatch.setattr(gwd.worker.process, "Tables", WatchedTables)
    monkeypatch.setattr(gwd.worker.tables, "Route", WatchedRoute)
    monkeypatch.setattr(gwd.worker.tables, "GatePolicy", WatchedPolicy)
    monkeypatch.setattr(gwd.worker.client, "Tunnel", WatchedTunnel)
    WatchedTunnel.made.clear()
    made = Rig(tmp_path)
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
def test_old_tables_are_freed_while_tunnels_are_open(rig: Rig) -> None:
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
def test_nothing_is_left_of_a_tunnel_that_has_ended(rig: Rig, how: str) -> None:
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
