"""A classic BPF program on a listener: SO_ATTACH_FILTER, which takes no privilege (socket(7)).

A filter on a listening socket sees the packets that come to it before they are anything: a SYN that
it drops is answered by nothing. Accepted connections inherit it, so programs must let pass all that
is no SYN.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct

ATTACH, DETACH = 26, 27
"""SO_ATTACH_FILTER and SO_DETACH_FILTER of <asm-generic/socket.h>."""
_INSTRUCTION = 8
_PROGRAM = "HxxxxxxP"
"""struct sock_fprog of <linux/filter.h>: how many instructions, and where they are."""


def attach(sock: socket.socket, program: bytes) -> None:
    """Put `program` on `sock`, in place of another one.

    Raises OSError: EPERM; EINVAL for what is no program; ENOMEM if it is longer than
    net.core.optmem_max allows (socket(7): 20 KiB or 128 KiB, an instruction takes 8 to 24 bytes).
    """
    code = ctypes.create_string_buffer(program, len(program))
    # `code` must live until the kernel has copied it.
    told = struct.pack(_PROGRAM, len(program) // _INSTRUCTION, ctypes.addressof(code))
    try:
        sock.setsockopt(socket.SOL_SOCKET, ATTACH, told)
    except OSError as error:
        if error.errno not in (errno.ENOMEM, errno.ENOBUFS):
            raise
        detach(sock)  # there may be room for one, not for the old and the new
        sock.setsockopt(socket.SOL_SOCKET, ATTACH, told)


def detach(sock: socket.socket) -> None:
    """Take the filter off `sock`, if it has one."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, DETACH, struct.pack("i", 0))
