"""Memory that the C library keeps after a storm, given back to the system.

Thousands of handshakes, or of long heads, leave their pieces between what lives on: measured,
40 MiB of a worker become 135, of which nothing is in use. glibc returns such holes only when it is
asked to. It takes 10 ms for 90 MiB, and nothing is freed that Python still refers to, so it is
asked seldom, and not while the memory is about to be used again.
"""

from __future__ import annotations

import ctypes

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""None in C libraries that have no need of it, such as musl."""

STORM = 16 * 1024 * 1024
"""Bytes that are worth it."""
HANDSHAKE = 32768
"""Bytes that a TLS handshake, and a TLS connection at its end, leave behind, at least."""
EVERY = 5.0
"""Seconds between two times, at least."""


class Heap:
    """When to ask. `freed` is counted up, in bytes, by those who leave holes. What a storm still
    had to end when it was asked is worth asking once more, however little it was."""

    __slots__ = ("_asked_at", "_seen", "_storm", "freed")

    def __init__(self) -> None:
        self.freed = 0
        self._seen = 0
        self._storm = False
        self._asked_at = float("-inf")

    def tick(self, now: float) -> None:
        """At monotonic second `now`: give back, if a storm has passed."""
        freed = self.freed - self._seen
        if freed < (1 if self._storm else STORM) or now - self._asked_at < EVERY:
            return
        self._storm = freed >= STORM
        self._seen = self.freed
        self._asked_at = now
        give_back()


def give_back() -> None:
    """Return to the system what the heap has free, all over it."""
    if _trim is not None:
        _trim(0)
