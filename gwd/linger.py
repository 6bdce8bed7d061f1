"""What closing a TCP socket does: a reset, or an end in order (socket(7), SO_LINGER).

A reset tells the peer that what it has is not whole, and leaves nothing of the connection behind on
this side, not even TIME_WAIT.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

_RESET, _IN_ORDER = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)


def set_linger(sock: socket.SocketType, *, reset: bool) -> None:
    """Whether closing `sock` sends a reset and forgets it, or ends it in order. OSError if its
    connection is gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET if reset else _IN_ORDER)


def reset(transport: asyncio.Transport) -> None:
    """End `transport` with a reset, so that a cut body looks cut, and drop what it buffers."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError, ValueError):  # already gone
            set_linger(sock, reset=True)
    transport.abort()
