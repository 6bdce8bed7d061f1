"""The sealed memfd and its mapping.

It is made once, by the supervisor, before the first fork, and can neither grow nor shrink, so no
access ever meets SIGBUS. Children use the mapping they inherit; a command that looks in from
outside attaches to the supervisor's fd, read-only.

A cell is one aligned word. CPython reads and writes an item of a "Q" view by one 8-byte memcpy,
which is one machine instruction, so nobody sees half a value; a slice makes no such promise for
writing and is only read.

A process must have the memfd open once: closing any fd of it drops all of the process's POSIX
locks on it (fcntl(2)).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time

from gwd.segment import layout
from gwd.segment.layout import Layout, Sizes

__all__ = ["NotASegment", "Segment", "Sizes"]

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class NotASegment(ValueError):
    """The file is no segment, or one of another version of gwd."""


class Segment:
    """The shared memory. `mapping` is all of it, `words` the same as unsigned 8-byte numbers."""

    def __init__(self, fd: int, sizes: Sizes, *, writable: bool) -> None:
        self.fd = fd
        self.sizes = sizes
        self.layout = Layout(sizes)
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self.mapping = mmap.mmap(fd, self.layout.words * layout.WORD, mmap.MAP_SHARED, access)
        self.words = memoryview(self.mapping).cast("Q")

    @classmethod
    def create(cls, sizes: Sizes) -> Segment:
        """A new, empty segment of the calling process, which becomes its supervisor."""
        fd = os.memfd_create("gwd-segment", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, Layout(sizes).words * layout.WORD)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        segment = cls(fd, sizes, writable=True)
        words = segment.words
        words[layout.HEAD_VERSION] = layout.VERSION
        words[layout.HEAD_WORKERS] = sizes.max_workers
        words[layout.HEAD_IPS] = sizes.max_ips
        words[layout.HEAD_ENDPOINTS] = sizes.max_endpoints
        words[layout.HEAD_ROUTES] = sizes.max_routes
        words[layout.HEAD_WORDS] = segment.layout.words
        for number in range(2):
            words[layout.HEAD_SECRET + number] = int.from_bytes(os.urandom(8), "big")
        board = segment.layout.board.start
        words[board + layout.BOARD_PID] = os.getpid()
        words[board + layout.BOARD_STARTED] = time.monotonic_ns()
        words[layout.HEAD_MAGIC] = layout.MAGIC
        return segment

    @classmethod
    def attach(cls, fd: int, *, writable: bool = False) -> Segment:
        """The segment behind `fd`, which becomes its own; to look at, unless `writable`.

        Raises NotASegment.
        """
        size = layout.HEAD_WIDTH * layout.WORD
        head = os.pread(fd, size, 0)
        if len(head) < size:
            raise NotASegment("too short to be a segment")
        words = memoryview(head).cast("Q")
        if words[layout.HEAD_MAGIC] != layout.MAGIC or words[layout.HEAD_VERSION] != layout.VERSION:
            raise NotASegment("no segment of this version of gwd")
        sizes = Sizes(
            max_workers=words[layout.HEAD_WORKERS],
            max_ips=words[layout.HEAD_IPS],
            max_endpoints=words[layout.HEAD_ENDPOINTS],
            max_routes=words[layout.HEAD_ROUTES],
        )
        length = Layout(sizes).words
        if words[layout.HEAD_WORDS] != length or os.fstat(fd).st_size != length * layout.WORD:
            raise NotASegment("a segment of another layout")
        try:
            seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        except OSError:
            seals = 0  # no memfd at all
        if seals & _SEALS != _SEALS:
            raise NotASegment("a segment that may shrink")
        return cls(fd, sizes, writable=writable)

    @property
    def secret(self) -> bytes:
        """The key of this boot's hashes: no client can choose where its address falls."""
        return b"".join(
            self.words[layout.HEAD_SECRET + number].to_bytes(8, "big") for number in range(2)
        )

    def text(self, start: int, most: int) -> bytes:
        """The bytes written by `put_text` at word `start`."""
        length = min(self.words[start], (most - 1) * layout.WORD)
        count = -(-length // layout.WORD)
        return self.words[start + 1 : start + 1 + count].tobytes()[:length]

    def put_text(self, start: int, most: int, text: bytes) -> None:
        """Write `text`, cut to what `most` words hold besides its length.

        Many words cannot change at once: who reads meanwhile may find nothing, or a mixture.
        """
        text = text[: (most - 1) * layout.WORD]
        self.words[start] = 0
        padded = text + bytes(-len(text) % layout.WORD)
        for number, word in enumerate(memoryview(padded).cast("Q"), start + 1):
            self.words[number] = word
        self.words[start] = len(text)

    def close(self) -> None:
        self.words.release()
        self.mapping.close()
        os.close(self.fd)
