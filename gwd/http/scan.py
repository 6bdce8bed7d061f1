"""The linear look at the raw bytes of a head, before any parser sees them.

h11 accepts bare LF, folded lines and most control characters, counts no fields, and one of its
expressions takes seconds on a long line of blanks before a control character (SECURITY §2, "CPU
first"). Every check here is one pass in C over the bytes, whatever they are (SEC-02, SEC-07).
"""

from __future__ import annotations

from gwd.http.problem import Refusal

END = b"\r\n\r\n"
_TEXT = bytes(b for b in range(256) if b in (0x09, 0x0A, 0x0D) or (b >= 0x20 and b != 0x7F))


def malformed(detail: str) -> Refusal:
    """400, and the end of the connection: nobody knows what the bytes behind it mean."""
    return Refusal(400, "malformed", detail, close=True)


def check_lines(data: bytes) -> None:
    """Refuse `data`, whole lines of a head or a beginning of one, if an LF in it lacks its CR.

    Raises Refusal.
    """
    if data.count(b"\n") != data.count(b"\r\n"):
        raise malformed("A line of the head does not end with CR LF.")


def check_head(head: bytes, max_fields: int) -> None:
    """Refuse `head`, which ends with its empty line, unless it consists of lines of text.

    Raises Refusal: 400 for control characters, bare CR or LF, folded lines (RFC 9112 §2.2, §5.2);
    431 for more than `max_fields` fields.
    """
    lines = head.count(b"\r\n")
    if head.count(b"\r") != lines or head.count(b"\n") != lines:
        raise malformed("A line of the head does not end with CR LF.")
    if head.translate(None, _TEXT):
        raise malformed("The head holds a control character.")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise malformed("A field of the head is folded over lines.")
    if lines - 2 > max_fields:
        raise Refusal(431, "too_many_fields", f"More than {max_fields} header fields.", close=True)
