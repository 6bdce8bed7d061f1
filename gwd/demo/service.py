"""A sample service: one small, dependable HTTP/1.1 server for profile, orders and cart.

Strategy. asyncio streams and h11, one task per connection: readable before fast. Everything it
answers follows from the request, it keeps no state, so its instances are alike and a test can
compute what is right. What is said of a path holds with and without the service's name in front
(`/orders/42`, `/42`), so it works behind a gateway with and without a rewrite.

    GET  /healthz            200 {"status": "ok"}
    GET  /profile/ada        a user; /orders/42 an order; /cart/ada a cart
    GET  /orders?user=ada    the orders of a user
    any  /echo               what was received: method, target, fields, length and SHA-256 of body
    GET  /bytes/1048576      that many bytes, always the same for the same number
    else                     404

Every answer says who gave it: `X-Served-By: orders-1`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

import h11

from gwd.demo import samples
from gwd.process.loop import new_loop

READ = 64 * 1024
PIECE = 64 * 1024
MAX_BYTES = 1 << 30
"""The largest download, 1 GiB."""
IDLE = 60.0
"""Seconds that a connection may be silent, far longer than a gateway keeps idle ones."""

_PATTERN = bytes(range(256)) * (PIECE // 256)


def serve(name: str, instance: int, listener: socket.socket) -> None:
    """Be instance `instance` of service `name` on `listener`, which listens already, for ever."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(Service(name, instance), listener))


async def _serve(service: Service, listener: socket.socket) -> None:
    server = await asyncio.start_server(service.connected, sock=listener, limit=READ, backlog=1024)
    async with server:
        await server.serve_forever()


class Service:
    """What the instances of one service answer."""

    def __init__(self, name: str, instance: int) -> None:
        self._name = name
        self._served_by = f"{name}-{instance}"
        self._samples = samples.SERVICES[name]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        exchange = _Exchanges(h11.Connection(h11.SERVER), reader, writer, self._served_by)
        try:
            while await self._answer(exchange):
                pass
        except (OSError, TimeoutError):
            pass  # the client is gone, or says nothing any more
        finally:
            writer.close()

    async def _answer(self, exchange: _Exchanges) -> bool:
        """Serve one request; whether another may follow."""
        try:
            request = await exchange.request()
            if request is None:
                return False
            await self._dispatch(exchange, request)
            return exchange.next()
        except h11.RemoteProtocolError as error:
            await exchange.refuse(error.error_status_hint)
            return False

    async def _dispatch(self, exchange: _Exchanges, request: h11.Request) -> None:
        method, target = request.method.decode(), request.target.decode()
        path, _, query = target.partition("?")
        segments = [unquote(part) for part in path.split("/") if part]
        if segments[:1] == [self._name]:
            segments = segments[1:]
        length, digest = await exchange.body()
        match segments:
            case ["echo"]:
                await exchange.json(200, _echo(request, length, digest), method)
            case _ if method not in ("GET", "HEAD"):
                await exchange.json(
                    405, {"error": "GET and HEAD only"}, method, ("Allow", "GET, HEAD")
                )
            case ["healthz"]:
                await exchange.json(200, {"status": "ok"}, method)
            case ["bytes", count] if count.isascii() and count.isdigit() and len(count) < 11:
                if int(count) > MAX_BYTES:
                    await exchange.json(404, {"error": f"at most {MAX_BYTES} bytes"}, method)
                else:
                    await exchange.stream(int(count), method)
            case _:
                found = self._samples(segments, parse_qs(query))
                status = 404 if found is None else 200
                body = {"error": f"{self._name} has no {path}"} if found is None else found
                await exchange.json(status, body, method)


class _Exchanges:
    """The requests and answers of one connection."""

    def __init__(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        served_by: str,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._served_by = served_by

    async def request(self) -> h11.Request | None:
        """The next request, None if there is none. Raises RemoteProtocolError, TimeoutError."""
        event = await self._event()
        return event if isinstance(event, h11.Request) else None

    async def body(self) -> tuple[int, str]:
        """Read the body of the request; its length and SHA-256."""
        digest = hashlib.sha256()
        length = 0
        if self._connection.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))
        while isinstance(event := await self._event(), h11.Data):
            digest.update(event.data)
            length += len(event.data)
        return length, digest.hexdigest()

    async def json(
        self, status: int, body: dict[str, Any], method: str, *more: tuple[str, str]
    ) -> None:
        data = json.dumps(body, indent=2).encode() + b"\n"
        fields = [("Content-Type", "application/json"), ("Content-Length", str(len(data))), *more]
        self._head(status, fields)
        if method != "HEAD":
            self._send(h11.Data(data=data))
        self._send(h11.EndOfMessage())
        await self._writer.drain()

    async def stream(self, count: int, method: str) -> None:
        """Answer with `count` bytes, never holding more than a few pieces of them."""
        fields = [("Content-Type", "application/octet-stream"), ("Content-Length", str(count))]
        self._head(200, fields)
        if method != "HEAD":
            for piece in pieces(count):
                self._send(h11.Data(data=piece))
                await self._writer.drain()
        self._send(h11.EndOfMessage())
        await self._writer.drain()

    async def refuse(self, status: int) -> None:
        """Answer what is not a request, if that is still possible."""
        if self._connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            data = b'{"error": "not a request"}\n'
            length = ("Content-Length", str(len(data)))
            self._head(
                status, [("Content-Type", "application/json"), length, ("Connection", "close")]
            )
            self._send(h11.Data(data=data))
            self._send(h11.EndOfMessage())
            await self._writer.drain()

    def next(self) -> bool:
        """Get ready for another request; False if the connection ends here."""
        if self._connection.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            return False
        self._connection.start_next_cycle()
        return True

    def _head(self, status: int, fields: list[tuple[str, str]]) -> None:
        fields = [*fields, ("X-Served-By", self._served_by)]
        phrase = HTTPStatus(status).phrase
        self._send(h11.Response(status_code=status, headers=fields, reason=phrase.encode()))

    def _send(self, event: h11.Event) -> None:
        data = self._connection.send(event)
        if data:
            self._writer.write(data)

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._connection.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(IDLE):
                self._connection.receive_data(await self._reader.read(READ))
        return event


def pieces(count: int) -> Iterator[bytes]:
    """The body of /bytes/`count`, piece by piece: 0, 1, … 255, 0, 1, …"""
    while count > 0:
        yield _PATTERN[:count]
        count -= PIECE


def _echo(request: h11.Request, length: int, digest: str) -> dict[str, Any]:
    return {
        "method": request.method.decode(),
        "target": request.target.decode(),
        "headers": [
            [n.decode("latin-1"), v.decode("latin-1")] for n, v in request.headers.raw_items()
        ],
        "length": length,
        "sha256": digest,
    }
