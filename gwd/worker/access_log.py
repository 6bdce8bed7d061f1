"""The access log: one JSON line per request, written off the path, a batch at a time.

Strategy. To a file a batch is one O_APPEND write, so lines of several workers never mix. To a pipe
or a terminal (stdout is shared with other processes, so it must not be made non-blocking) it is
whole lines in pieces of at most PIPE_BUF bytes, which a pipe takes at once or not at all (pipe(7)),
and only while it is writable. What a slow reader leaves waiting is bounded; past that, lines are
dropped and counted: no reader of logs may stop the traffic.
"""

from __future__ import annotations

import os
import select
import stat
from collections import deque

PIECE = select.PIPE_BUF
MOST_WAITING = 4 * 1024 * 1024
"""Bytes of lines that may wait for a slow reader."""


class AccessLog:
    """`target` is "stdout", "off", or a path. Append to `lines` if it is `enabled`, then
    `flush`. `dropped` counts lines that were lost."""

    __slots__ = (
        "_appends",
        "_fd",
        "_path",
        "_poll",
        "_size",
        "_waiting",
        "dropped",
        "enabled",
        "lines",
    )

    def __init__(self, target: str) -> None:
        self.lines: list[str] = []
        self.dropped = 0
        self.enabled = target != "off"
        self._path = target if target not in ("stdout", "off") else None
        self._fd = -1
        self._appends = False
        self._poll = select.poll()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        if self._path is not None:
            self._open()
        elif self.enabled:
            self._fd = 1
            self._appends = stat.S_ISREG(os.fstat(1).st_mode)
            self._poll.register(1, select.POLLOUT)

    def _open(self) -> None:
        assert self._path is not None
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._appends = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

    def reopen(self) -> None:
        """Open the file anew under its name, which logrotate has given to an empty one."""
        if self._path is None:
            return
        self.flush()
        before = self._fd
        self._open()
        os.close(before)

    def flush(self) -> None:
        """Write what has gathered, as far as it can be written without waiting."""
        lines = self.lines
        if lines:
            data = "".join(lines).encode("utf-8", "backslashreplace")
            lines.clear()
            if self._appends:
                self._append(data)
                return
            self._queue(data)
        if self._waiting:
            self._drain()

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError:
            written = 0
        if written < len(data):  # disk full: what was cut is lost, and counted
            self.dropped += data[written:].count(b"\n")

    def _queue(self, data: bytes) -> None:
        start = 0
        while start < len(data):
            end = len(data)
            if end - start > PIECE:
                end = data.rfind(b"\n", start, start + PIECE) + 1
                if end == 0:  # one line longer than a piece: it goes alone, and may be split
                    end = data.find(b"\n", start) + 1
            piece = data[start:end]
            if self._size + len(piece) > MOST_WAITING:
                self.dropped += data[start:].count(b"\n")
                return
            self._waiting.append(piece)
            self._size += len(piece)
            start = end

    def _drain(self) -> None:
        waiting = self._waiting
        while waiting:
            ready = self._poll.poll(0)
            if not ready or not ready[0][1] & select.POLLOUT:
                if ready and ready[0][1] & (select.POLLERR | select.POLLNVAL):
                    self._drop()
                return
            piece = waiting.popleft()
            self._size -= len(piece)
            try:
                written = os.write(self._fd, piece[:PIECE])
            except OSError:
                self.dropped += piece.count(b"\n")
                return
            if written < len(piece):
                waiting.appendleft(piece[written:])
                self._size += len(piece) - written

    def _drop(self) -> None:
        """Nobody will read what waits."""
        self.dropped += sum(piece.count(b"\n") for piece in self._waiting)
        self._waiting.clear()
        self._size = 0

    def close(self) -> None:
        self.flush()
        self._drop()
        if self._path is not None:
            os.close(self._fd)
