"""A classic BPF program on a listener: SO_ATTACH_FILTER, which takes no privilege (socket(7)).

A filter on a listening socket sees the packets that come to it before they are anything: a SYN that
it drops is answered by nothing. Accepted connections inherit it, so programs must let pass all that
is no SYN.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct

ATTACH, DETACH = 26, 27
"""SO_ATTACH_FILTER and SO_DETACH_FILTER of <asm-generic/socket.h>."""
_INSTRUCTION = 8
_PROGRAM = "HxxxxxxP"
"""struct sock_fprog of <linux/filter.h>: how many instructions, and where they are."""


def attach(sock: socket.socket, program: bytes) -> None:
    """Put `program` on `sock`, in place of another one. Raises OSError: EPERM, ENOMEM, EINVAL."""
    code = ctypes.create_string_buffer(program, len(program))
    count = len(program) // _INSTRUCTION
    # `code` must live until the kernel has copied it.
    sock.setsockopt(socket.SOL_SOCKET, ATTACH, struct.pack(_PROGRAM, count, ctypes.addressof(code)))


def detach(sock: socket.socket) -> None:
    """Take the filter off `sock`, if it has one."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, DETACH, struct.pack("i", 0))
