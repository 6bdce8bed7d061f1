"""Watching the files of certificates, so that a renewed one is served without anybody's word.

Strategy: every second the files' places are looked at (stat, which follows links: that is
how certbot and Kubernetes replace files); only what moved is read, and compared with what the
config in force holds. So it does not matter who wrote what before this process lived, and a touch
changes nothing. Files that have come to rest, the same at two looks, are told to the supervisor,
which reads and judges them (supervisor/configuration.py). It may refuse them, because the
key has not followed yet, say: so as long as they differ they are told again, once a minute, and at
once when they move again.

Once a day it also says which certificates end soon: their renewal has stopped working, or nobody
does it.

Invariant: nothing is remembered of a file but its place and whether it differs; keys stay in the
snapshot.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gwd.config.snapshot import Snapshot
from gwd.process.events import Log

EVERY = 1.0
"""Seconds between two looks."""
AGAIN = 60.0
"""Seconds after which what was told is told again, if it is still so."""
SOON = 30 * 86400.0
"""Seconds before its end in which a certificate is told of."""
DAILY = 86400.0
LARGEST = 256 * 1024
"""Bytes that are compared; a config takes no larger file."""

Place = tuple[int, int, int, int, int]
"""Device, inode, size, times of the last change of content and of rights, in ns."""


class Tell(Protocol):
    def __call__(self, message: dict[str, object]) -> bool:
        """Say it to the supervisor; False if it does not listen just now."""


@dataclass(slots=True)
class _File:
    held: bytes
    place: Place | None = None
    """At the last look; None if it was not there."""
    looked: bool = False
    differs: bool = False


class CertificateWatch:
    """Looks at the files of the snapshot given last, from `start` on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tell: Tell,
        log: Log,
        broken: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._log = log
        self._broken = broken
        self._files: dict[str, _File] = {}
        self._generation = 0
        self._told_at = float("-inf")
        self._ends: list[tuple[str, int]] = []
        self._ends_told_at = loop.time()
        """When the gateway started its config was warned of by those who loaded it."""

    def configure(self, snapshot: Snapshot, generation: int) -> None:
        """From now on `snapshot` is in force."""
        self._generation = generation
        self._told_at = float("-inf")
        tls = snapshot.server.tls
        self._files = {}
        self._ends = []
        if tls is not None:
            self._ends = [(c.cert_file, c.expires) for c in tls.certificates]
            for certificate in tls.certificates:
                self._files[certificate.cert_file] = _File(certificate.cert)
                self._files.setdefault(certificate.key_file, _File(certificate.key))
            if tls.client_ca_file:
                self._files[tls.client_ca_file] = _File(tls.client_ca)

    def start(self) -> None:
        try:
            self.look(self._loop.time())
            self.warn(self._loop.time(), time.time())
        except Exception as error:
            self._broken(error)
            return
        self._loop.call_later(EVERY, self.start)

    def look(self, now: float) -> None:
        """Look at all files once, at monotonic second `now`."""
        moved = False
        for name, file in self._files.items():
            place = _place(name)
            if place == file.place and file.looked:
                continue
            moved = file.looked = True
            file.place = place
            file.differs = place is not None and _read(name) != file.held
        if moved:
            self._told_at = float("-inf")
        elif any(file.differs for file in self._files.values()) and now - self._told_at >= AGAIN:
            message = {"op": "certificates_changed", "generation": self._generation}
            if self._tell(message):
                self._told_at = now

    def warn(self, now: float, clock: float) -> None:
        """Once a day of `now`, monotonic seconds: tell what ends soon after `clock`, Unix time."""
        if now - self._ends_told_at < DAILY:
            return
        self._ends_told_at = now
        for file, expires in self._ends:
            if expires - clock < SOON:
                days = max(0, int((expires - clock) // 86400))
                self._log("warning", "certificate ends soon", file=file, days=days)


def _place(name: str) -> Place | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(name: str) -> bytes | None:
    """What the file holds; None if it cannot be read, which differs from every content."""
    try:
        with open(name, "rb", opener=_open) as file:
            return file.read(LARGEST + 1)
    except OSError:
        return None


def _open(name: str, flags: int) -> int:
    # O_NONBLOCK: a FIFO put in place must not stop this process.
    return os.open(name, flags | os.O_CLOEXEC | os.O_NONBLOCK)
