"""One active check: GET the health path on a fresh connection, judge the response's head.

Strategy. The head decides, 2xx and 3xx are good. What follows it is read only so that the service
does not see its connection reset: up to `MAX_RESPONSE` and for one more `timeout`, whatever comes
of it. A fault that is ours (no file descriptors, no memory, no local port) says nothing about the
endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from typing import NamedTuple

import h11

from gwd import __version__

MAX_RESPONSE = 64 * 1024
"""Bytes of a response that are read at most."""
_READ = 16 * 1024
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


class Target(NamedTuple):
    """What is asked, and where."""

    host: str
    """An IP literal."""
    port: int
    path: str
    """Path and query, percent-encoded."""
    host_header: str
    timeout: float
    """Seconds for everything up to the response's head."""


class Finding(NamedTuple):
    """What a check found. `good` is None if it says nothing about the endpoint."""

    good: bool | None
    reason: str
    """For people: "connection refused", "timeout", "status 503"; "" if it is good."""


async def probe(target: Target) -> Finding:
    """Check `target` once. Raises nothing but CancelledError."""
    writer: asyncio.StreamWriter | None = None
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_READ)
    try:
        async with asyncio.timeout(target.timeout):
            reader, writer = await asyncio.open_connection(target.host, target.port, limit=_READ)
            writer.write(_request(connection, target))
            status = await _status(connection, reader)
        if status is None:
            return Finding(False, "closed without an answer")
        with contextlib.suppress(TimeoutError, OSError, h11.ProtocolError):
            async with asyncio.timeout(target.timeout):
                await _rest(connection, reader)
    except TimeoutError:  # the kernel's ETIMEDOUT is one too, and means the same
        return Finding(False, "timeout")
    except OSError as error:
        return _fault(error)
    except h11.ProtocolError:
        return Finding(False, "not HTTP")
    finally:
        if writer is not None:
            writer.transport.abort()
    return Finding(True, "") if 200 <= status < 400 else Finding(False, f"status {status}")


def _request(connection: h11.Connection, target: Target) -> bytes:
    fields = [
        ("Host", target.host_header),
        ("User-Agent", f"gwd/{__version__} (health check)"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ]
    head = connection.send(h11.Request(method="GET", target=target.path, headers=fields))
    end = connection.send(h11.EndOfMessage())
    return (head or b"") + (end or b"")


async def _status(connection: h11.Connection, reader: asyncio.StreamReader) -> int | None:
    """The status of the final response, None if the connection ends without one."""
    budget = MAX_RESPONSE
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(_READ)
            budget -= len(data)
            if not data or budget < 0:
                return None
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            return event.status_code


async def _rest(connection: h11.Connection, reader: asyncio.StreamReader) -> None:
    """Read what follows the head, to its end or until it is too much."""
    budget = MAX_RESPONSE
    while budget > 0:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(_READ)
            budget -= len(data)
            connection.receive_data(data)
        elif not isinstance(event, h11.Data):
            return


def _fault(error: OSError) -> Finding:
    if error.errno in _OURS:
        return Finding(None, os.strerror(error.errno).lower())
    match error:
        case ConnectionRefusedError():
            return Finding(False, "connection refused")
        case ConnectionResetError() | BrokenPipeError():
            return Finding(False, "connection reset")
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return Finding(False, "unreachable")
    return Finding(False, os.strerror(error.errno).lower() if error.errno else "not reachable")
