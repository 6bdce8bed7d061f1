"""What a connection remembers of its last head: the first and fastest tier.

Strategy. A client sends the same fields again and again, under ever new request lines. If what
follows the request line is byte for byte what followed the last one, the fields mean what they
meant. Many clients change a few fields each time (a trace, a session, a tag of what they hold):
once two heads in a row differed in nothing but loose lines (`recall`), only the bytes between their
values are compared, and the values are judged as new lines are.

One request of a connection is in flight, so the head handed out is the same object each time, with
what differs put in anew: it is good until the next one is looked for.

Invariants, which make this a strict subset of the full look (SEC-28; tests/http/test_tiers.py):
request lines are plain ones of HTTP/1.1, which name no authority; the lines that change are such
that `recall` would take them there, of the kind they were; all dies with the policy. Of heads whose
fields are longer than `MOST_TAIL` nothing is kept.
"""

from __future__ import annotations

import re
from typing import Final

from gwd.http.fields import Field, GatePolicy, is_value
from gwd.http.head import NO_HEAD, RequestHead, UpgradeHead
from gwd.http.recall import METHODS, loose_field, put
from gwd.http.target import match_plain_1_1

MOST_TAIL = 2048
MOST_CHANGING = 8
"""Lines."""
TRIES = 4
"""Heads in a row that are looked at for lines that change, to no avail."""
_LINE_END = b"\r\n"
match_value: Final = re.compile(rb"[!-~][ -~]*+(?<! )(?=\r)").match
"""What `match_loose` takes behind the name, but for blanks that are tabs; up to the line's end."""


class LastHead:
    """The lower floor of `gate.RequestReader`, which is a class that builds on this one, as a
    collaborator would cost every request a call. `rest` is what follows the head found last."""

    __slots__ = (
        "_after",
        "_changes",
        "_changing",
        "_followed",
        "_head",
        "_held",
        "_method",
        "_most_line",
        "_pieces",
        "_tail",
        "_tries",
        "policy",
        "rest",
    )

    def __init__(self, policy: GatePolicy) -> None:
        self.policy = policy
        self.rest = b""
        self._held = bytearray()
        """What has come of a head that is not whole yet."""
        self._tail = b""
        """The last head from its first field on; b"" if it is not remembered."""
        self._head = NO_HEAD
        self._method = b""
        """The method of the head handed out last, if that was found here."""
        self._follow(policy)
        self._changes: tuple[tuple[bytes, Field, int], ...] = ()
        """Of each line that changes: the bytes before its value, since the value before; what
        stands for it in shapes; and where its value goes in `_pieces`, 0 if nowhere."""
        self._after = b""
        """The bytes after the last of them."""
        self._pieces: list[bytes] = []
        """The lines as they are forwarded: what stays, and between, from 1 on, what changes."""
        self._changing: tuple[int, ...] = ()
        """The numbers of the lines that were seen to change."""
        self._tries = TRIES

    def _follow(self, policy: GatePolicy) -> None:
        self._followed = policy
        """What the last head was judged by."""
        self._most_line = min(policy.max_target, policy.max_head - MOST_TAIL)
        """Bytes of a request line with which neither itself nor the head can be too long."""

    def again(self, data: bytes) -> RequestHead | None:
        """The head at the beginning of `data`, if it is here whole and like the last one."""
        tail, policy = self._tail, self.policy
        if not tail or self._held or policy is not self._followed:
            return None
        match = match_plain_1_1(data)
        if match is None:
            return None
        line, method, path, query = match.groups()
        start = stop = len(line)
        if start > self._most_line:
            return None
        head = self._head
        changes = self._changes
        if not changes:
            if not data.startswith(tail, start):
                return None
            end = start + len(tail)
        else:
            pieces = self._pieces
            for before, field, place in changes:
                if not data.startswith(before, stop):
                    return None
                begin = stop + len(before)
                found = match_value(data, begin)
                if found is None:
                    return None
                value = found[0]
                stop = begin + len(value)
                if field.kind:
                    if not is_value(field.kind, value):
                        return None
                    put(field.kind, value, head)
                if place:
                    pieces[place] = value
            end = stop + len(self._after)
            if end - start > MOST_TAIL or not data.startswith(self._after, stop):
                return None
            head.lines = b"".join(pieces)
            self._tries = TRIES
        if method != self._method:
            self._method = method
            head.method = METHODS[method]
        head.path = path.decode()
        head.query = query.decode() if query else ""
        head.line = line
        head.spare = policy.max_head - end
        self.rest = data[end:] if end < len(data) else b""
        return head

    def forget(self) -> None:
        """Keep nothing of the last head."""
        self._tail = self._after = b""
        self._head = NO_HEAD
        self._changes = ()
        self._changing = ()
        self._pieces = []
        self._tries = TRIES

    def _remember(self, head: bytes, request: RequestHead, *, recalled: bool) -> None:
        """Keep what follows the request line of `head`, if there is no authority in that.

        `recalled`: it has a shape, so its lines decide nothing about each other.
        """
        if not request.keep_alive:
            return  # it was the connection's last
        start = head.find(_LINE_END) + 2
        plain = head.startswith(b"/", head.find(b" ") + 1) and not request.encoded_slash
        long = len(head) - start > MOST_TAIL
        if not (plain and request.minor) or long or type(request) is UpgradeHead:
            self.forget()
            return
        before, self._tail = self._tail, head[start:]
        self._head = request
        self._method = b""
        self._changes = ()
        if self.policy is not self._followed:
            self._follow(self.policy)
        elif recalled and before and self._tries:
            self._tries -= 1
            self._compare(before.split(_LINE_END), self._tail.split(_LINE_END))

    def _compare(self, before: list[bytes], lines: list[bytes]) -> None:
        """Look for the lines in which the last two heads differ, and take them, with those that
        were seen to change earlier, for those that will."""
        if len(before) != len(lines):
            self._changing = ()
            return
        changing = [
            at for at, line in enumerate(lines) if line != before[at] or at in self._changing
        ]
        if not 0 < len(changing) <= MOST_CHANGING:
            return
        self._changing = tuple(changing)
        texts = self._head.lines.split(_LINE_END)
        changes: list[tuple[bytes, Field, int]] = []
        pieces: list[bytes] = []
        behind: tuple[bytes, ...] = ()
        here, there = -1, 0
        for at in changing:
            line = lines[at]
            field = loose_field(line, self.policy)
            if field is None:
                return
            place = 0
            if field.line:
                if texts.count(line) != 1:
                    return  # which of several it is decides in which order they go on
                where = texts.index(line)
                pieces += (_LINE_END.join((*behind, *texts[there:where], field.value)), b"")
                behind, there = (b"",), where + 1
                place = len(pieces) - 1
            elif not field.kind:
                return  # it is dropped, and means nothing: rare enough for the long way
            between = (*lines[here + 1 : at], field.value)
            if changes:
                between = (b"", *between)
            changes.append((_LINE_END.join(between), field, place))
            here = at
        self._changes = tuple(changes)
        self._after = _LINE_END.join((b"", *lines[here + 1 :]))
        self._pieces = [*pieces, _LINE_END.join((*behind, *texts[there:]))]
