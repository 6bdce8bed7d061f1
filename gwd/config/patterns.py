"""Path patterns ("/users/{id}/orders", "/orders/*") and the templates they fill ("/v2/{*}").

Strategy: a pattern is matched against a path's one normal form (SECURITY §2.3), so its literal
segments must be in that form themselves, or they would never match. A template is text with
placeholders; which ones it may hold is told by `captures` of the pattern it belongs to.
"""

from __future__ import annotations

import re

from gwd.config.units import NotAllowed

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}", re.ASCII)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63}|\*)\}", re.ASCII)
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})*", re.ASCII)
_UNRESERVED = re.compile(r"%(?:2D|2E|3[0-9]|4[1-9A-F]|5[0-9A]|5F|6[1-9A-F]|7[0-9A]|7E)", re.ASCII)
_TARGET = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_ORIGIN = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)

LONGEST = 4096
"""Characters of a pattern or template."""


def captures(pattern: str) -> tuple[str, ...]:
    """The names a pattern captures, in its order; "*" last for a prefix pattern."""
    names = tuple(_PARAMETER.findall(pattern))
    return (*names, "*") if pattern.endswith("/*") else names


def placeholders(template: str) -> tuple[str, ...]:
    """The names in a template's placeholders, in its order."""
    return tuple(_PLACEHOLDER.findall(template))


def pattern(text: str) -> str:
    """`text` as a route's path. Raises NotAllowed."""
    use = 'use "/exact", "/prefix/*" or "/users/{id}/orders"'
    if not text.startswith("/"):
        raise NotAllowed(f'does not begin with "/"; {use}')
    if len(text) > LONGEST:
        raise NotAllowed(f"is longer than {LONGEST} characters; {use}")
    segments = text[1:].split("/")
    seen: set[str] = set()
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if segment == "*":
            if not last:
                raise NotAllowed(f'has "*" before its end; {use}')
            continue
        if segment == "" and not last:
            raise NotAllowed('holds "//", which gwd merges to "/" before it matches; use one "/"')
        if segment in (".", ".."):
            raise NotAllowed(f'holds a "." or ".." segment, which never matches; {use}')
        parameter = _PARAMETER.fullmatch(segment)
        if parameter is not None:
            if parameter[1] in seen:
                raise NotAllowed("has two parameters of one name; use different names")
            seen.add(parameter[1])
            continue
        _literal(segment, use)
    return text


def _literal(segment: str, use: str) -> None:
    if "{" in segment or "}" in segment:
        raise NotAllowed(f"has a parameter that is not a whole segment with a plain name; {use}")
    if "*" in segment:
        raise NotAllowed(f'has a "*" that is not a whole segment; {use}')
    if "?" in segment or "#" in segment:
        raise NotAllowed("holds a query or fragment; use the path alone")
    if _UNRESERVED.search(segment) is not None:
        raise NotAllowed("holds %-escapes that gwd decodes before it matches; write them plainly")
    if _SEGMENT.fullmatch(segment) is None:
        raise NotAllowed("holds characters a path cannot; use %-escapes with capital digits")


def literal_path(text: str) -> str:
    """`text` as one path without parameters, such as a health check's. Raises NotAllowed."""
    if pattern(text) != text or captures(text):
        raise NotAllowed('is a pattern; use one path such as "/healthz"')
    return text


def probe(text: str) -> str:
    """`text` as the path and query of a health check. Raises NotAllowed."""
    if placeholders(target(text)):
        raise NotAllowed('holds a placeholder; use one path such as "/healthz"')
    return text


def rewrite(text: str) -> str:
    """`text` as the template of an upstream path. Raises NotAllowed."""
    plain = _plain(text, '"/v2/orders/{*}"')
    if "?" in plain or "#" in plain:
        raise NotAllowed("holds a query; use a path alone, the request's query stays")
    if _TARGET.fullmatch(plain) is None:
        raise NotAllowed("holds characters a path cannot; use %-escapes")
    return text


def target(text: str) -> str:
    """`text` as the template of a part's path and query. Raises NotAllowed."""
    path, _, query = _plain(text, '"/orders?user={user}"').partition("?")
    if _TARGET.fullmatch(path) is None or _QUERY.fullmatch(query) is None:
        raise NotAllowed("holds characters a path or query cannot; use %-escapes")
    return text


def location(text: str) -> str:
    """`text` as the template of a redirect: a path or a URL. Raises NotAllowed.

    No placeholder may stand in front of the path: a request must not choose the site.
    """
    rest = text
    if not text.startswith("/"):
        origin = _ORIGIN.match(text)
        if origin is None:
            raise NotAllowed('is not a redirect; use "/new/{*}" or "https://example.com/{*}"')
        rest = text[origin.end() :] or "/"
    path, _, query = _plain(rest, '"/new/{*}" or "https://example.com/{*}"').partition("?")
    if _TARGET.fullmatch(path) is None or _QUERY.fullmatch(query) is None:
        raise NotAllowed("holds characters a URL cannot; use %-escapes")
    return text


def _plain(template: str, example: str) -> str:
    """`template` with every placeholder turned into a letter, if it is one for a path."""
    if not template.startswith("/"):
        raise NotAllowed(f'does not begin with "/"; use {example}')
    if template.startswith("//"):
        raise NotAllowed(f'begins with "//", which names another host; use {example}')
    if len(template) > LONGEST:
        raise NotAllowed(f"is longer than {LONGEST} characters; use {example}")
    plain = _PLACEHOLDER.sub("x", template)
    if "{" in plain or "}" in plain:
        raise NotAllowed(f"has a brace that begins no placeholder; use {example}")
    if any(segment in (".", "..") for segment in plain.partition("?")[0].split("/")):
        raise NotAllowed(f'holds a "." or ".." segment; use {example}')
    return plain
