"""The body of a request while it comes: its reader, and how long we have waited for it.

Only time in which the client is what we wait for counts against `min_body_rate` (SEC-25): while
reading is paused because the upstream is slow, the clock stands.
"""

from __future__ import annotations

from gwd.http.bodies import ChunkedBody, LengthBody

RATE_AFTER = 10.0
"""Seconds of waiting after which the rate is asked for."""


class Intake:
    """`reader` is the strict reader of the body. Times are the worker's clock."""

    __slots__ = ("_paused_at", "_since", "paused", "reader")

    def __init__(self, reader: LengthBody | ChunkedBody, now: float) -> None:
        self.reader = reader
        self.paused = False
        self._since = now
        self._paused_at = 0.0

    def begin(self, now: float) -> None:
        """The client has only now been asked for the body (100-continue)."""
        self._since = now

    def pause(self, now: float) -> None:
        self.paused = True
        self._paused_at = now

    def resume(self, now: float) -> None:
        self.paused = False
        self._since += now - self._paused_at

    def too_slow(self, now: float, rate: int) -> bool:
        """Whether the client, in the time we waited for it, made less than `rate` bytes/s."""
        waited = now - self._since
        return waited > RATE_AFTER and self.reader.received < waited * rate
