"""What must hold of an execution and of a batch, as questions about bytes.

Strategy. h11 is asked what it reads in the client's bytes, in a hostile upstream's bytes, and in
what the gateway wrote; with llhttp beside it where the gateway is the writer. The gateway takes a
subset of what h11 takes, so whatever it passed on must be among what h11 reads, in that order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import h11
import httptools
from fuzz.upstream import Hostile, Taken, Wire, token
from rig.parsers import agreed, by_h11, by_llhttp, check_canonical_head

MOST_FOR_H11 = 6000
"""Bytes of hostile input that h11 is asked about: some of it costs it the square of its length."""
_TOKEN = re.compile(rb"tok-[0-9a-f]{16}")
_SERIAL = re.compile(rb"\r\n[Xx]-[Ss]erial: (\d+)\r\n")


@dataclass(frozen=True)
class Answer:
    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    whole: bool

    @property
    def own(self) -> bool:
        """Whether the gateway itself gave it."""
        return (b"content-type", b"application/problem+json") in self.fields


def about_wire(wire: Wire) -> list[str]:
    """What is wrong with what came over one connection to the upstream."""
    if wire.error:
        return [f"the upstream got what is no canonical request: {wire.error} {bytes(wire.tail)!r}"]
    found = []
    stream = b"".join(wire.whole)
    try:
        if len(agreed(stream)) != len(wire.whole):
            found.append(f"the parsers count other requests than {len(wire.whole)} in {stream!r}")
        for raw in wire.whole:
            check_canonical_head(raw[: raw.index(b"\r\n\r\n") + 4])
    except (AssertionError, h11.RemoteProtocolError, httptools.HttpParserError) as error:
        found.append(f"the parsers disagree, or refuse: {error!r} {stream!r}")
    tail = bytes(wire.tail)
    if tail and not (wire.ended or wire.closing):
        found.append(f"an unfinished request stays on a living connection: {tail!r}")
    if tail:
        try:
            for parse in (by_h11, by_llhttp):
                requests, whole = parse(tail)
                if requests or whole:
                    found.append(f"a parser takes an unfinished request for whole: {tail!r}")
        except (h11.RemoteProtocolError, httptools.HttpParserError) as error:
            found.append(f"an unfinished request is none: {error!r} {tail!r}")
    return found


def read_requests(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Method and body of the whole requests that h11 reads in `stream`, up to its first error."""
    found: list[tuple[bytes, bytes]] = []
    rest = stream
    while rest:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 22)
        parser.receive_data(rest.removeprefix(b"\r\n"))
        method, body = b"", b""
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError:
                return found
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return found
            if isinstance(event, h11.Request):
                method = event.method
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return found
        found.append((method, body))
        rest = parser.trailing_data[0]
    return found


def is_subsequence(few: Iterable[object], many: Iterable[object]) -> bool:
    rest = iter(many)
    return all(each in rest for each in few)


def read_answer(data: bytes, method: str, ended: bool) -> tuple[Answer, bytes] | None:
    """The final answer to a `method` request at the beginning of `data`, and what follows it.

    None if not even its head is there. `ended`: an orderly end follows the data. Raises
    h11.RemoteProtocolError for what is no HTTP.
    """
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    if data:
        parser.receive_data(data)
    head: h11.Response | None = None
    body = b""
    told_end = False
    while True:
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError:
            if told_end and head is not None:
                return _answer(head, body, False), b""  # cut by the end
            if told_end:
                return None
            raise
        if event is h11.NEED_DATA:
            if ended and not told_end:
                told_end = True
                parser.receive_data(b"")
                continue
            return None if head is None else (_answer(head, body, False), b"")
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return _answer(head, body, True), parser.trailing_data[0]
        elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return None


def _answer(head: h11.Response, body: bytes, whole: bool) -> Answer:
    fields = tuple((bytes(name), bytes(value)) for name, value in head.headers)
    return Answer(head.status_code, fields, body, whole)


def about_strangers(received: bytes, address: str, issued: Callable[[bytes], bool]) -> list[str]:
    """Whether somebody from `address` read what was made for somebody else."""
    own = token(address).encode()
    foreign = {t for t in _TOKEN.findall(received) if t != own and issued(t)}
    return [f"{address} was told what is for others: {foreign} in {received!r}"] if foreign else []


def about_answers(
    received: bytes, ended: str, address: str, taken: dict[int, Taken], sent: bytes
) -> list[str]:
    """What is wrong with the answers to mutated requests from `address`, all that it was told."""
    rest = received
    last = 0
    while rest:
        head, empty, body = rest.partition(b"\r\n\r\n")
        if not empty:
            return (
                [] if ended != "closed" else [f"an answer ends in its head: {rest!r} to {sent!r}"]
            )
        serial = _SERIAL.search(head + b"\r\n")
        method = "GET"
        if serial is not None:
            answered = taken.get(int(serial[1]))
            if answered is None or answered.address != address or answered.serial <= last:
                return [f"{address} got an answer that is another's, or out of order: {rest!r}"]
            last = answered.serial
            method = answered.method.decode()
        elif b"application/problem+json" in head and not body.startswith(b"{"):
            method = "HEAD"  # only a HEAD is told about a body that does not follow
        try:
            found = read_answer(rest, method, ended == "closed")
        except h11.RemoteProtocolError as error:
            return [f"the gateway's answer is no HTTP: {error} in {rest!r} to {sent!r}"]
        if found is None:
            return []
        answer, rest = found
        if not answer.whole:
            return [] if ended != "closed" else [f"a cut answer ended well: {head!r} to {sent!r}"]
    return []


def about_passing(taken: list[Taken], sent: bytes) -> list[str]:
    """Whether what the upstream got from one client is what h11 reads in that client's bytes."""
    if not taken or len(sent) > MOST_FOR_H11:
        return []
    got = [(each.method, each.body) for each in taken]
    read = read_requests(sent)
    if is_subsequence(got, read):
        return []
    return [f"passed on {got!r}, h11 reads {read!r} in {sent!r}"]


def about_relaying(received: bytes, ended: str, method: str, script: Hostile) -> list[str]:
    """Whether a complete answer is one that h11 reads in what the hostile upstream sent."""
    try:
        found = read_answer(received, method, ended == "closed")
    except h11.RemoteProtocolError as error:
        return [f"the gateway's answer is no HTTP: {error} in {received!r} of {script!r}"]
    if found is None:
        return []
    answer, surplus = found
    if surplus:
        return [f"bytes follow the only answer: {received!r} of {script!r}"]
    if not answer.whole or answer.own or len(script.wire) > MOST_FOR_H11 * 2:
        return []
    try:
        sent = read_answer(script.wire, method, script.end == "close")
    except h11.RemoteProtocolError as error:
        return [f"relayed {answer!r}, h11 refuses it: {error} in {script!r}"]
    if sent is None or not sent[0].whole:
        return [f"relayed as whole {answer!r}, what is cut in {script!r}"]
    if (answer.status, answer.body) != (sent[0].status, sent[0].body):
        return [f"relayed {answer!r}, h11 reads {sent[0]!r} in {script!r}"]
    return []
