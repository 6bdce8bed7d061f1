"""The linear look at the raw bytes of a head, before any parser sees them.

h11 accepts bare LF, folded lines and most control characters, counts no fields, and one of its
expressions takes seconds on a long line of blanks before a control character (SECURITY §2, "CPU
first"). Each look here is one pass in C over the bytes, whatever they are (SEC-02, SEC-07).

Invariant: what `is_clean` passes consists of lines of text. Split at CR LF, no line holds a CR, an
LF, a NUL or another control character than HTAB; bytes from 0x80 may stand anywhere.
"""

from __future__ import annotations

from gwd.http.problem import Refusal

END = b"\r\n\r\n"
"""The end of the last line of a head, and the empty line."""
_TEXT = bytes(b for b in range(256) if b in (0x09, 0x0A, 0x0D) or (b >= 0x20 and b != 0x7F))


def is_clean(data: bytes | bytearray) -> bool:
    """Whether `data`, which begins where a line does or within one, holds only text and CR LF
    (RFC 9112 §2.2, RFC 9110 §5.5). A CR at its very end may yet become one."""
    ends = data.count(b"\r\n")
    return (
        data.count(b"\n") == ends
        and data.count(b"\r") == ends + data.endswith(b"\r")
        and not data.translate(None, _TEXT)
    )


def malformed(detail: str) -> Refusal:
    """400, and the end of the connection: nobody knows what the bytes behind it mean."""
    return Refusal(400, "malformed", detail, close=True)


def unclean() -> Refusal:
    return malformed("The head holds a control character, or a CR or LF alone.")
