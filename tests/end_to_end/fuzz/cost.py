"""What one read of 256,000 bytes costs in CPU, in process, whatever is in it (SEC-02).

Strategy. A read as large as uvloop's is filled with what parsers are slow at: long runs of blanks,
separators, tiny chunks, thousands of lines, ended and not ended, mutated on top; and it is given to
the readers of the gateway whole and in pieces. The readers must refuse or read it; any other
exception is a finding. Times are of this thread's CPU, so that a busy machine does not matter much,
and they are reported rather than asserted, but for a bound that only quadratic behaviour reaches.

Requests behind each other in one read are served in turns by the worker; here, too, a turn is
`TURN` heads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from fuzz.mutations import BYTES, FIELDS, TOKENS, mutate
from fuzz.seeds import OWN_REQUESTS, RESPONSES, public

from gwd.http.bodies import ChunkedBody
from gwd.http.fields import GatePolicy
from gwd.http.gate import RequestReader, ResponseReader
from gwd.http.problem import Refusal
from gwd.worker.client import TURN

READ = 256_000
"""Bytes that uvloop reads at most at once."""
BOUND = 1.0
"""Seconds of CPU for one read that nothing linear comes near."""
_POLICY = GatePolicy(32768, 100, 8192, "drop", frozenset({b"x-user-id"}))
_WIDE = GatePolicy(READ * 2, 10_000, READ, "forward", frozenset({b"x-user-id"}))
"""Limits so wide that they protect nobody."""

Reader = Callable[[list[bytes]], float]


@dataclass
class CostReport:
    seed: int
    reads: int = 0
    worst: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    """By reader: seconds of the costliest read, and how it begins."""
    findings: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"seed {self.seed}: {self.reads} reads of {READ} bytes, worst CPU in ms"]
        for name, (seconds, begins) in sorted(self.worst.items()):
            lines.append(f"- {name}: {seconds * 1000:.1f}  {begins[:160]!r}")
        return "\n".join([*lines, f"findings: {len(self.findings)}", *self.findings])


def measure(seed: int, count: int) -> CostReport:
    """Give `count` hostile reads to every reader."""
    report = CostReport(seed)
    for number in range(count):
        chance = Random(f"{seed}:{number}:cost")
        for name, (make, read) in _READERS.items():
            data = make(chance)
            cut = [data] if chance.random() < 0.6 else _cut(data, chance)
            report.reads += 1
            try:
                seconds = read(cut)
            except Exception as error:
                report.findings.append(f"{name} {number}: {error!r} of {data[:300]!r}")
                continue
            if seconds > report.worst.get(name, (0.0, b""))[0]:
                seconds = min(seconds, read(cut), read(cut))  # not the caches' first time
            if seconds > report.worst.get(name, (0.0, b""))[0]:
                report.worst[name] = (seconds, data)
            if seconds > BOUND:
                report.findings.append(f"{name} {number}: {seconds:.2f} s of {data[:300]!r}")
    return report


def _cut(data: bytes, chance: Random) -> list[bytes]:
    """A read that comes in pieces costs as much as its pieces together."""
    size = chance.choice((1000, 10_000, 100_000))
    return [data[at : at + size] for at in range(0, len(data), size)]


def _filling(chance: Random, units: tuple[bytes, ...], size: int) -> bytes:
    """One to three runs of repeated units, of `size` bytes together."""
    runs = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        unit = b"".join(chance.choice(units) for _ in range(chance.choice((1, 1, 2, 3))))
        runs.append(unit * (1 + size // len(unit)))
    share = size // len(runs)
    return b"".join(run[:share] for run in runs)


_BITS = tuple(bytes((byte,)) for byte in BYTES)
_HEAD_UNITS = (*_BITS, *TOKENS, *(each + b"\r\n" for each in FIELDS), b"a", b"X: y\r\n", b":\r\n")
_LINES = (
    *(each + b"\r\n" for each in FIELDS if b"\r" not in each and b":" in each),
    *(b"A:" + b" " * 200 + b"b\r\n", b"A: " + b"a b " * 100 + b"\r\n", b"Connection: a, b,c\r\n"),
    *(b"X-Forwarded-For: 1.1.1.1\r\n", b"a:\r\n", b"A:" + b"\t " * 400 + b"\xff\r\n"),
)
"""Whole field lines, most of them allowed."""
_CHUNK_UNITS = (
    *(b"1\r\nx\r\n", b"2\r\nxy\r\n", b"10\r\n0123456789abcdef\r\n", b"1;a=b\r\nx\r\n", b";a", b";"),
    *(b"1;a=b;c=d;e\r\nx\r\n", b"X: y\r\n", b"0\r\n", b"000001\r\nx\r\n", b" ", b"a=b", b"=", b"0"),
    *(b"X:" + b" " * 900 + b"\r\n", b"ffff\r\n", b"\r\n", b"\n", b"\r", b"\t", b"x"),
)
_PUBLIC = public()


def _request(chance: Random) -> bytes:
    if chance.random() < 0.3:
        one = chance.choice((*OWN_REQUESTS, *_PUBLIC))
        if chance.random() < 0.7:
            one = mutate(one, chance, _PUBLIC)
    else:
        begins = (
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"GET /",
            b"",
            b"GET / HTTP/1.1\r\nHost: a\r\nX:",
        )
        one = _head(chance, begins)
    return _filled(one)


def _filled(one: bytes) -> bytes:
    """A read full of `one`."""
    return (one * (1 + READ // max(1, len(one))))[:READ]


def _head(chance: Random, begins: tuple[bytes, ...]) -> bytes:
    """A head of units that may come to an end within what is allowed, or not."""
    size = chance.choice((READ, 65_000, 32_000, 32_000, 8000, 8000, 2000))
    # Only a head with a byte beyond ASCII is shown to h11.
    ends = (
        b"\r\n\r\n",
        b"",
        b"\r\nA: b\x00\r\n\r\n",
        b"\r",
        b"\r\nA: \x80\r\n\r\n",
        b"\x80\r\n\r\n",
    )
    begin, end = chance.choice(begins), chance.choice(ends)
    units = _LINES if chance.random() < 0.3 else _HEAD_UNITS
    return (begin + _filling(chance, units, size))[: size - len(end)] + end


def _response(chance: Random) -> bytes:
    if chance.random() < 0.2:
        one = chance.choice(RESPONSES)
        return (mutate(one, chance, RESPONSES) * READ)[:READ] if one else b""
    begins = (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX:", b"")
    return _filled(_head(chance, begins))


def _chunks(chance: Random) -> bytes:
    begins = (b"", b"1\r\nx\r\n", b"0\r\n", b"1;", b"7ff\r\n")
    return (chance.choice(begins) + _filling(chance, _CHUNK_UNITS, READ))[:READ]


def _timed(step: Callable[[], object]) -> float:
    """Seconds of CPU that `step` takes; a refusal is one way to end."""
    started = time.thread_time()
    try:
        step()
    except Refusal:
        return -(time.thread_time() - started)
    return time.thread_time() - started


def _read_requests(policy: GatePolicy) -> Reader:
    def read(cut: list[bytes]) -> float:
        """The most that `TURN` heads take together, or a head that comes to no end."""
        reader = RequestReader(policy)
        worst = spent = 0.0
        heads = 0

        def step() -> None:
            nonlocal data, heads
            heads += reader.feed(data) is not None
            data = reader.rest

        for data in cut:
            while data:
                seconds = _timed(step)
                spent += abs(seconds)
                if seconds < 0:
                    return max(worst, spent)
                if heads == TURN:
                    worst, spent, heads = max(worst, spent), 0.0, 0
        return max(worst, spent)

    return read


def _read_responses(method: str) -> Reader:
    def read(cut: list[bytes]) -> float:
        reader = ResponseReader()

        def step() -> None:
            for data in cut:
                head = reader.feed(data, method)
                interim = 0
                while head is not None and head.interim and interim < 8:
                    interim += 1
                    head = reader.feed(reader.rest, method)
                if head is not None:
                    return

        return abs(_timed(step))

    return read


def _read_chunks(cut: list[bytes]) -> float:
    body = ChunkedBody(1 << 24, 32768)

    def step() -> None:
        for data in cut:
            body.feed(data)
            if body.done:
                return

    return abs(_timed(step))


_READERS: dict[str, tuple[Callable[[Random], bytes], Reader]] = {
    "requests": (_request, _read_requests(_POLICY)),
    "requests, wide limits": (_request, _read_requests(_WIDE)),
    "responses": (_response, _read_responses("GET")),
    "chunks": (_chunks, _read_chunks),
}
