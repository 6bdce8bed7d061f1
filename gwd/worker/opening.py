"""From an accepted socket to a connection, where more comes before the first request.

Strategy. What a listener asks for is gone through in this order, each step on the bare socket:

    ──> PROXY header ──> who that is ──> first byte ──> its turn ──> handshake ──> connection
        from trusted     denied, banned  of the hello
        peers only       too many

No TLS object exists before the client has begun to speak TLS, so silent clients cost a descriptor
and a hundred bytes. Of a PROXY header exactly its own bytes are taken from the kernel (peek, then
receive), so what follows is there for whoever reads next. All of it together must be done
`handshake_timeout` after the accept (SEC-25, SEC-49), else it ends with a reset, which leaves
nothing behind on this side. The first request's `head_timeout` runs since the accept, too.

A handshake is a millisecond of computing, which everybody else waits for. So at most `BURST` begin
in one turn of the loop and `max_handshakes` are under way; others wait in line, and if the line is
as long, the listeners with TLS rest and clients wait in the kernel's queue, where no time runs for
them. One address may have `max_handshakes_per_ip` that have not ended, those in line included; it
cannot fill the line alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from gwd.clock import NEVER, TICK
from gwd.http.proxy_protocol import MOST_V2, NotProxy, read_proxy_header
from gwd.linger import set_linger
from gwd.process.heap import HANDSHAKE
from gwd.worker.client import ClientConnection
from gwd.worker.secure import NO_LIMIT, SecureConnection

if TYPE_CHECKING:
    from gwd.policies import Visitor
    from gwd.worker.accept import Acceptor
    from gwd.worker.journey import Journey
    from gwd.worker.process import Worker

BURST = 8
LEAST = 0.05
"""Seconds that a handshake has at least, begun at the last moment."""
HELLO = 0x16
"""The first byte of a client that speaks TLS: a record of its handshake (RFC 8446 §5.1)."""


class Handshakes:
    """Whose turn it is. One per worker."""

    __slots__ = ("_by_key", "_loop", "_resting", "_scheduled", "_waiting", "_worker", "running")

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._loop = worker.loop
        self._by_key: dict[bytes, int] = {}
        self._waiting: dict[Opening, None] = {}
        """In order of arrival; a dict, as many leave before it is their turn."""
        self._scheduled = False
        self._resting: list[Acceptor] = []
        self.running = 0

    @property
    def crowded(self) -> bool:
        """Whether the line is full."""
        return len(self._waiting) >= self._worker.settings.max_handshakes

    def rest(self, acceptor: Acceptor) -> None:
        """Have `acceptor` start again when there is room."""
        if acceptor not in self._resting:
            self._resting.append(acceptor)

    def enter(self, visitor: Visitor) -> bool:
        """Count one of `visitor` that is to be encrypted, if it may have one more."""
        count = self._by_key.get(visitor.key, 0)
        free = visitor.exempt or visitor.trusted
        if not free and count >= self._worker.settings.max_handshakes_per_ip:
            return False
        self._by_key[visitor.key] = count + 1
        return True

    def leave(self, opening: Opening) -> None:
        """The counterpart of `enter`, whatever became of it."""
        key = opening.visitor.key
        left = self._by_key[key] - 1
        if left:
            self._by_key[key] = left
        else:
            del self._by_key[key]
        if opening.handshaking:
            self.running -= 1
            self._worker.heap.freed += HANDSHAKE
        else:
            self._waiting.pop(opening, None)
        self._look()

    def longest_wait(self) -> float:
        """Seconds within which it is the turn of who comes now. Several may have come at once, so
        the line may be longer than those whom it admits."""
        settings = self._worker.settings
        turns = len(self._waiting) // settings.max_handshakes + 1
        return (turns + 1) * settings.handshake_timeout  # one more than it takes, for slow machines

    def queue(self, opening: Opening) -> None:
        self._waiting[opening] = None
        self._look()

    def _look(self) -> None:
        most = self._worker.settings.max_handshakes
        if self._waiting and self.running < most and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin)
        if self._resting and 2 * len(self._waiting) <= most:
            resting, self._resting = self._resting, []
            for acceptor in resting:
                acceptor.resume()

    def _begin(self) -> None:
        self._scheduled = False
        for _ in range(BURST):
            if not self._waiting or self.running >= self._worker.settings.max_handshakes:
                break
            opening = next(iter(self._waiting))
            del self._waiting[opening]
            self.running += 1
            opening.handshake()
        self._look()


class Opening:
    """One accepted socket on its way; `Timed` for the clock. It is in `census.openings` until it
    ends, by `succeeded` or by `_fail`."""

    __slots__ = (
        "_acceptor",
        "_bind",
        "_coroutine",
        "_entered",
        "_held",
        "_journey",
        "_left",
        "_queued_at",
        "_sock",
        "_watching",
        "accepted_at",
        "deadline",
        "due",
        "handshaking",
        "peer",
        "place",
        "visitor",
        "worker",
    )

    def __init__(self, acceptor: Acceptor, worker: Worker, sock: socket.socket) -> None:
        self._acceptor = acceptor
        # As they are now: what it has begun it goes through, whatever a reload says.
        self._bind, self._journey = acceptor.bind, acceptor.journey
        self._sock = sock
        self._held = b""
        """What came of a PROXY header that is not whole yet."""
        self._watching = False
        self._entered = False
        self._queued_at = 0.0
        """Since when it has stood in the line; 0 if it has not."""
        self._left = 0.0
        """Seconds that it may take once its turn comes."""
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self.accepted_at = time.monotonic()
        self.worker = worker
        self.handshaking = False
        self.place = -1
        """Where it is counted among its address's connections, as it is from here on (SEC-49)."""
        self.deadline = NEVER
        self.due = NEVER

    def begin(self, peer: Visitor) -> None:
        """`peer` is at the other end, and may have one more connection."""
        worker = self.worker
        self.peer = self.visitor = peer
        self._sock.setblocking(False)
        worker.census.openings.add(self)
        worker.census.on_their_way(1)
        settings = worker.settings
        within = min(settings.handshake_timeout, settings.head_timeout)
        worker.clock.arm(self, self.accepted_at + within)
        if self._bind.proxy_protocol:
            self._read_header()
        else:
            self._know(peer)

    # who it is

    def _read_header(self) -> None:
        try:
            data = self._sock.recv(MOST_V2, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._watch(self._read_header)
            return
        except OSError:
            self._fail()
            return
        held = self._held
        found = read_proxy_header(held + data)
        if not data or isinstance(found, NotProxy):
            if held or data:
                why = found.reason if isinstance(found, NotProxy) else "it ended too early"
                self.worker.no_proxy_header(self.peer.ip, why)
            self._fail()
            return
        size = len(data) if found is None else found.size - len(held)
        taken = self._sock.recv(size)
        if found is None:
            self._held = held + taken
            self._watch(self._read_header)
            return
        self._held = b""
        self._unwatch()
        worker, peer = self.worker, self.peer
        visitor = peer if found.address is None else worker.tables.visitor(found.address)
        if visitor is not peer and not worker.census.has_room_for(visitor):
            self._fail()
            return
        self._know(visitor)

    def _know(self, visitor: Visitor) -> None:
        """`visitor` is whom it comes from. Over plain HTTP who is denied or banned behind a proxy
        is told so; before a handshake there is nothing that could be said (SEC-49)."""
        self.visitor = visitor
        worker = self.worker
        if not self._bind.tls:
            self._connect(self._journey)
        elif (
            not (visitor.refusal is not None and not visitor.trusted)
            and not (visitor is not self.peer and worker.turns_away(visitor))
            and worker.handshakes.enter(visitor)
        ):
            self._entered = True
            self.place = worker.census.take_place(visitor)
            self._watch(self._hear)
        else:
            self._fail()

    def hand_over(self, connection: ClientConnection) -> None:
        """What it knows already: when the head of the first request must be here (SEC-25), and
        where it is counted."""
        connection.deadline = self.accepted_at + self.worker.settings.head_timeout + TICK
        connection.place, self.place = self.place, -1

    def who(self) -> tuple[Visitor, Visitor]:
        """Who speaks and who is at the other end, as the config in force judges them."""
        tables = self.worker.tables
        peer = tables.visitor(self.peer.ip)
        return (peer if self.visitor is self.peer else tables.visitor(self.visitor.ip)), peer

    # TLS

    def _hear(self) -> None:
        """The client has begun, or is gone."""
        try:
            first = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if first and first[0] == HELLO:
            self._unwatch()
            self._queue()
        elif first.isupper():  # HTTP, most likely: there it is told what it has to speak here
            self._unwatch()
            self._leave()
            self._connect(self.worker.wrong_port_journey)
        else:
            self._fail()

    def _queue(self) -> None:
        """Stand in the line. Its own time stands meanwhile, for its turn is sure to come."""
        worker = self.worker
        now = self._queued_at = time.monotonic()
        self._left = max(LEAST, self.deadline - now)
        worker.clock.arm(self, now + worker.handshakes.longest_wait())
        worker.handshakes.queue(self)

    def handshake(self) -> None:
        """It is this one's turn."""
        self.handshaking = True
        worker = self.worker
        self.accepted_at += time.monotonic() - self._queued_at
        worker.clock.disarm(self)
        # Whatever ends it before it is done, ends it with a reset.
        set_linger(self._sock, reset=True)
        connection = SecureConnection(self)
        self._coroutine = worker.loop.connect_accepted_socket(
            cast("Callable[[], asyncio.Protocol]", lambda: connection),
            self._sock,
            ssl=worker.tls.of(self._bind),
            ssl_handshake_timeout=self._left,
            ssl_shutdown_timeout=NO_LIMIT,
        )
        self._advance(None)

    def _connect(self, journey: Journey) -> None:
        """No TLS is spoken: what comes next are requests."""
        worker = self.worker
        visitor, peer = self.who()
        connection = ClientConnection(worker, visitor, journey, remote=peer)
        self.hand_over(connection)
        worker.clock.disarm(self)
        worker.census.openings.discard(self)
        worker.census.on_their_way(-1)
        self._acceptor.connect(self._sock, connection)

    def _advance(self, waited_for: asyncio.Future[Any] | None) -> None:
        """Go on with the event loop's coroutine. It needs no task: it waits once."""
        assert self._coroutine is not None
        try:
            future: asyncio.Future[Any] = self._coroutine.send(None)
        except StopIteration:
            self._coroutine = None
        except Exception as error:  # the handshake failed, or the client left: nothing is owed
            error.__traceback__ = None  # it leads to this frame, and so by `waited_for` to itself
            self._coroutine = None
            if self in self.worker.census.openings:
                self._fail(owned=waited_for is None)
        else:
            future.add_done_callback(self._advance)

    # its end

    def succeeded(self) -> None:
        """The handshake is done, and the connection's own life begins."""
        with contextlib.suppress(OSError):  # it is gone already, which the transport will tell
            set_linger(self._sock, reset=False)
        self._leave()

    def expired(self) -> None:
        self._fail()

    # what `gwd.worker.room` asks

    spare = False
    """It has had no request answered."""

    @property
    def address(self) -> bytes:
        return self.visitor.key

    @property
    def idle_since(self) -> float:
        return self.accepted_at

    def dawdles(self, now: float, patience: float) -> bool:
        """Whether it has said nothing for `patience` seconds, or spoken of itself for thrice that:
        a handshake over a long way takes several turns."""
        if self._queued_at and not self.handshaking:
            return False  # it waits for us
        silent = self._watching and not self._held
        return now - self.accepted_at > (patience if silent else 3 * patience)

    def make_room(self) -> None:
        self._fail()

    def end_silent(self) -> None:
        """The worker drains: nobody waits for one who has said nothing yet."""
        if self._watching and not self._held:
            self._fail()

    def _fail(self, *, owned: bool = True) -> None:
        """`owned`: the socket is still ours, and not a transport's."""
        self._unwatch()
        if owned:
            with contextlib.suppress(OSError):
                set_linger(self._sock, reset=True)
            self._sock.close()
        self._leave()
        self.worker.census.never_opened(self)
        self.worker.opening_ended()

    def _leave(self) -> None:
        self.worker.clock.disarm(self)
        self.worker.census.openings.discard(self)
        if self._entered:
            self._entered = False
            self.worker.handshakes.leave(self)

    def _watch(self, callback: Callable[[], None]) -> None:
        if not self._watching:
            self._watching = True
            self.worker.loop.add_reader(self._sock.fileno(), callback)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self.worker.loop.remove_reader(self._sock.fileno())
