"""What a request needs to be asked anew: its body, as far as it is held, and where it has been.

Most requests have no body and are answered at the first endpoint; an exchange makes these when it
first needs them.
"""

from __future__ import annotations

from gwd.upstream.endpoint import Endpoint

HOLD = 65536
"""Bytes of a request's body that are kept so that it can be sent again."""


class HeldBody:
    """What has come of a request's body, for as long as all of it is kept (`complete`)."""

    __slots__ = ("_pieces", "complete", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes held."""
        self.complete = True

    def add(self, data: bytes) -> None:
        if self.complete:
            self._pieces.append(data)
            self.size += len(data)

    def pieces(self) -> bytes:
        """All that is held."""
        return b"".join(self._pieces)

    def sent(self) -> None:
        """What is held has been sent: keep it for another time, unless it is too much."""
        if self.size > HOLD:
            self.let_go()

    def let_go(self) -> None:
        self._pieces = []
        self.size = 0
        self.complete = False


class Trials:
    """Where a request has been in vain."""

    __slots__ = ("moves", "retries", "retrying", "tried")

    def __init__(self) -> None:
        self.tried: tuple[Endpoint, ...] = ()
        self.moves = 0
        """Times it went elsewhere because nothing had been sent, or nothing was lost."""
        self.retries = 0
        """Times it was asked anew although the service may have seen it."""
        self.retrying = False
        """Whether it counts on the upstream's budget."""
