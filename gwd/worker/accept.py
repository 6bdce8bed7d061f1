"""Accepting: a listener's queue becomes connections.

Strategy. uvloop's own server takes one connection per turn of the loop, so under load new clients
wait behind the old ones, and it drops clients when fds run out. This loop takes up to `BATCH` a
turn, and what is decided about a connection as such (`max_connections`, bans, room for fds) is
decided before any object exists for it. A listener with TLS or the PROXY protocol hands the rest to
`gwd.worker.opening`; to a plain one the event loop is told at once.

It is told by its own coroutine, which waits just for `connection_made`, and is stepped here by
hand, a batch at a time: a task per connection would cost more than the connection.

When accepting must pause, the clients wait in the kernel's queue: nothing is refused that could be
served a moment later.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from gwd.clock import TICK
from gwd.config.snapshot import Bind
from gwd.linger import set_linger
from gwd.process.socket_filter import detach
from gwd.worker.client import ClientConnection
from gwd.worker.opening import Opening

if TYPE_CHECKING:
    from gwd.worker.journey import Journey
    from gwd.worker.process import Worker

BATCH = 64
OUT_OF_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
NOT_SENT = 262144
"""Bytes of an answer that the kernel takes of us ahead of what it may send. Without a bound it
holds megabytes for each slow reader, and we are told that they are written."""
LOOKING = 1e-5
"""Seconds without accepting for each connection, when none of them could make room."""
REST = 0.1
"""Seconds without accepting when fds or memory ran out and nobody could make room."""
_HalfOpen = tuple[Coroutine[Any, Any, Any], "asyncio.Future[Any]", ClientConnection]


class Accepted(socket.socket):
    """A socket whose kind is told by plain numbers: event loops ask for it, and members of enums
    cost as much again as the socket. (The plain C type will not do: uvloop, which closes the
    descriptor itself, would close it once more, and by then it may be another's.)"""

    __slots__ = ()
    family = socket.SocketType.family  # type: ignore[assignment]
    type = socket.SocketType.type  # type: ignore[assignment]


class Acceptor:
    """Accepts from one listener on behalf of `worker`, from `start` on; others may do so too.

    `bind` says what is spoken there, `journey` where its plain requests go.
    """

    __slots__ = (
        "_bare",
        "_family",
        "_finishing",
        "_half_open",
        "_listener",
        "_loop",
        "_resume_at",
        "_running",
        "_worker",
        "bind",
        "journey",
    )

    def __init__(
        self, worker: Worker, listener: socket.socket, bind: Bind, journey: Journey
    ) -> None:
        self._worker = worker
        self._listener = listener
        self._loop = worker.loop
        self._running = False
        self._finishing = False
        self._resume_at = 0.0
        self._half_open: list[_HalfOpen] = []
        self._family = int(listener.family)
        self.follow(bind, journey)
        # What is accepted inherits it (tcp(7)).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)

    def follow(self, bind: Bind, journey: Journey) -> None:
        """Have those who come from now on meet what `bind` says and go where `journey` leads."""
        self.bind = bind
        self.journey = journey
        self._bare = not (bind.tls or bind.proxy_protocol)

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

    def resume(self) -> None:
        """What `pause` was for is over."""
        if not self._finishing:
            self.start()

    def tick(self, now: float) -> None:
        if not self._running and self._resume_at <= now:
            self.start()

    def finish(self) -> None:
        """Take what is queued, then close the listener on our side."""
        self._finishing = True  # however crowded it is
        for _ in range(64):
            if self._take(BATCH) < BATCH:
                break
        self.leave()

    def leave(self) -> None:
        """Close the listener on our side only: its queue is for others who have it open."""
        self._finishing = True
        self.pause(float("inf"))
        self._listener.close()

    def _ready(self) -> None:
        self._take(BATCH)

    def _take(self, most: int) -> int:
        worker, census = self._worker, self._worker.census
        if self.bind.tls and worker.handshakes.crowded and not self._finishing:
            self.pause(float("inf"))
            worker.handshakes.rest(self)
            return 0
        for taken in range(most):
            if not census.may_accept():
                # Whom to ask for room was looked for among all of them.
                rest = max(TICK, len(census.connections) * LOOKING)
                self.pause(worker.clock.now + rest)
                return taken
            try:
                fd, address = self._listener._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return taken
            except OSError as error:
                if error.errno not in OUT_OF_ROOM:
                    raise
                # Those who make room are gone with the next turn of the loop.
                if not census.ran_out_of_descriptors():
                    self.pause(worker.clock.now + REST)
                return taken
            self._open(Accepted(self._family, socket.SOCK_STREAM, 0, fd), address[0])
        return most

    def _open(self, sock: socket.socket, peer_ip: str) -> None:
        worker = self._worker
        peer = worker.tables.visitor(peer_ip)
        if worker.turns_away(peer):
            # A reset, and nothing of ours stays behind in TIME_WAIT.
            set_linger(sock, reset=True)
            sock.close()
            return
        if not worker.census.has_room_for(peer):
            sock.close()
            return
        if worker.kernel_filters():
            # It inherits the listener's filter, and would keep that version of it in the kernel's
            # memory for as long as it lives.
            detach(sock)
        if self._bare:
            self.connect(sock, ClientConnection(worker, peer, self.journey, remote=peer))
        elif self.bind.proxy_protocol and not peer.trusted:
            # SEC-40: nobody else may say who the client is, and nothing is guessed.
            worker.no_proxy_header(peer.ip, "it is none of trusted_proxies")
            set_linger(sock, reset=True)
            sock.close()
        else:
            Opening(self, worker, sock).begin(peer)

    def connect(self, sock: socket.socket, connection: ClientConnection) -> None:
        """Tell the event loop of `sock`, on which requests come next."""
        coroutine = self._loop.connect_accepted_socket(
            cast("Callable[[], asyncio.Protocol]", lambda: connection), sock
        )
        try:
            future = coroutine.send(None)
        except Exception:  # the client was gone before we came to it: nothing is owed
            self._worker.census.discount(connection)
            sock.close()
            return
        self._worker.census.on_their_way(1)
        self._worker.census.count(connection)
        self._half_open.append((coroutine, future, connection))
        if len(self._half_open) == 1:
            self._loop.call_soon(self._opened)

    def _opened(self) -> None:
        """Let the coroutines end that have told of their connection. Those begun behind the first
        of this batch do that behind this call."""
        batch, self._half_open = self._half_open, []
        for item in batch:
            coroutine, future, connection = item
            if not future.done():
                self._half_open.append(item)
                continue
            try:
                coroutine.send(None)
            except StopIteration:
                continue
            except (RuntimeError, OSError):  # it was closed meanwhile
                if not connection.was_opened:
                    self._worker.census.never_opened(connection)
                    self._worker.opening_ended()
        if self._half_open:
            self._loop.call_soon(self._opened)
