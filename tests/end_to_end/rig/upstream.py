"""An upstream that keeps every byte it was sent, and answers whatever a test wants.

Strategy. One thread per connection, plain blocking sockets: a script of steps is played as it is
written. What came is kept raw (`Connection.received`), because a parser between the wire and the
test would hide exactly what the tests are after; requests are cut out of it by the few lines of
`end_of_message`, which know canonical HTTP and nothing else.

A script is a list of steps: bytes are sent as they are, `Pause` waits, `Wait` waits for an event,
`Close` and `Reset` end the connection, `Hang` keeps it open and silent. After the last step the
connection goes on to the next request, as a keep-alive server does.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gwd.linger import set_linger

PATIENCE = 20.0
"""Seconds after which a read or a wait of ours gives up."""


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Wait:
    event: threading.Event


@dataclass(frozen=True)
class Close:
    """An orderly end: FIN."""


@dataclass(frozen=True)
class Reset:
    """A disorderly end: RST."""


@dataclass(frozen=True)
class Hang:
    """Neither answer nor end, until the peer leaves or the upstream is closed."""


Step = bytes | Pause | Wait | Close | Reset | Hang
Script = Sequence[Step]
Behaviour = Callable[["Connection"], None]


def response(body: bytes = b"ok", *fields: str, status: str = "200 OK") -> bytes:
    """A plain answer with Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Request:
    """One request as it came. `body` is decoded from chunks, if it came in chunks."""

    raw: bytes
    head: bytes
    body: bytes
    connection: int
    """The number of its connection, from 0."""

    @property
    def line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Names in lower case, values as they are, in the order in which they came."""
        pairs = []
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            if line:
                name, _, value = line.partition(":")
                pairs.append((name.lower(), value.strip(" ")))
        return pairs

    def get(self, name: str) -> str | None:
        """The value of the one field `name`; raises if there are more."""
        values = [value for key, value in self.fields if key == name.lower()]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


@dataclass
class Connection:
    """One connection to the upstream; `sock` belongs to its thread."""

    number: int
    sock: socket.socket
    upstream: RecordingUpstream
    received: bytearray = field(default_factory=bytearray)
    taken: int = 0
    """Bytes of `received` that were cut into requests."""
    ended: str = ""
    """How the peer ended it: "", "closed" or "reset"."""

    def more(self) -> bool:
        """Read once; False at the end."""
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            self.ended = "reset"
            return False
        except OSError:
            self.ended = self.ended or "closed"
            return False
        if not data:
            self.ended = "closed"
            return False
        self.received += data
        return True

    def read_head(self) -> bytes | None:
        """The next request's head without taking its body; None at the end."""
        while (end := self.received.find(b"\r\n\r\n", self.taken)) < 0:
            if not self.more():
                return None
        return bytes(self.received[self.taken : end + 4])

    def read_request(self) -> Request | None:
        """The next whole request; None at the end."""
        while True:
            found = end_of_message(self.received, self.taken)
            if found is not None:
                break
            if not self.more():
                return None
        head_end, end, body = found
        request = Request(
            raw=bytes(self.received[self.taken : end]),
            head=bytes(self.received[self.taken : head_end]),
            body=body,
            connection=self.number,
        )
        self.taken = end
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def play(self, script: Script) -> bool:
        """Play `script`; whether the connection goes on."""
        for step in script:
            match step:
                case bytes():
                    self.send(step)
                case Pause():
                    time.sleep(step.seconds)
                case Wait():
                    step.event.wait(PATIENCE)
                case Close():
                    self.sock.close()
                    return False
                case Reset():
                    reset(self.sock)
                    return False
                case Hang():
                    while self.more():
                        pass
                    return False
        return True


