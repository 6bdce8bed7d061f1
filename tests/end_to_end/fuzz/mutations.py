"""How a message becomes a worse one. Everything is decided by the `Random` that is handed in.

A mutator takes the bytes and gives other ones; it knows where lines are, what names frame a message
and how chunks are written, and has no idea of what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

Mutator = Callable[[bytes, Random], bytes]

BYTES = b'\x00\t\n\x0b\x0c\r "#%,-./0:;=?@\\_\x7f\x80\xa0\xff'
TOKENS = (
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\n\n", b"\r\r\n", b"\r\n ", b"\r\n\t", b": ", b" :"),
    *(b"chunked", b"Chunked", b"identity", b"gzip, chunked", b"chunked, chunked", b"xchunked"),
    *(b"0\r\n\r\n", b"0\r\n", b"1\r\nx\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"0x5\r\n"),
    *(b"%00", b"%2e%2e/", b"%2F", b"%5c", b"/../", b"/./", b"//", b";", b"%", b"%zz", b"%252e"),
    *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b" HTTP/1.1\r\n", b"http/1.1"),
    *(b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"TRACE ", b"get ", b"PRI ", b"*", b"gw.test:80"),
    *(b"GET /stolen HTTP/1.1\r\nHost: gw.test\r\n\r\n", b"close", b"keep-alive", b"upgrade"),
    *(b"100-continue", b"18446744073709551616", b"99999999999999999999", b"+5", b"5, 5", b"5,6"),
)
FIELDS = (
    *(b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 3, 3", b"Content-Length: +3"),
    *(b"Content-Length : 5", b"Content-Length:", b"Content_Length: 5", b"content-length: 05"),
    *(b"Content-Length: 5\r\n 5", b" Content-Length: 5", b"Content-Length\x00: 5", b"X\r\n: y"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding:chunked", b"Transfer-Encoding: xchunked"),
    *(b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding:\tchunked", b"TE: chunked"),
    *(b"Transfer-Encoding : chunked", b'Transfer-Encoding: "chunked"', b"transfer-encoding: "),
    *(b"Transfer-Encoding:\r\n chunked", b"Transfer_Encoding: chunked", b"X: y\r\n z"),
    *(b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding: chunked\x0b", b"Trailer: Host"),
    *(b"Host: gw.test", b"Host: other.test", b"Host: gw.test:80", b"Host:", b"Host: a@b", b"Host"),
    *(b"Connection: close", b"Connection: keep-alive", b"Connection: Content-Length", b"Via: x"),
    *(b"Connection: Transfer-Encoding", b"Connection: Host, X-Forwarded-For", b"Connection: ,"),
    *(b"Expect: 100-continue", b"Expect: foo", b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-x"),
    *(b"X-Forwarded-For: 10.0.0.1", b"X_Forwarded_For: 10.0.0.1", b"Forwarded: for=10.0.0.1"),
    *(b"X-Request-Id: a b", b"X-Request-Id: x", b"traceparent: 00-a", b"tracestate: a=b", b": x"),
    *(b"Authorization: Bearer x", b"Cookie: a=\xff\xfe", b"X-Bytes: \x80\x9f\xff", b"\xff: x"),
)
_SIZE = re.compile(rb"(?<=\r\n)[0-9A-Fa-f]{1,8}(?=[;\r])")
_LENGTH = re.compile(rb"(?i)(content-length: *)(\d+)")


def mutate(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """`data` after one to a few mutations; `others` are messages to take pieces of."""
    for _ in range(1 if chance.random() < 0.5 else chance.randint(2, 5)):
        if chance.random() < 0.08:
            data = _splice(data, chance, chance.choice(others))
        else:
            data = chance.choice(MUTATORS)(data, chance)
    return data


def pieces(data: bytes, chance: Random) -> list[bytes]:
    """`data`, cut as the network might."""
    way = chance.random()
    if way < 0.4 or len(data) < 2:
        return [data]
    if way < 0.9:
        places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 5)))
    else:
        start = chance.randrange(len(data))
        places = list(range(start, min(start + 40, len(data))))
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def _place(data: bytes, chance: Random) -> int:
    """Anywhere, but rather in the head, and rather near a line's end."""
    if not data:
        return 0
    way = chance.random()
    if way < 0.3:
        ends = [m.start() for m in re.finditer(rb"\r\n", data[:4096])]
        if ends:
            return max(0, min(len(data) - 1, chance.choice(ends) + chance.randint(-2, 3)))
    return chance.randrange(len(data) if way > 0.7 else min(len(data), 200))


def _flip(data: bytes, chance: Random) -> bytes:
    if not data:
        return data
    at = _place(data, chance)
    return data[:at] + bytes((data[at] ^ (1 << chance.randrange(8)),)) + data[at + 1 :]


