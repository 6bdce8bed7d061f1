"""Parts of a JSON document, numbers untouched.

`pick = ["items.id", "total"]` keeps these members and the objects around them, as KrakenD's
`allow` does: {"items": [{"id": …}, …], "total": …}. A list stands for each of its items; what
has no such member (a missing key, a scalar where an object would be) is left out.

Strategy: orjson reads and writes, unless the text holds a number that a double would change; then
the standard library reads with every number kept as its own text (`orjson.Fragment`). The test
for such numbers is one linear scan that errs on the safe side: 16 digits or more in a row,
anything that looks like an exponent, a minus zero, in strings too. What passes has at most 15
significant digits, which survive the way through a double (DBL_DIG); 1.50 may become 1.5.

Bounds: orjson refuses to read deeper than 1,024 and to write deeper than about 250 levels. How deep
the standard library reads depends on the version of Python, so it is not asked about what is deeper
than 900. All of them make the document unusable, none more.
A repeated key counts with its last value (RFC 8259 §4 leaves it open).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

import orjson

PickTree = dict[str, "PickTree | None"]
"""Member name to what is picked of its value; None: all of it."""

_MAX_LISTS = 32
"""Lists directly within lists; deeper ones are left out."""

_MAX_DEPTH = 900
"""Lists and objects within each other that the standard library is given to read."""
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)
"""A string that never ends is one, too: looked for again from each quote in it, it takes hours."""
_DELICATE = re.compile(rb"[0-9][0-9.]{15}|[0-9][eE][-+0-9]|-0(?![.0-9])")
_LEFT_OUT = object()


class Unusable(Exception):
    """A body that is no JSON, or not of a shape that can be picked from; the text is a log word."""


def compile_pick(paths: Iterable[str]) -> PickTree:
    """The tree of dotted `paths`; a path that is the beginning of another takes all of it.

    Raises ValueError for an empty member name.
    """
    tree: PickTree = {}
    for path in paths:
        names = path.split(".")
        if not all(names):
            raise ValueError(f'"{path}" has an empty member name')
        branch = tree
        for name in names[:-1]:
            deeper = branch.setdefault(name, {})
            if deeper is None:
                break
            branch = deeper
        else:
            branch[names[-1]] = None
    return tree


def check(body: bytes) -> bytes:
    """`body` as JSON text that can stand inside another, byte for byte but for outer white space.

    Raises Unusable.
    """
    body = _trimmed(body)
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        # orjson also refuses numbers beyond a double, which are JSON all the same.
        if not _DELICATE.search(body):
            raise Unusable("bad_json") from None
        _written(_exact(body))
    return body


def pick(body: bytes, tree: PickTree) -> bytes:
    """What `tree` picks from `body`, as JSON text. Raises Unusable."""
    body = _trimmed(body)
    try:
        value = _exact(body) if _DELICATE.search(body) else orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unusable("bad_json") from None
    picked = _project(value, tree, 0)
    if picked is _LEFT_OUT:
        raise Unusable("nothing_to_pick")
    return _written(picked)


def _trimmed(body: bytes) -> bytes:
    # RFC 8259 §8.1: a byte order mark may be ignored, and inside a text it must not stand.
    return body.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")


def _exact(body: bytes) -> Any:
    """`body` parsed with numbers as fragments of its own text. Raises Unusable."""
    if _is_too_deep(body):
        raise Unusable("bad_json")
    try:
        return json.loads(
            body.decode(),
            parse_int=orjson.Fragment,
            parse_float=orjson.Fragment,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError):
        raise Unusable("bad_json") from None


def _is_too_deep(body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= _MAX_DEPTH:
        return False
    depth = 0
    for token in _TOKENS.finditer(body):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth > _MAX_DEPTH:
                return True
        elif token[0] in (b"]", b"}"):
            depth -= 1
    return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _written(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # too deep, or half of a surrogate pair
        raise Unusable("bad_json") from None


def _project(value: Any, tree: PickTree, lists: int) -> Any:
    if isinstance(value, dict):
        picked = {}
        for name, deeper in tree.items():
            if name in value:
                member = value[name]
                if deeper is not None:
                    member = _project(member, deeper, 0)
                if member is not _LEFT_OUT:
                    picked[name] = member
        return picked
    if isinstance(value, list) and lists < _MAX_LISTS:
        items = [_project(item, tree, lists + 1) for item in value]
        return [item for item in items if item is not _LEFT_OUT]
    return _LEFT_OUT
