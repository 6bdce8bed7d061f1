"""A running gateway as the commands see it: by its pid file, its segment and by signals.

Nothing asks the daemon anything, so `gwd status` works when every process of it hangs. The segment
is opened as /proc/PID/fd/N, which the kernel allows to the same user and to root, and read-only,
so that a command can look but not touch; only those that ban and pardon open it for writing.
"""

from __future__ import annotations

import os
import select
import signal
import time
import tomllib
from collections.abc import Mapping
from contextlib import suppress

from gwd.config.find import find_config
from gwd.config.problems import ConfigError
from gwd.segment.board import RUNNING, Board, BoardView
from gwd.segment.memory import Segment
from gwd.supervisor import pidfile

POLL = 0.02
"""Seconds between two looks at the segment while waiting."""


class NoDaemon(Exception):
    """No running gateway could be reached; the text says where it was looked for or why not."""


class Daemon:
    """One running gateway. Close it, or use it in a `with`."""

    def __init__(self, found: pidfile.Found, *, writable: bool = False) -> None:
        """Raises NoDaemon if its segment cannot be opened. A process has one at a time: the end of
        one drops the locks of another (gwd.segment.memory)."""
        self.pid = found.pid
        self.found = found
        try:
            self._pidfd = os.pidfd_open(found.pid)
        except ProcessLookupError:
            raise NoDaemon(f"gwd (process {found.pid}) has just ended") from None
        try:
            self.segment = _attach(found, writable)
        except NoDaemon:
            os.close(self._pidfd)
            raise
        self.board = Board(self.segment)

    @classmethod
    def find(
        cls,
        admin: str | None,
        config: str | None,
        environ: Mapping[str, str],
        *,
        writable: bool = False,
    ) -> Daemon:
        """The gateway whose admin socket `admin` is, or else the one that runs here.

        Raises NoDaemon.
        """
        found = pidfile.find(admin, admin_of_config(config, environ), environ)
        if found is None:
            raise NoDaemon(
                "no running gwd found; if it runs with an admin socket of its own, "
                "name that by --admin or $GWD_ADMIN"
            )
        return cls(found, writable=writable)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.segment.close()
        os.close(self._pidfd)

    def signal(self, number: signal.Signals) -> None:
        """Send it. Raises NoDaemon if the gateway has ended or belongs to somebody else."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            raise NoDaemon(f"gwd (process {self.pid}) has just ended") from None
        except PermissionError:
            raise NoDaemon(f"gwd (process {self.pid}) belongs to another user") from None

    def ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for its end."""
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(int(timeout * 1000)))

    def reload(self, timeout: float) -> BoardView | None:
        """Have it load its config and wait for the result; None after `timeout` seconds.

        A reload that is under way began before us and may have read an older file: it is not the
        one that counts. The next one does, whoever asked for it: it begins after this look at the
        board, so it reads the file as it is now. Raises NoDaemon if the gateway ends meanwhile.
        """
        wanted = self.board.read().sequence + 1
        self.signal(signal.SIGHUP)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            view = self.board.read()
            if view.sequence >= wanted and view.state != RUNNING:
                return view
            if self.ended(POLL):
                raise NoDaemon(f"gwd (process {self.pid}) ended during the reload")
        return None


def _attach(found: pidfile.Found, writable: bool) -> Segment:
    how = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
    try:
        fd = os.open(f"/proc/{found.pid}/fd/{found.segment_fd}", how)
    except PermissionError:
        raise NoDaemon(
            f"gwd runs as process {found.pid}, but only its own user and root may "
            f"{'change' if writable else 'read'} its state"
        ) from None
    except OSError as error:
        raise NoDaemon(
            f"gwd runs as process {found.pid}, but its state cannot be read: {error.strerror}"
        ) from None
    try:
        return Segment.attach(fd, writable=writable)
    except ValueError as error:
        os.close(fd)
        raise NoDaemon(
            f"gwd runs as process {found.pid}, but with another layout of its state ({error}); "
            "use the commands of that version"
        ) from None


def admin_of_config(config: str | None, environ: Mapping[str, str]) -> list[str]:
    """`[admin] bind` of the config file, if it can be had without judging the file.

    To find a daemon, a file that is broken by now, or not ours to read, is no reason to fail.
    """
    with suppress(ConfigError, OSError, ValueError, AttributeError):
        path = find_config(config, environ)
        if path == "-":
            return []
        with open(path, "rb") as file:
            bind = tomllib.load(file).get("admin", {}).get("bind", [])
        binds = [bind] if isinstance(bind, str) else list(bind)
        return [item for item in binds if isinstance(item, str) and "${" not in item]
    return []
