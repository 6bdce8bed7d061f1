"""Accepting: a listener's queue becomes connections.

Strategy. uvloop's own server takes one connection per turn of the loop, so under load new clients
wait behind the old ones, and it drops clients when fds run out. This loop takes up to `BATCH` a
turn, and what is decided about a connection as such (`max_connections`, bans, room for fds) is
decided before any object exists for it.

When accepting must pause, the clients wait in the kernel's queue: nothing is refused that could be
served a moment later.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from gwd.clock import TICK
from gwd.process.socket_filter import detach
from gwd.worker.client import ClientConnection

if TYPE_CHECKING:
    from gwd.worker.process import Worker

BATCH = 64
OUT_OF_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
ABORT = struct.pack("ii", 1, 0)
NOT_SENT = 262144
"""Bytes of an answer that the kernel takes of us ahead of what it may send. Without a bound it
holds megabytes for each slow reader, and we are told that they are written."""
REST = 0.1
"""Seconds without accepting when fds or memory ran out and nobody could make room."""


class Acceptor:
    """Accepts from one listener on behalf of `worker`, from `start` on."""

    __slots__ = ("_listener", "_loop", "_resume_at", "_running", "_tasks", "_worker")

    def __init__(self, worker: Worker, listener: socket.socket) -> None:
        self._worker = worker
        self._listener = listener
        self._loop = worker.loop
        self._running = False
        self._resume_at = 0.0
        self._tasks: set[asyncio.Task[object]] = set()
        # What is accepted inherits it (tcp(7)).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)

    def start(self) -> None:
        if not self._running:
            self._running = True
            self._loop.add_reader(self._listener.fileno(), self._ready)

    def pause(self, until: float) -> None:
        """Accept nothing until the tick after `until`, monotonic seconds."""
        self._resume_at = until
        if self._running:
            self._running = False
            self._loop.remove_reader(self._listener.fileno())

    def tick(self, now: float) -> None:
        if not self._running and self._resume_at <= now:
            self.start()

    def finish(self) -> None:
        """Take what is queued, then close the listener on our side."""
        for _ in range(64):
            if self._take(BATCH) < BATCH:
                break
        self.pause(float("inf"))
        self._listener.close()

    def _ready(self) -> None:
        self._take(BATCH)

    def _take(self, most: int) -> int:
        worker = self._worker
        for taken in range(most):
            if not worker.may_accept():
                self.pause(worker.clock.now + TICK)
                return taken
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return taken
            except OSError as error:
                if error.errno not in OUT_OF_ROOM:
                    raise
                rest = TICK if worker.ran_out_of_fds() else REST
                self.pause(worker.clock.now + rest)
                return taken
            self._open(sock, address[0])
        return most

    def _open(self, sock: socket.socket, peer_ip: str) -> None:
        peer = self._worker.tables.visitor(peer_ip)
        if self._worker.turns_away(peer):
            # A reset, and nothing of ours stays behind in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            sock.close()
            return
        if not self._worker.has_room_for(peer):
            sock.close()
            return
        if self._worker.kernel_filters():
            # It inherits the listener's filter, and would keep that version of it in the kernel's
            # memory for as long as it lives.
            detach(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = ClientConnection(self._worker, peer)
        self._worker.opening.add(connection)
        self._worker.count(connection)
        factory = cast("Callable[[], asyncio.Protocol]", lambda: connection)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(factory, sock)
        )
        self._tasks.add(task)
        task.add_done_callback(partial(self._opened, connection))

    def _opened(self, connection: ClientConnection, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self._worker.opening.discard(connection)
        if task.cancelled() or task.exception() is not None:
            # The client was gone before we came to it: nothing is owed.
            self._worker.discount(connection)
