"""Heads made of lines judged before: the tier between the connection's last head and a full look.

Strategy. A line's verdict does not depend on its neighbours, so it is remembered (`fields.learn`),
and so is what the rules over the head make of a sequence of verdicts: the *shape* of a head. Most
heads that are no repetition differ from an earlier one in a few lines of known name whose values
are ever new, such as Cookie or If-None-Match: these are *loose*. A loose line stands for its name
in the shape, and only its value is looked at. So a head costs one look-up per line and one for the
whole.

Invariants, which make this a strict subset of what `request.judge_request` takes (SEC-28;
tests/http/test_tiers.py holds it to that):

- a remembered line was judged in a head that passed, is ASCII and text; a loose one is checked to
  be a name that was judged before, one blank, and printable ASCII without a blank at either end;
- a shape is the order of its lines: the same verdicts, the same rules, the same outcome. Kinds
  whose value is loose stand in it once, and only their values are put in anew;
- request lines are those whose path is in normal form already, with no authority;
- everything dies with the policy, and is bounded. What is not taken goes the long way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from re import Match
from typing import Final

from gwd.http.fields import Field, GatePolicy, Kind, is_value
from gwd.http.head import RequestHead
from gwd.http.target import RequestLine, match_plain

MOST_SHAPES, MOST_LOOSE = 1024, 128
match_loose: Final = re.compile(rb"([A-Za-z0-9-]++): [!-~](?:[\t -~]*[!-~])?").fullmatch
"""As it is forwarded: nothing to strip, nothing to check further if its kind is plain."""
METHODS: Final = {
    method.encode(): method
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
_VALUED: Final = frozenset(
    (Kind.LENGTH, Kind.AUTHORIZATION, Kind.FORWARDED_FOR, Kind.REQUEST_ID, Kind.TRACEPARENT)
)
_LOOSE: Final = _VALUED | {Kind.PLAIN, Kind.TRACESTATE}
_CONDITIONAL: Final = frozenset((Kind.EXPECT, Kind.CODING, Kind.UPGRADE))
"""With one of these, the rest of the head decides about more than its own lines."""


def recall(head: bytes, policy: GatePolicy) -> RequestHead | None:
    """The meaning of `head`, which ends with its empty line, if all of it is known. None: judge it
    in full."""
    lines = head.split(b"\r\n")
    line = match_plain(lines[0])
    if line is None or len(lines[0]) > policy.max_target:
        return None
    del lines[-2:], lines[0]
    known, loose = policy.known, policy.loose
    verdicts: list[Field] = []
    texts: list[bytes] = []
    values: list[tuple[int, bytes]] | None = None
    for text in lines:
        field = known.get(text)
        if field is not None:
            texts.append(field.line)
        else:
            match = match_loose(text)
            field = loose.get(match[1]) if match is not None else None
            if field is None:
                return None
            if field.kind:
                value = text[len(field.value) :]
                if not is_value(field.kind, value):
                    return None
                if values is None:
                    values = []
                values.append((field.kind, value))
            if field.line:
                texts.append(text + b"\r\n")
        verdicts.append(field)
    shape = policy.shapes.get((line[4], *verdicts))
    if shape is None:
        return None
    request = resemble(line, shape)
    request.lines = b"".join(texts)
    request.spare = policy.max_head - len(head)
    if values is not None:
        for kind, value in values:
            put(kind, value, request)
    return request


def learn_shape(
    line: RequestLine,
    lines: Sequence[bytes],
    fields: Sequence[Field],
    head: RequestHead,
    policy: GatePolicy,
) -> None:
    """Remember what `fields`, the verdicts on `lines`, came to after `line`, if it is a shape."""
    verdicts: list[Field] = []
    kinds = [field.kind for field in fields if field.kind]
    if line.authority or len(set(kinds)) < len(kinds) or not _CONDITIONAL.isdisjoint(kinds):
        return
    size = 0
    for text, field in zip(lines, fields, strict=True):
        if text in policy.known:
            verdicts.append(policy.known[text])
        elif _is_loose(field, policy) and (match := match_loose(text)) is not None:
            verdicts.append(_loose(match[1], field, policy))
        else:
            return
        size += len(field.line)
    if size != len(head.lines):
        return  # Connection, or a trace that does not go on, takes some of them away
    if len(policy.shapes) >= MOST_SHAPES:
        policy.shapes.clear()
    shape = copy(head)
    shape.lines, shape.authorization = b"", None  # no secret outlives its request
    policy.shapes[(b"1" if line.minor else b"0", *verdicts)] = shape


def resemble(line: Match[bytes], before: RequestHead) -> RequestHead:
    """The head that a plain request line (`match_plain`) makes with the field lines of which
    `before` was made, after a line of the same version. `spare` is the caller's to set."""
    method, path, query, _ = line.groups()
    head = RequestHead()
    head.method = METHODS[method]
    head.line = line[0] + b"\r\n" if before.minor else forwarded_line(line)
    head.minor = before.minor
    head.path = path.decode()
    head.query = query.decode() if query else ""
    head.encoded_slash = False
    head.host = before.host
    head.host_line = before.host_line
    head.authority = before.authority
    head.lines = before.lines
    head.content_length = before.content_length
    head.chunked = before.chunked
    head.has_body = before.has_body
    head.keep_alive = before.keep_alive
    head.expect_continue = before.expect_continue
    head.authorization = before.authorization
    head.forwarded_for = before.forwarded_for
    head.forwarded_host = before.forwarded_host
    head.forwarded_proto = before.forwarded_proto
    head.request_id = before.request_id
    head.traceparent = before.traceparent
    head.user_agent = before.user_agent
    return head


def forwarded_line(line: Match[bytes]) -> bytes:
    """A plain request line (`match_plain`), with its end, as it goes upstream."""
    return b"%b %b%b HTTP/1.1\r\n" % (line[1], line[2], line[3] or b"")


def _is_loose(field: Field, policy: GatePolicy) -> bool:
    """Whether a line of that name always means the same, whatever its value (or no such field)."""
    kind, _ = policy.kinds.get(field.name, (Kind.PLAIN, True))
    return kind == field.kind and kind in _LOOSE


def _loose(name: bytes, field: Field, policy: GatePolicy) -> Field:
    """What stands in shapes for all lines of `name`, spelled so. Its `value` is what they begin
    with, its `line` that too if they are forwarded."""
    found = policy.loose.get(name)
    if found is None:
        if len(policy.loose) >= MOST_LOOSE:
            policy.loose.clear()
        begin = name + b": "
        found = policy.loose[name] = Field(field.kind, field.name, field.line and begin, begin)
    return found


def loose_field(text: bytes, policy: GatePolicy) -> Field | None:
    """What stands in shapes for the loose line `text`."""
    match = match_loose(text)
    return None if match is None else policy.loose.get(match[1])


def put(kind: int, value: bytes, head: RequestHead) -> None:
    """Put the value of a loose line into `head`, whose shape has its kind."""
    if kind == Kind.LENGTH:
        head.content_length = int(value)
        head.has_body = head.content_length > 0
    elif kind == Kind.AUTHORIZATION:
        head.authorization = value
    elif kind == Kind.TRACEPARENT:
        head.traceparent = value
    elif kind == Kind.FORWARDED_FOR:
        head.forwarded_for = value
    elif kind == Kind.REQUEST_ID:
        head.request_id = value
