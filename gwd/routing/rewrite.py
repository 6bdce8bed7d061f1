"""Paths made from captures: rewrites to the upstream, paths of aggregate parts, redirects.

Strategy: a template is cut once into literals and placeholders; what remains per request is one
`%` formatting. Captures come from a path in normal form and are put in as they are, still
percent-encoded (SECURITY §2.3): never decoded, so never an encoded slash becomes a slash. In a
query they meet other syntax, and everything with a meaning there is encoded too: `a&admin=1` out
of a path stays one value.

Invariants: the path that comes out is in normal form, given the captures of a match: they are
never empty, "." or ".." (nor these before ";") and hold no "/"; `{*}` stands only as a whole
segment; no literal ends where a capture could make it a dot segment. It is looked at all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gwd.http.problem import Refusal
from gwd.routing.pattern import PathPattern, PatternError, is_dot_segment, normal_literal

Template = Callable[[tuple[str, ...]], str]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_DOT_SEGMENT = re.compile(r"/\.\.?(?:[/;]|\Z)")
_QUERY_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,/:;=@?-]|%[0-9A-Fa-f]{2})*\Z")
_QUERY_SYNTAX = str.maketrans({c: f"%{ord(c):02X}" for c in "!$&'()*+,/:;=@"})
"""What a path segment may hold raw besides unreserved characters and percent-encodings."""
_ORIGIN = re.compile(r"https?://[A-Za-z0-9._\-\[\]:]+(?=[/?]|\Z)", re.IGNORECASE)


def compile_rewrite(pattern: str, rewrite: str | None) -> Callable[[str, tuple[str, ...]], str]:
    """A function (path, captures) -> path for the upstream; without a rewrite the path itself.

    `pattern` is the route's path; `rewrite` may hold its `{name}` and, if it ends in `/*`, `{*}` as
    a whole segment: "/v2/orders/{*}" makes "/orders" into "/v2/orders" and "/orders/7" into
    "/v2/orders/7". Raises PatternError; the function raises Refusal 400 rather than return a dot
    segment.
    """
    if rewrite is None:
        return _unchanged
    if not rewrite.startswith("/") or "?" in rewrite:
        raise PatternError(f'"{rewrite}" is not a path; the query stays as it came')
    template = compile_template(pattern, rewrite)
    return lambda path, captures: template(captures)


def compile_template(pattern: str, template: str) -> Template:
    """A function captures -> path and query, for "/orders?user={user}".

    An origin may stand first ("https://new.example/{*}", a redirect); it takes no captures, so no
    request chooses the site. Raises as `compile_rewrite` does.
    """
    captured = PathPattern(pattern)
    origin = ""
    target = template
    found = _ORIGIN.match(target)
    if found:
        origin = found[0]
        target = target[found.end() :]
        if not target.startswith("/"):
            target = f"/{target}"
    if "#" in target:
        raise PatternError(f'"{template}" has a fragment; percent-encode "#"')
    path, mark, query = target.partition("?")
    path_of = _compile_path(path, template, captured)
    if _PLACEHOLDER.search(query):
        query_of = _compile_query(query, template, captured)
        return lambda captures: f"{origin}{path_of(captures)}?{query_of(captures)}"
    end = mark + _literal_text(query, template)
    if origin or end:
        return lambda captures: origin + path_of(captures) + end
    return path_of


def _unchanged(path: str, captures: tuple[str, ...]) -> str:
    return path


def _compile_path(path: str, template: str, captured: PathPattern) -> Template:
    if not path.startswith("/"):
        raise PatternError(f'"{template}" does not begin with "/"')
    segments = path[1:].split("/")
    text = ""
    slots: list[int] = []
    inner_rest = False
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if segment == "{*}":
            slots.append(_index("*", template, captured))
            inner_rest = inner_rest or not last
            text += "%s"  # the rest brings its own slash
            continue
        literals, names = _cut(segment, template)
        if "*" in names:
            raise PatternError(f'"{template}": {{*}} stands as a whole segment, "/{{*}}"')
        if not segment and not last:
            raise PatternError(f'"{template}" has an empty segment')
        literals = [normal_literal(literal, template) for literal in literals]
        if is_dot_segment(literals[0]):
            raise PatternError(f'"{template}" has a segment that is or could become "." or ".."')
        slots.extend(_index(name, template, captured) for name in names)
        text += "/" + "%s".join(literal.replace("%", "%%") for literal in literals)
    if not slots:
        path = text.replace("%%", "%")
        return lambda captures: path
    every = slots == list(range(len(captured.names) + captured.rest))

    def fill(captures: tuple[str, ...]) -> str:
        values = captures if every else tuple([captures[slot] for slot in slots])
        made = text % values or "/"
        if inner_rest:
            made = made.replace("//", "/")
        if "/." in made and _DOT_SEGMENT.search(made):
            raise Refusal(400, "malformed", "The path has a dot segment after rewriting.")
        return made

    return fill


def _compile_query(query: str, template: str, captured: PathPattern) -> Template:
    literals, names = _cut(query, template)
    text = "%s".join(_literal_text(literal, template).replace("%", "%%") for literal in literals)
    slots = [_index(name, template, captured) for name in names]
    rest = len(captured.names)  # the index of {*}: its leading slash is no part of the value

    def fill(captures: tuple[str, ...]) -> str:
        values = [
            captures[slot].removeprefix("/") if slot == rest else captures[slot] for slot in slots
        ]
        return text % tuple([value.translate(_QUERY_SYNTAX) for value in values])

    return fill


def _cut(text: str, template: str) -> tuple[list[str], list[str]]:
    """Literals and the placeholders' names between them: one literal more than names."""
    pieces = _PLACEHOLDER.split(text)
    literals, names = pieces[::2], pieces[1::2]
    if any("{" in literal or "}" in literal for literal in literals):
        raise PatternError(f'"{template}" has a brace without its partner')
    return literals, names


def _index(name: str, template: str, captured: PathPattern) -> int:
    known: Sequence[str] = (*captured.names, "*") if captured.rest else captured.names
    if name not in known:
        allowed = ", ".join(f"{{{known_name}}}" for known_name in known) or "no placeholder"
        raise PatternError(f'"{template}": {{{name}}}; "{captured.text}" gives {allowed}')
    return known.index(name)


def _literal_text(text: str, template: str) -> str:
    """A literal in a query: sent as it stands, so it must be sendable."""
    if not _QUERY_LITERAL.match(text):
        raise PatternError(f'"{template}": percent-encode what is not allowed in "{text}"')
    return text
