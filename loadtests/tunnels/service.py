"""The service behind the proxies: it echoes WebSocket messages and tells the time as events.

    python service.py PORT

Events carry the monotonic clock, which all processes of a machine share, so a client knows how long
each was on its way. `/events?every=SECONDS` says how often.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys
import time

import uvloop

EVENT = re.compile(rb"data: (\d+) (\d+)\n\n")
_KEY = re.compile(rb"\r\nsec-websocket-key: *(\S+)", re.IGNORECASE)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def switching(head: bytes) -> bytes:
    """The answer to the handshake `head`."""
    found = _KEY.search(head)
    key = found[1] if found else b""
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"\r\nsec-websocket-key" in head.lower():
            writer.write(switching(head))
            await _echo(reader, writer)
        else:
            writer.write(_EVENTS)
            await _tell(writer, float(head.partition(b"every=")[2].split(b" ")[0] or b"0.01"))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Messages of less than 126 bytes, masked, back without the mask."""
    while True:
        head = await reader.readexactly(2)
        size = head[1] & 0x7F
        body = await reader.readexactly(4 + size)
        mask = body[:4] * (size // 4 + 1)
        payload = bytes(a ^ b for a, b in zip(body[4:], mask, strict=False))
        writer.write(bytes((head[0], size)) + payload)


async def _tell(writer: asyncio.StreamWriter, every: float) -> None:
    number = 0
    while not writer.is_closing():
        event = b"data: %d %d\n\n" % (number, time.monotonic_ns())
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        number += 1
        await asyncio.sleep(every)


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
