"""`gwd.pid`: how commands find the daemon without talking to it.

The file lies beside the admin socket and holds one JSON object: how to reach the daemon (pid,
segment_fd, started, addresses), how many workers it means to have and which of them accept for
others, and what of its config commands must know to ban (ipv6_prefix, never_banned, …); written
anew whenever any of it changes. What makes it true is not its text but its lock: a POSIX record
lock over the whole file, which the kernel ties to the supervisor's process (children do not inherit
it) and drops when that ends, however it ends. A file nobody locks is a dead daemon's. A reader asks
the kernel who holds the lock (F_GETLK) and never takes it, so looking disturbs nobody.

Readers take no more than `_LONGEST` bytes: of very many networks that are never banned, only so
many are told as keep the file shorter.

A POSIX lock is lost when its process closes *any* fd of the file: the supervisor opens it once.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gwd.config.find import make_runtime_directory, runtime_directories, runtime_directory

NAME = "gwd.pid"
MOST_NETWORKS = 1024
"""Told of those never banned: 45 KiB of the longest ones. The workers know them all."""
_TRIES = 10
_LONGEST = 1 << 16
_FLOCK = "hhqqi4x"
"""struct flock of <fcntl.h> on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid."""


class AlreadyRunning(Exception):
    """Another supervisor lives in the same runtime directory."""


@dataclass(frozen=True, slots=True)
class Found:
    """A living daemon."""

    pid: int
    segment_fd: int
    """The number of the segment's fd in the daemon; open it as /proc/PID/fd/N."""
    started: float
    """Unix seconds."""
    addresses: tuple[str, ...]
    workers: int
    """How many it means to have."""
    adopted: Mapping[int, int] = field(default_factory=dict)
    """By slot, the slot of the worker that accepts for it beside its own."""
    ipv6_prefix: int = 64
    """IPv6 addresses that share so many bits count as one."""
    never_banned: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Networks by the key of the config that lists them, `MOST_NETWORKS` of them at most."""
    untold: int = 0
    """How many more there are."""
    ban_action: str = "drop"
    """What the banned meet: "drop", "close" or "refuse"."""
    bans_by_rate: bool = False
    """Whether too many refusals are a ban; else there are only those by hand."""
    path: str = ""


class PidFile:
    """The supervisor's own file, locked from `__init__` to `close`."""

    def __init__(self, path: str) -> None:
        """Take `path`. Raises AlreadyRunning, or OSError if it cannot be written."""
        self.path = path
        while True:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                owner = _lock_holder(self._fd)
                os.close(self._fd)
                raise AlreadyRunning(
                    f"another gwd (process {owner or 'unknown'}) already runs with {path}; "
                    "stop it, or give this one its own admin socket by --admin or [admin] bind"
                ) from None
            # Its former owner may have removed the name between our open and our lock.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(self._fd)):
                    return
            os.close(self._fd)

    def fileno(self) -> int:
        return self._fd

    def write(
        self,
        *,
        pid: int,
        segment_fd: int,
        started: float,
        addresses: Sequence[str],
        workers: int,
        adopted: Mapping[int, int] | None = None,
        ipv6_prefix: int = 64,
        never_banned: Mapping[str, Sequence[str]] | None = None,
        ban_action: str = "drop",
        bans_by_rate: bool = False,
    ) -> None:
        """Say how to reach the daemon. May be called again when something has changed."""
        told, untold = _shortened(never_banned or {})
        record = {
            "pid": pid,
            "segment_fd": segment_fd,
            "started": started,
            "addresses": list(addresses),
            "workers": workers,
            "adopted": list((adopted or {}).items()),
            "ipv6_prefix": ipv6_prefix,
            "never_banned": told,
            "untold": untold,
            "ban_action": ban_action,
            "bans_by_rate": bans_by_rate,
        }
        text = json.dumps(record).encode() + b"\n"
        os.pwrite(self._fd, text, 0)
        os.ftruncate(self._fd, len(text))

    def close(self) -> None:
        """Remove the file, then let go of it."""
        with suppress(OSError):
            os.unlink(self.path)
        os.close(self._fd)