def _set(data: bytes, chance: Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + bytes((chance.choice(BYTES),)) + data[at + 1 :]


def _insert(data: bytes, chance: Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + bytes((chance.choice(BYTES),)) + data[at:]


def _token(data: bytes, chance: Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.choice(TOKENS) + data[at + chance.choice((0, 0, 1, 4)) :]


def _delete(data: bytes, chance: Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at + chance.choice((1, 1, 2, 5, 20)) :]


def _repeat(data: bytes, chance: Random) -> bytes:
    at = _place(data, chance)
    part = data[at : at + chance.choice((1, 2, 5, 20, 60))]
    times = chance.choice((1, 1, 1, 2, 8, 8, 300, 2000))
    return data[:at] + part * min(times, 1 + 40000 // (len(part) + 1)) + data[at:]


def _truncate(data: bytes, chance: Random) -> bytes:
    return data[: _place(data, chance)]


def _splice(data: bytes, chance: Random, other: bytes) -> bytes:
    start = _place(other, chance)
    part = other[start : start + chance.randint(1, 200)]
    at = _place(data, chance)
    return data[:at] + part + data[at + chance.choice((0, len(part))) :]


def _over_lines(change: Callable[[list[bytes], Random], None]) -> Mutator:
    """A mutator of the lines of the head, the first one included."""

    def mutator(data: bytes, chance: Random) -> bytes:
        head, empty, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        change(lines, chance)
        return b"\r\n".join(lines) + empty + body

    return mutator


def _duplicate_line(lines: list[bytes], chance: Random) -> None:
    lines.insert(chance.randint(0, len(lines)), chance.choice(lines))


def _drop_line(lines: list[bytes], chance: Random) -> None:
    del lines[chance.randrange(len(lines))]


def _shuffle_lines(lines: list[bytes], chance: Random) -> None:
    fields = lines[1:]
    chance.shuffle(fields)
    lines[1:] = fields


def _add_field(lines: list[bytes], chance: Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 3))):
        lines.insert(chance.randint(1, len(lines)), chance.choice(FIELDS))


def _many_fields(lines: list[bytes], chance: Random) -> None:
    at = chance.randint(1, len(lines))
    lines[at:at] = [b"X-%d: y" % n for n in range(chance.choice((50, 99, 101, 250)))]


def _change_case(lines: list[bytes], chance: Random) -> None:
    at = chance.randrange(len(lines))
    lines[at] = chance.choice((bytes.upper, bytes.lower, bytes.swapcase))(lines[at])


def _blanks_in_line(lines: list[bytes], chance: Random) -> None:
    at = chance.randrange(len(lines))
    blank = chance.choice((b" ", b"\t", b"  ", b"\x0b", b"\xa0", b" " * 300))
    gap = chance.choice((b":", b" ", b"/", b","))
    lines[at] = lines[at].replace(gap, chance.choice((blank + gap, gap + blank)), 1)


def _line_end(data: bytes, chance: Random) -> bytes:
    ends = [m.start() for m in re.finditer(rb"\r\n", data)]
    if not ends:
        return data
    other = chance.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b"", b"\r\n\r\n", b"\r\n ", b" \r\n"))
    at = chance.choice(ends)
    return data[:at] + other + data[at + 2 :]


def _length(data: bytes, chance: Random) -> bytes:
    """A Content-Length that says something else."""

    def other(match: re.Match[bytes]) -> bytes:
        was = int(match[2][:18])
        value = chance.choice((was + 1, was - 1, was + 40, 0, 1, was * 10, 10**17, 2**64 + was))
        return match[1] + chance.choice((b"%d", b"0%d", b"%d ", b"\t%d", b"%d,", b"%d")) % value

    return _LENGTH.sub(other, data, count=1)


def _size(data: bytes, chance: Random) -> bytes:
    """A chunk's size line that says something else, or says it strangely."""
    found = list(_SIZE.finditer(data))
    if not found:
        return data
    match = chance.choice(found)
    was = int(match[0], 16)
    text = chance.choice(
        (
            *(b"%x" % (was + 1), b"%x" % max(0, was - 1), b"00000%x" % was, b"%X" % was, b"0"),
            *(b"%x;a" % was, b"%x;a=b;c=" % was, b"%x ;a" % was, b'%x;a="\r\n"' % was, b"g"),
            *(b"+%x" % was, b"-%x" % was, b"0x%x" % was, b"%x\n" % was, b"%x\t" % was, b""),
            *(b"%x" % (was + 2**64), b"7fffffffffffffff", b"%x;" % was + b"e" * 300),
        )
    )
    return data[: match.start()] + text + data[match.end() :]


def _rechunk(data: bytes, chance: Random) -> bytes:
    """A body of chunks, of our own mixing, where there was whatever there was."""
    head, _, _ = data.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        head += b"\r\nTransfer-Encoding: chunked"
    body = b""
    for _ in range(chance.choice((0, 1, 2, 3, 200))):
        payload = bytes(chance.choice(b"ab\r\n0;") for _ in range(chance.randint(1, 6)))
        body += b"%x\r\n%b\r\n" % (len(payload), payload)
    last = (b"0\r\n\r\n", b"0\r\n\n", b"0\n\r\n", b"0\r\nX: y\r\n\r\n", b"000\r\n\r\n", b"0\r\n")
    forbidden = (b"0\r\nContent-Length: 3\r\n\r\n", b"0\r\nHost: x\r\n\r\n", b"0\r\n X: y\r\n\r\n")
    return head + b"\r\n\r\n" + body + chance.choice((*last, *last, *forbidden))


MUTATORS: tuple[Mutator, ...] = (
    *(_flip, _set, _insert, _token, _token, _delete, _repeat, _truncate, _line_end, _line_end),
    *(_length, _size, _size, _rechunk),
    *map(
        _over_lines,
        (
            *(_duplicate_line, _drop_line, _shuffle_lines, _add_field, _add_field, _add_field),
            *(_many_fields, _change_case, _blanks_in_line),
        ),
    ),
)
