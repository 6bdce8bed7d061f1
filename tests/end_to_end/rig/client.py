"""A client that sends bytes, not requests, and says exactly what came back.

Strategy. A blocking socket. Answers are read by a fresh h11 connection each, so that a mistake in
their framing is an error here and not a guess; and the end of the connection is told apart: closed
in order, reset, or still open.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

import h11

from gwd.linger import set_linger

PATIENCE = 20.0
KEPT = 200
BETWEEN_PIECES = 0.0002
"""Seconds between two pieces, so that the gateway, idle otherwise, reads them one by one."""


@dataclass
class Response:
    status: int
    fields: list[tuple[str, str]]
    """Names in lower case."""
    body: bytes
    interim: list[int]
    """Statuses of interim responses before it."""
    minor: int

    def get(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key == name.lower()]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]

    @property
    def closes(self) -> bool:
        """Whether it says that its connection ends with it."""
        return "close" in (self.get("connection") or "").lower().split(", ")


class Broken(Exception):
    """The connection ended where an answer should have begun or gone on; `how` it ended, and the
    last KEPT bytes that were `got`."""

    def __init__(self, how: str, got: bytes) -> None:
        super().__init__(f"{how} after {got!r}")
        self.how = how
        self.got = got


class Client:
    """One connection to the gateway."""

    def __init__(
        self, address: tuple[str, int], *, source: str | None = None, small_window: bool = False
    ) -> None:
        """`source`: an address of 127.0.0.0/8 to come from. `small_window`: take in little."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        if small_window:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            if source is not None:
                self.sock.bind((source, 0))
            self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ended = ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Leave with an RST."""
        set_linger(self.sock, reset=True)
        self.sock.close()

    def finish_sending(self) -> None:
        """Half-close: nothing more comes from here, answers are still read."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    # sending

    def send(self, data: bytes) -> bool:
        """Send all of `data`; False if the gateway has ended the connection."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def send_pieces(self, pieces: Iterable[bytes], pause: float = BETWEEN_PIECES) -> bool:
        """Send pieces one by one, as long as they are taken."""
        for piece in pieces:
            if not self.send(piece):
                return False
            time.sleep(pause)
        return True

    # receiving

    def _more(self) -> bool:
        if self.ended:
            return False
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            self.ended = "reset"
            return False
        if not data:
            self.ended = "closed"
            return False
        self.buffer += data
        return True

    def response(self, method: str = "GET") -> Response:
        """The next final answer, whole. Raises Broken if the connection ends before it does."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        seen = self.buffer
        if seen:
            parser.receive_data(seen)
        head: h11.Response | None = None
        interim: list[int] = []
        body = bytearray()
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                if self.ended:
                    raise Broken(self.ended, seen) from error
                raise
            if event is h11.NEED_DATA:
                self.buffer = b""
                if self._more():
                    seen = (seen + self.buffer)[-KEPT:]
                    parser.receive_data(self.buffer)
                elif self.ended == "reset" or head is None:
                    raise Broken(self.ended, seen)
                else:
                    parser.receive_data(b"")
            elif isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise Broken(self.ended, seen)
        assert head is not None
        self.buffer = parser.trailing_data[0]
        fields = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        minor = int(head.http_version.partition(b".")[2])
        return Response(head.status_code, fields, bytes(body), interim, minor)

    def request(self, data: bytes) -> Response:
        """Send `data` and read one answer."""
        self.send(data)
        return self.response("HEAD" if data.startswith(b"HEAD ") else "GET")

    def get(self, target: str, *fields: str, method: str = "GET") -> Response:
        """A plain request without a body."""
        return self.request(request(target, *fields, method=method))

    def end(self, patience: float = PATIENCE) -> str:
        """How the gateway ends this connection: "closed" or "reset"; "open" if it does not end
        within `patience` seconds. What comes before the end is kept in `buffer`."""
        deadline = time.monotonic() + patience
        poller = select.poll()  # select(2) knows no descriptor above 1,023
        poller.register(self.sock, select.POLLIN)
        while not self.ended:
            left = max(0.0, deadline - time.monotonic())
            if not poller.poll(left * 1000):
                return "open"
            self._more()
        return self.ended

    def rest(self, patience: float = PATIENCE) -> bytes:
        """Everything until the gateway ends the connection."""
        self.end(patience)
        return self.buffer


def request(
    target: str,
    *fields: str,
    method: str = "GET",
    body: bytes | None = None,
    host: str = "gw.test",
) -> bytes:
    """A well-formed request; `body` brings its Content-Length."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")