def end_of_message(data: bytearray, start: int) -> tuple[int, int, bytes] | None:
    """Where the canonical request at `start` has its head's and its own end, and its body.

    None if it is not all here. Raises ValueError for framing that a gateway must never produce.
    """
    head_end = data.find(b"\r\n\r\n", start)
    if head_end < 0:
        return None
    head_end += 4
    lengths: list[int] = []
    codings: list[bytes] = []
    for line in bytes(data[start:head_end]).split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            lengths.append(int(value))
        elif name.lower() == b"transfer-encoding":
            codings.append(value.strip())
    if len(lengths) + len(codings) > 1 or codings not in ([], [b"chunked"]):
        raise ValueError(f"ambiguous framing: {lengths} {codings}")
    if lengths:
        end = head_end + lengths[0]
        return (head_end, end, bytes(data[head_end:end])) if len(data) >= end else None
    if not codings:
        return head_end, head_end, b""
    pieces: list[bytes] = []
    place = head_end
    while True:
        line_end = data.find(b"\r\n", place)
        if line_end < 0:
            return None
        size = int(bytes(data[place:line_end]), 16)
        place = line_end + 2
        if len(data) < place + size + 2:
            return None
        pieces.append(bytes(data[place : place + size]))
        if data[place + size : place + size + 2] != b"\r\n":
            raise ValueError("no CRLF behind a chunk, or a trailer")
        place += size + 2
        if size == 0:
            return head_end, place, b"".join(pieces)


def reset(sock: socket.socket) -> None:
    """End `sock` with an RST."""
    set_linger(sock, reset=True)
    sock.close()


class RecordingUpstream:
    """Listens on a free port of 127.0.0.1. Closed by its fixture."""

    def __init__(self, name: str = "up", *, port: int = 0) -> None:
        self.name = name
        self.connections: list[Connection] = []
        self.requests: list[Request] = []
        self.scripts: dict[str, Script] = {}
        """By path (without query): what answers instead of the plain 200."""
        self.early: set[str] = set()
        """Paths whose script is played as soon as the head is here."""
        self._numbers = itertools.count()
        self.behaviour: Behaviour = serve
        """What a connection's thread runs."""
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE * 3)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                connection = Connection(next(self._numbers), sock, self)
                self.connections.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            self.behaviour(connection)
        except OSError:
            pass  # the peer was gone before we had finished: tests look at what it got
        except BaseException as error:
            self.errors.append(error)
        finally:
            connection.sock.close()

    def record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def on(self, path: str, *script: Step, early: bool = False) -> None:
        """Answer requests for `path` by `script`; `early`: without waiting for their body."""
        self.scripts[path] = script
        if early:
            self.early.add(path)
        else:
            self.early.discard(path)

    def forget(self) -> None:
        """Forget requests and ended connections: a new case begins. Open ones are kept."""
        with self._lock:
            self.requests.clear()
            for connection in self.connections:
                del connection.received[: connection.taken]
                connection.taken = 0
            self.connections = [c for c in self.connections if not c.ended]

    def unfinished(self) -> list[bytes]:
        """What came and is no whole request (yet), per connection that has such bytes."""
        with self._lock:
            return [
                bytes(connection.received[connection.taken :])
                for connection in self.connections
                if len(connection.received) > connection.taken
            ]

    def refuse(self) -> None:
        """Listen no more, and end what is open: from now on connections are refused."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(PATIENCE)
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything. Raises AssertionError if a connection's thread met bad framing."""
        self.refuse()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not self.errors, self.errors


def serve(connection: Connection) -> None:
    """Answer each request by the script of its path, or by 200."""
    upstream = connection.upstream
    while (head := connection.read_head()) is not None:
        path = head.split(b" ", 2)[1].partition(b"?")[0].decode("latin-1")
        if path in upstream.early:
            if connection.play(upstream.scripts[path]):
                connection.play((Hang(),))
            return
        request = connection.read_request()
        if request is None:
            return
        upstream.record(request)
        script = upstream.scripts.get(request.target.partition("?")[0])
        if script is None:
            body = b"" if request.method == "HEAD" else b"ok\n"
            fields = (f"X-Served-By: {upstream.name}", "Content-Length: 3")
            lines = ("HTTP/1.1 200 OK", "Content-Type: text/plain", *fields)
            connection.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        elif not connection.play(script):
            return
