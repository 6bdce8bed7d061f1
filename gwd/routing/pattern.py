"""What a route's `host` and `path` mean, read once.

Strategy: a path pattern is a tuple of segments, each a literal or a parameter (`None`), and
whether anything may follow (`/*`). Literals are brought into the same normal form as request
paths (`gwd.http.paths`), so matching is comparison of strings. Everything else in this room, the
table, the rewrites and `explain`, works on these two values and never on the pattern's text.

Invariants: `/a/*` has the segments of `/a`; an empty segment stands only at the end and only
without `rest`; parameter names are unique within a pattern; a parameter is a whole segment.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from gwd.http.paths import normalise
from gwd.http.problem import Refusal

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")
_NORMAL = re.compile(r"[A-Za-z0-9._~-]*\Z")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

EXACT, PARAMETERS, PREFIX = range(3)
"""The kinds of path patterns, the most specific first."""


class PatternError(ValueError):
    """A pattern, rewrite or template that means nothing; the text says what is allowed."""


class PathPattern:
    """A parsed path pattern.

    `segments`: literals in normal form, None for a parameter. `names`: the parameters' names in
    order. `rest`: the pattern ends in `/*`. `kind`: EXACT, PARAMETERS or PREFIX.
    """

    __slots__ = ("kind", "names", "rest", "segments", "text")

    def __init__(self, text: str) -> None:
        """Parse `text`. Raises PatternError."""
        if not text.startswith("/"):
            raise PatternError(f'"{text}" does not begin with "/"')
        pieces = text[1:].split("/")
        rest = pieces[-1] == "*"
        if rest:
            del pieces[-1]
        segments: list[str | None] = []
        names: list[str] = []
        for position, piece in enumerate(pieces):
            parameter = _PARAMETER.match(piece)
            if parameter:
                name = parameter[1]
                if name in names:
                    raise PatternError(f'"{text}" has {{{name}}} twice')
                names.append(name)
                segments.append(None)
                continue
            if "{" in piece or "}" in piece:
                raise PatternError(
                    f'"{piece}" in "{text}": a parameter is a whole segment, {{name}}'
                )
            if "*" in piece:
                raise PatternError(f'"{text}": * stands only at the end, as a whole segment, "/*"')
            if not piece and (rest or position < len(pieces) - 1):
                raise PatternError(f'"{text}" has an empty segment')
            literal = normal_literal(piece, text)
            if is_dot_segment(literal):
                raise PatternError(f'"{text}" has a dot segment')
            segments.append(literal)
        self.text = text
        self.segments = tuple(segments)
        self.names = tuple(names)
        self.rest = rest
        self.kind = PREFIX if rest else PARAMETERS if names else EXACT

    @property
    def literal(self) -> str | None:
        """The one path an exact pattern matches; None for the other kinds."""
        if self.kind != EXACT:
            return None
        return "/" + "/".join(segment for segment in self.segments if segment is not None)


def normal_literal(piece: str, whole: str) -> str:
    """`piece` of a pattern or template, without "/", as it stands in a normal-form path.

    Characters outside of ASCII and spaces are percent-encoded as UTF-8. `whole` is for the
    message. Raises PatternError.
    """
    if _NORMAL.match(piece):
        return piece
    # Letters around it, so that "." between two captures is not taken for a dot segment.
    try:
        normal, _ = normalise(f"/x{quote(piece, safe=_PRINTABLE)}x")
    except Refusal as refusal:
        raise PatternError(f'"{piece}" in "{whole}": {refusal.detail}') from None
    return normal[2:-1]


def is_dot_segment(segment: str) -> bool:
    """Whether a server might take `segment` for "." or ".."; "..;x" is one to Tomcat."""
    return segment.partition(";")[0] in (".", "..")


def wildcard_suffix(host: str) -> str | None:
    """ "company.com" of "*.company.com"; None if `host` is exact. Raises PatternError."""
    if host.startswith("*.") and len(host) > 2 and "*" not in host[2:]:
        return host[2:]
    if "*" in host:
        raise PatternError(f'"{host}": a wildcard is "*." before a domain, "*.company.com"')
    return None
