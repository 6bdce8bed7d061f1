"""The log of the daemon and its children: one JSON object a line on stderr, for people and for
machines.

A line is one write(2) of at most 4,096 bytes, so that lines of several processes on one pipe do
not mix, and is written only when the reader has room: a log reader that stands still must not
stop a process. What is left out for that is counted and said in the next line.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections.abc import Callable
from datetime import UTC, datetime

MAX_LINE = 4096
MAX_FIELD = 2048

Log = Callable[..., None]
"""log(level, event, **fields); level is "info", "warning" or "error"."""


class EventLog:
    """Writes event lines to the file descriptor `fd`."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._dropped = 0

    def __call__(self, level: str, event: str, **fields: object) -> None:
        if self._dropped:
            fields["lines_dropped"] = self._dropped
        if _write(self._fd, line(level, event, fields)):
            self._dropped = 0
        else:
            self._dropped += 1


def line(level: str, event: str, fields: dict[str, object]) -> bytes:
    """One event as JSON, ASCII only, newline at the end, never above MAX_LINE bytes."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    limit = MAX_FIELD
    while True:
        record: dict[str, object] = {"ts": now, "level": level, "msg": _cut(event, limit)}
        record.update({name: _cut(value, limit) for name, value in fields.items()})
        text = json.dumps(record, ensure_ascii=True, default=str).encode() + b"\n"
        if len(text) <= MAX_LINE or limit < 8:
            return text
        limit //= 2


def _cut(value: object, limit: int) -> object:
    if isinstance(value, str) and len(value) > limit:
        return value[:limit] + "…"
    return value


def _write(fd: int, data: bytes) -> bool:
    with contextlib.suppress(OSError):
        poller = select.poll()
        poller.register(fd, select.POLLOUT)
        if poller.poll(0):
            return os.write(fd, data) == len(data)
    return False
