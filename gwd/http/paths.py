"""The normal form of a path, which is matched and forwarded alike (SEC-12).

The rule, in this order (SECURITY §2.3):

1. Characters that RFC 3986 lets nobody write in a path are refused, and so is a `%` without two hex
   digits, and an encoded control character.
2. What RFC 3986 §2.3 calls unreserved is decoded, other escapes get upper-case digits. Decoding
   happens once: `%252e` stays what it is.
3. `.` and `..` followed by `;` are refused, for some servers cut parameters off (`/..;/`).
4. Dot segments are removed (RFC 3986 §5.2.4), above the root they are refused; then `//` is `/`.
5. `%2F` and `%5C` are never slashes here. Whether they pass at all, the route says; a client's
   path in which they would part a dot segment off (`/..%2Fx`) never does (`check_hidden_dots`).
"""

from __future__ import annotations

import re

from gwd.http.scan import malformed

_NORMAL = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,:=@-][A-Za-z0-9_~!$&'()*+,:=@.-]*+)*+/?")
"""Paths that are plainly in normal form: no escape, no empty or dot segment, no parameter."""
_LEGAL = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;:=@/%\[\]-]*+")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HEX = "0123456789ABCDEFabcdef"
_ESCAPES = {
    high + low: chr(code) if chr(code) in _UNRESERVED else f"%{code:02X}"
    for high in _HEX
    for low in _HEX
    if (code := int(high + low, 16)) >= 0x20 and code != 0x7F
}
"""Two hex digits → what is written for them. A path may hold thousands of escapes, so each costs
one look-up (SEC-02)."""
_DOTS_TO_SOME = re.compile(r"\.\.?(?:(?:;|%3B).*+)?")
_HIDDEN_DOTS = re.compile(r"(?:/|%2F|%5C)\.\.?(?:;|%3B|/|%2F|%5C|\Z)")


def normalise(path: str) -> tuple[str, bool]:
    """The normal form of `path`, and whether an encoded slash or backslash stands in it.

    Raises Refusal 400.
    """
    if path and _NORMAL.fullmatch(path):
        return path, False
    if not _LEGAL.fullmatch(path):
        raise malformed("The path holds a character that must be percent-encoded.")
    if "%" in path:
        path = _decode(path)
    path = _without_dots(path)
    return path, "%2F" in path or "%5C" in path


def _decode(path: str) -> str:
    first, *others = path.split("%")
    pieces = [first]
    for other in others:
        digits = other[:2]
        written = _ESCAPES.get(digits)
        if written is None:
            if len(digits) == 2 and digits[0] in _HEX and digits[1] in _HEX:
                raise malformed("The path holds an encoded control character.")
            raise malformed("The path holds a '%' that begins no escape.")
        pieces.append(written + other[2:])
    return "".join(pieces)


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    last = len(segments) - 1
    for number, segment in enumerate(segments):
        if segment == "..":
            if not kept:
                raise malformed("The path leads above the root.")
            kept.pop()
        elif segment != ".":
            if segment[:1] == "." and _DOTS_TO_SOME.fullmatch(segment):
                raise malformed("The path holds a dot segment with parameters.")
            kept.append(segment)
            continue
        if number == last:
            kept.append("")
    # Empty segments go last: "/a//../b" is "/a/b", as it is to RFC 3986.
    inner = [segment for segment in kept[:-1] if segment]
    return "/" + "/".join((*inner, *kept[-1:]))


def check_hidden_dots(normal: str) -> None:
    """Refuse a path in normal form with dot segments that only a server sees who decodes `%2F` or
    `%5C` before it looks for them: for it the path would leave the route that was matched.

    Raises Refusal 400.
    """
    if _HIDDEN_DOTS.search(normal):
        raise malformed("The path holds a dot segment beside an encoded slash.")