def _shortened(never_banned: Mapping[str, Sequence[str]]) -> tuple[dict[str, list[str]], int]:
    """The first `MOST_NETWORKS` of the networks, and how many are left out."""
    told: dict[str, list[str]] = {}
    room = MOST_NETWORKS
    for key, networks in never_banned.items():
        told[key] = list(networks[:room])
        room -= len(told[key])
    return told, sum(map(len, never_banned.values())) - MOST_NETWORKS + room


def path_for_daemon(
    option: str | None, configured: Sequence[str], environ: Mapping[str, str]
) -> str:
    """Where a daemon that starts now puts its file; the directory is made if it is missing.

    `option` is --admin, then comes $GWD_ADMIN, then `configured` (admin.bind of the config), then
    the runtime directory. Raises OSError if the directory cannot be had.
    """
    socket_path = _unix_path([option or environ.get("GWD_ADMIN") or "", *configured])
    if socket_path is None:
        return os.path.join(make_runtime_directory(environ), NAME)
    directory = os.path.dirname(os.path.abspath(socket_path))
    if directory == runtime_directory(environ):
        directory = make_runtime_directory(environ)
    elif not os.path.isdir(directory):
        os.mkdir(directory, 0o750)
    return os.path.join(directory, NAME)


def find(option: str | None, configured: Sequence[str], environ: Mapping[str, str]) -> Found | None:
    """The living daemon, or None.

    `option` is --admin, then comes $GWD_ADMIN: one of these names the place, and only that one is
    looked at. Else `configured`, then every runtime directory.
    """
    named = _unix_path([option or environ.get("GWD_ADMIN") or ""])
    if named is not None:
        return _read(os.path.join(os.path.dirname(os.path.abspath(named)), NAME))
    socket_path = _unix_path(configured)
    places = [] if socket_path is None else [os.path.dirname(os.path.abspath(socket_path))]
    for place in (*places, *runtime_directories(environ)):
        found = _read(os.path.join(place, NAME))
        if found is not None:
            return found
    return None


def _unix_path(binds: Sequence[str]) -> str | None:
    """The path of the first Unix socket among `binds`, "unix:" in front or not."""
    for bind in binds:
        if bind.startswith("unix:"):
            return bind.removeprefix("unix:")
        if "/" in bind:
            return bind
    return None


def _read(path: str) -> Found | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        for _ in range(_TRIES):
            owner = _lock_holder(fd)
            if owner == 0:
                return None
            found = _parse(os.pread(fd, _LONGEST, 0), path)
            if found is not None and found.pid == owner:
                return found
            time.sleep(0.01)  # it is just being written
        return None
    except OSError:
        return None
    finally:
        os.close(fd)


def _parse(text: bytes, path: str) -> Found | None:
    try:
        record = json.loads(text)
        return Found(
            pid=int(record["pid"]),
            segment_fd=int(record["segment_fd"]),
            started=float(record["started"]),
            addresses=tuple(map(str, record["addresses"])),
            workers=int(record["workers"]),
            adopted={int(slot): int(by) for slot, by in record.get("adopted", ())},
            ipv6_prefix=int(record.get("ipv6_prefix", 64)),
            never_banned={
                key: tuple(map(str, networks))
                for key, networks in record.get("never_banned", {}).items()
            },
            untold=int(record.get("untold", 0)),
            ban_action=str(record.get("ban_action", "drop")),
            bans_by_rate=bool(record.get("bans_by_rate", False)),
            path=path,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _lock_holder(fd: int) -> int:
    """PID of the process that holds a lock on the file, 0 if none does."""
    query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, query))
    return int(answer[4]) if answer[0] != fcntl.F_UNLCK else 0
