"""What the service manager is told: sd_notify(3) in its few necessary lines.

Datagrams to the Unix socket named by NOTIFY_SOCKET ("@" begins an abstract name). A failed send is
nobody's problem: the gateway serves on.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """Speaks to the service manager, or to nobody if there is none.

    The variables are taken out of `environ`: children must not speak in the supervisor's name.
    `watchdog` is the interval in seconds within which WATCHDOG=1 is expected, 0.0 for never.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        path = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self.watchdog = 0.0
        if self._socket and microseconds.isdigit() and pid in ("", str(os.getpid())):
            self.watchdog = int(microseconds) / 1e6

    def fileno(self) -> int:
        """The socket's fd, or -1."""
        return self._socket.fileno() if self._socket else -1

    def ready(self, status: str) -> None:
        """Also the end of a reload, whether it was taken or refused."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        # Without the time, notify-reload of systemd >= 253 waits for ever.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket:
            text = "\n".join(line.replace("\n", "; ") for line in lines)
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(errors="replace"), self._address)
