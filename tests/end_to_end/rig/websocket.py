"""Both ends of a WebSocket, raw: frames are made and cut here, so that a test can also send what no
library would (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from dataclasses import dataclass

from rig.client import Client, Response
from rig.upstream import Connection, response

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""RFC 6455 §1.3."""


def accept(key: str) -> str:
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    return base64.b64encode(digest).decode()


def handshake(target: str = "/ws", *fields: str, leave_out: str = "", key: str = KEY) -> bytes:
    """A client's handshake with `fields` beside; `leave_out`: the name of one of its own that is
    not to be sent, in lower case."""
    lines = [
        "Host: gw.test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    kept = [line for line in lines if line.partition(":")[0].lower() != leave_out]
    return "\r\n".join((f"GET {target} HTTP/1.1", *kept, *fields, "", "")).encode()


def switching(key: str = KEY, *fields: str) -> bytes:
    """A server's answer to it."""
    lines = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept(key)}")
    return "\r\n".join(("HTTP/1.1 101 Switching Protocols", *lines, *fields, "", "")).encode()


def frame(payload: bytes = b"", opcode: int = BINARY, *, mask: bool, fin: bool = True) -> bytes:
    size = len(payload)
    first = bytes((0x80 * fin | opcode,))
    bit = 0x80 * mask
    if size < 126:
        head = first + bytes((bit | size,))
    elif size < 65536:
        head = first + bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        head = first + bytes((bit | 127,)) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + _mask(payload, key)


def _mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    whole = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    fin: bool
    masked: bool

    @property
    def code(self) -> int:
        """Of a Close frame."""
        return int.from_bytes(self.payload[:2], "big")


class Frames:
    """Cuts frames out of what a socket receives. `ended`: how the peer ended it."""

    def __init__(self, sock: socket.socket, received: bytes = b"") -> None:
        self.sock = sock
        self.buffer = bytearray(received)
        self.ended = ""

    def next(self) -> Frame | None:
        """The next frame, None at the end of the connection."""
        while (found := self._cut()) is None:
            try:
                data = self.sock.recv(262144)
            except ConnectionResetError:
                self.ended = "reset"
                return None
            if not data:
                self.ended = "closed"
                return None
            self.buffer += data
        return found

    def _cut(self) -> Frame | None:
        data = self.buffer
        if len(data) < 2:
            return None
        size, at, masked = data[1] & 0x7F, 2, bool(data[1] & 0x80)
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        start = at + 4 * masked
        if len(data) < max(at, start + size):
            return None
        payload = bytes(data[start : start + size])
        if masked:
            payload = _mask(payload, bytes(data[at:start]))
        found = Frame(data[0] & 0x0F, payload, bool(data[0] & 0x80), masked)
        del data[: start + size]
        return found


class WebSocket:
    """A client's side of an open one."""

    def __init__(self, client: Client, target: str = "/ws", *fields: str) -> None:
        client.send(handshake(target, *fields))
        self.answer = head(client)
        assert self.answer.status == 101, self.answer
        assert self.answer.get("sec-websocket-accept") == accept(KEY)
        self.client = client
        self.frames = Frames(client.sock, client.buffer)

    def send(self, payload: bytes, opcode: int = BINARY, *, fin: bool = True) -> None:
        self.client.sock.sendall(frame(payload, opcode, mask=True, fin=fin))

    def next(self) -> Frame | None:
        found = self.frames.next()
        assert found is None or not found.masked
        return found

    def echoes(self, payload: bytes, opcode: int = BINARY) -> bool:
        """Whether `payload` comes back."""
        self.send(payload, opcode)
        found = self.next()
        return found is not None and found.payload == payload

    @property
    def ended(self) -> str:
        """How it was ended; reads to the end."""
        while self.next() is not None:
            pass
        return self.frames.ended


def head(client: Client) -> Response:
    """The next head, whatever its status; what follows it stays in `client.buffer`."""
    while b"\r\n\r\n" not in client.buffer:
        assert client._more(), (client.ended, client.buffer)
    text, _, client.buffer = client.buffer.partition(b"\r\n\r\n")
    first, *lines = text.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    fields = [(name.lower(), value) for name, value in pairs]
    return Response(int(first.split(" ")[1]), fields, b"", [], 1)


def echo(connection: Connection) -> None:
    """An upstream that echoes messages, answers pings, and closes as it is told to; to what is no
    handshake it answers 200."""
    while (request := connection.read_request()) is not None:
        connection.upstream.record(request)
        if (request.get("upgrade") or "").lower() == "websocket":
            connection.send(switching(request.get("sec-websocket-key") or ""))
            converse(connection)
            return
        connection.send(response(b"ok\n"))


def converse(connection: Connection) -> None:
    """The echo itself, from behind the handshake on."""
    frames = Frames(connection.sock, bytes(connection.received[connection.taken :]))
    connection.taken = len(connection.received)
    while (found := frames.next()) is not None:
        assert found.masked
        opcode = PONG if found.opcode == PING else found.opcode
        connection.send(frame(found.payload, opcode, mask=False, fin=found.fin))
        if found.opcode == CLOSE:
            connection.ended = f"code {found.code}"
            return
    connection.ended = frames.ended
