"""Where a stream of WebSocket frames stands: in the middle of one, or between two.

A gateway that leaves must put its own Close frame between two frames of its peer's (RFC 6455 §5.5),
so each direction of a tunnel is followed from its first byte. Only the lengths are read (§5.2):
what frames hold, and whether they are well formed, is between the two ends. A read costs what it
has frames, whatever their size, and nothing is kept but an unfinished header, at most 9 bytes.

Invariant: however a stream is cut into pieces, it stands where it would stand fed whole.
"""

from __future__ import annotations

import struct

CLOSE = 0x8
GOING_AWAY = 1001
"""RFC 6455 §7.4.1: "a server going down"."""

_EXTENDED = {126: 2, 127: 8}
_MASK_SIZE = 4


class FrameTracker:
    """One direction of a connection. `closed`: a Close frame has begun in it."""

    __slots__ = ("_header", "_left", "closed")

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the present frame that are still to come, its masking key included."""
        self._header = b""
        """The beginning of a header whose length is not known yet; then `_left` is 0."""
        self.closed = False

    @property
    def at_boundary(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self._left and not self._header

    def feed(self, data: bytes) -> None:
        """Follow the stream through `data`."""
        at, size = self._left, len(data)
        if at >= size:
            self._left = at - size
            return
        if self._header:
            data = self._header + data
            size = len(data)
        while size - at >= 2:
            length = data[at + 1]
            end = at + 2
            if length & 0x80:
                end += _MASK_SIZE
                length &= 0x7F
            if length > 125:
                extended = _EXTENDED[length]
                if size - at < 2 + extended:
                    break
                length = int.from_bytes(data[at + 2 : at + 2 + extended], "big")
                end += extended
            if data[at] & 0x0F == CLOSE:
                self.closed = True
            at = end + length
        if at >= size:
            self._header, self._left = b"", at - size
        else:
            self._header, self._left = data[at:], 0

    def feed_to_boundary(self, data: bytes) -> int:
        """Follow the stream to the end of the present frame at most. Returns how many bytes of
        `data` that took: 0 at a boundary, all of them if the frame goes on."""
        taken = 0
        while self._header and taken < len(data):
            self.feed(data[taken : taken + 1])
            taken += 1
        rest = min(self._left, len(data) - taken)
        self._left -= rest
        return taken + rest


def close_frame(code: int, key: bytes = b"") -> bytes:
    """A Close frame with `code` (RFC 6455 §5.5.1), masked by `key`, 4 bytes, if one is given: what
    goes to a server must be masked, what goes to a client must not (§5.1)."""
    payload = struct.pack("!H", code)
    if not key:
        return bytes((0x80 | CLOSE, len(payload))) + payload
    masked = bytes(byte ^ key[at % _MASK_SIZE] for at, byte in enumerate(payload))
    return bytes((0x80 | CLOSE, 0x80 | len(payload))) + key + masked
