"""The normal form of a path, which is matched and forwarded alike (SEC-12).

One written rule (docs/http.md), in this order:

1. `%` must be followed by two hex digits; control characters, encoded or not, are refused.
2. What RFC 3986 §2.3 calls unreserved is decoded, other escapes get upper-case digits. Decoding
   happens once: `%252e` stays what it is.
3. `//` becomes `/`; dot segments are removed (RFC 3986 §5.2.4), above the root they are refused;
   `.` and `..` followed by `;` are refused, for some servers cut the parameter off (`/..;/`).
4. `%2F` and `%5C` are never slashes here. Whether they pass at all, the route says.
"""

from __future__ import annotations

import re

from gwd.http.scan import malformed

_SIMPLE = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,:=@-][A-Za-z0-9_~!$&'()*+,:=@.-]*+)++/?|/")
"""Paths that are in normal form already: no escape, no empty or dot segment, no parameter."""
_LEGAL = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;:=@/%\[\]-]*+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normalise(path: str) -> tuple[str, bool]:
    """The normal form of `path`, and whether an encoded slash or backslash stands in it.

    Raises Refusal 400.
    """
    if _SIMPLE.fullmatch(path):
        return path, False
    if not _LEGAL.fullmatch(path):
        raise malformed("The path holds a character that must be percent-encoded.")
    encoded_slash = False
    if "%" in path:
        path = _ESCAPE.sub(_decode, path)
        encoded_slash = "%2F" in path or "%5C" in path
    return _without_dots(path), encoded_slash


def _decode(match: re.Match[str]) -> str:
    digits = match.group(1)
    if digits is None:
        raise malformed("The path holds a '%' that begins no escape.")
    code = int(digits, 16)
    if code < 0x20 or code == 0x7F:
        raise malformed("The path holds an encoded control character.")
    character = chr(code)
    return character if character in _UNRESERVED else "%" + digits.upper()


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    last = len(segments) - 1
    for number, segment in enumerate(segments):
        if segment == "..":
            if not kept:
                raise malformed("The path leads above the root.")
            kept.pop()
        elif segment.startswith((".;", "..;")):
            raise malformed("The path holds a dot segment with parameters.")
        elif segment not in ("", "."):
            kept.append(segment)
            continue
        if number == last:
            kept.append("")
    return "/" + "/".join(kept)
