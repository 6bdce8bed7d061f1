"""What a connection remembers of its last head: the first and fastest tier.

Strategy. A client sends the same fields again and again, under ever new request lines. If what
follows the request line is byte for byte what followed the last one, the fields mean what they
meant. Many clients change one field each time (a trace, a session, a tag of what they hold): once
two heads in a row differed in one loose line (`recall`), only the bytes before and behind its value
are compared, and the value is judged as a new line is.

One request of a connection is in flight, so the head handed out is the same object each time, with
what differs put in anew: it is good until the next one is looked for.

Invariants, which make this a strict subset of the full look (SEC-28; tests/http/test_tiers.py):
request lines are plain ones of the same version, which name no authority; the line that changes
is one that `recall` would take there, of the kind it was; all dies with the policy. At most
`MOST_TAIL` bytes are kept, which are the client's own.
"""

from __future__ import annotations

from gwd.http.fields import Field, GatePolicy, is_value
from gwd.http.head import RequestHead, UpgradeHead
from gwd.http.recall import METHODS, forwarded_line, loose_field, match_value, put
from gwd.http.target import match_plain

MOST_TAIL = 2048
TRIES = 4
"""Heads in a row that are looked at for a single changed line, without finding one."""
_LINE_END = b"\r\n"


class LastHead:
    """`end` is where the head ends that `again` has found."""

    __slots__ = (
        "_after",
        "_before",
        "_field",
        "_head",
        "_lines_after",
        "_lines_before",
        "_minor",
        "_policy",
        "_tail",
        "_tries",
        "end",
    )

    def __init__(self, policy: GatePolicy) -> None:
        self.end = 0
        self._tail = b""
        """The last head from the end of its request line on; b"" if it is not remembered."""
        self._head: RequestHead
        self._policy = policy
        self._field: Field | None = None
        """What stands in shapes for the line that changes, if there is such a line. Then `_before`
        and `_after` are the bytes around its value, and the other lines stand as they are
        forwarded in `_lines_before` and `_lines_after`."""
        self._before = self._after = b""
        self._lines_before = self._lines_after = b""
        self._minor = b""
        self._tries = TRIES

    def again(self, data: bytes, policy: GatePolicy) -> RequestHead | None:
        """The head at the beginning of `data`, if it is here whole and like the last one."""
        tail = self._tail
        if not tail or policy is not self._policy:
            return None
        # Without a line end that is -1, from where on nothing begins that is longer than a byte.
        line_end = data.find(_LINE_END)
        head = self._head
        field = self._field
        if field is None:
            if not data.startswith(tail, line_end):
                return None
            end = line_end + len(tail)
        else:
            before = self._before
            if not data.startswith(before, line_end):
                return None
            begin = line_end + len(before)
            stop = data.find(_LINE_END, begin)
            if not data.startswith(self._after, stop) or not match_value(data, begin, stop):
                return None
            end = stop + len(self._after)
            value = data[begin:stop]
            if not field.kind:
                head.lines = b"".join((self._lines_before, value, self._lines_after))
            elif not self._put(field, value, head):
                return None
            self._tries = TRIES
        match = match_plain(data, 0, line_end)
        spare = policy.max_head - end
        if match is None or line_end > policy.max_target or spare < 0:
            return None
        method, path, query, minor = match.groups()
        if minor != self._minor:
            return None
        head.method = METHODS[method]
        head.path = path.decode()
        head.query = query.decode() if query else ""
        head.line = data[: line_end + 2] if head.minor else forwarded_line(match)
        head.encoded_slash = False
        head.spare = spare
        self.end = end
        return head

    def _put(self, field: Field, value: bytes, head: RequestHead) -> bool:
        """Put the value of a line that is not plain into `head`, if it may stand there."""
        if not is_value(field.kind, value):
            return False
        put(field.kind, value, head)
        if field.line:
            head.lines = b"".join((self._lines_before, value, self._lines_after))
        return True

    def forget(self) -> None:
        self._tail = b""
        self._field = None

    def remember(
        self, head: bytes, request: RequestHead, policy: GatePolicy, *, recalled: bool
    ) -> None:
        """Keep what follows the request line of `head`, if there is no authority in that.

        `recalled`: it has a shape, so its lines decide nothing about each other.
        """
        line_end = head.find(_LINE_END)
        plain = head.startswith(b"/", head.find(b" ") + 1)
        if not plain or len(head) - line_end > MOST_TAIL or type(request) is UpgradeHead:
            self.forget()
            return
        before, self._tail = self._tail, head[line_end:]
        self._head = request
        self._minor = b"1" if request.minor else b"0"
        self._field = None
        if policy is not self._policy:
            self._policy = policy
        elif recalled and before and self._tries:
            self._tries -= 1
            self._compare(before.split(_LINE_END), self._tail.split(_LINE_END))

    def _compare(self, before: list[bytes], lines: list[bytes]) -> None:
        """Look for a single line in which the last two heads differ."""
        if len(before) != len(lines):
            return
        changed = [at for at, line in enumerate(lines) if line != before[at]]
        if len(changed) != 1:
            return
        at = changed[0]
        line = lines[at]
        field = loose_field(line, self._policy)
        if field is None:
            return
        forwarded, where = self._head.lines, 0
        if field.line:
            text = b"\r\n%b\r\n" % line
            where = (_LINE_END + forwarded).find(text)
            if where < 0 or (_LINE_END + forwarded).count(text) > 1:
                return
        elif not field.kind:
            return  # it is dropped, and means nothing: rare enough for the long way
        self._field = field
        self._before = _LINE_END.join((*lines[:at], field.value))
        self._after = _LINE_END.join((b"", *lines[at + 1 :]))
        self._lines_before = forwarded[: where + len(field.value)]
        self._lines_after = forwarded[where + len(line) :]
