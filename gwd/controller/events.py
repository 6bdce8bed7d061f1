"""The controller's log lines: one JSON object a line on stderr, as the supervisor's are.

A line is one write(2) of less than 4,096 bytes, so that lines of several processes on one pipe do
not mix, and is left out when the reader has no room: a log reader that stands still must not stop
health checks.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
from datetime import UTC, datetime

STDERR = 2
MAX_FIELD = 256


def report(level: str, event: str, **fields: str | int) -> None:
    """Write one event. `level` is "info", "warning" or "error"."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record: dict[str, str | int] = {"ts": now, "level": level, "msg": event, **fields}
    cut = {k: v[:MAX_FIELD] if isinstance(v, str) else v for k, v in record.items()}
    line = json.dumps(cut, ensure_ascii=True).encode() + b"\n"
    with contextlib.suppress(OSError):
        poller = select.poll()
        poller.register(STDERR, select.POLLOUT)
        if poller.poll(0):
            os.write(STDERR, line)
