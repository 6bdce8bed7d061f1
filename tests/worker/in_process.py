"""A real worker, on either loop, with a real segment, in the test's own process.

Only its supervisor is the test, which turns the loop; its one upstream is on the same one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

from gwd.config.load import load
from gwd.config.snapshot import Snapshot
from gwd.process.child import WORKER, Child
from gwd.segment.endpoints import EndpointTable
from gwd.segment.memory import Segment, Sizes
from gwd.segment.metrics import RouteMetrics
from gwd.segment.processes import WORKER as WORKER_CODE
from gwd.segment.processes import ProcessTable
from gwd.upstream.endpoint import table_name
from gwd.worker.process import Worker

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


class Rig:
    """`serve` makes the upstream, `close` ends all of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "access.log"
        self.segment = Segment.create(Sizes(2, 1024, 8, 8))
        table = ProcessTable(self.segment)
        column = table.claim(WORKER_CODE, 0, os.getpid())
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.upstream_socket = socket.create_server(("127.0.0.1", 0))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        port = self.upstream_socket.getsockname()[1]
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
        self.upstream = self.loop.run_until_complete(self.serve(self.upstream_socket))

    def snapshot(self, size: int) -> Snapshot:
        file = self.directory / "gwd.toml"
        port = self.upstream_socket.getsockname()[1]
        file.write_text(CONFIG.format(log=self.log, size=size, port=port))
        return load(str(file), {}).snapshot

    async def serve(self, sock: socket.socket) -> asyncio.AbstractServer:
        raise NotImplementedError

    def reload(self, generation: int) -> None:
        for _ in self.worker.prepare(self.snapshot(1000 + generation), generation):
            pass
        self.worker.commit()

    def run(self, work):
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def leave(self) -> None:
        """End what the test itself has open."""

    def close(self) -> None:
        self.upstream.close()
        for connection in list(self.worker.census.connections):
            connection.kill("shutdown")
        self.leave()
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


class Service(asyncio.Protocol):
    """Answers one request after the other with `BODY`, which is also that of a POST. All by
    callbacks, so that whatever tasks and futures a test counts are the gateway's."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"POST ") and len(body) < len(BODY):
            return
        self._held = b""
        self.transport.write(ANSWER)


BODY = b"hello"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class PlainRig(Rig):
    """With a `Service`."""

    def __init__(self, directory: Path) -> None:
        self.services: list[Service] = []
        super().__init__(directory)

    async def serve(self, sock: socket.socket) -> asyncio.AbstractServer:
        return await self.loop.create_server(self._service, sock=sock)

    def _service(self) -> Service:
        made = Service()
        self.services.append(made)
        return made

    def leave(self) -> None:
        for service in self.services:
            service.transport.abort()
