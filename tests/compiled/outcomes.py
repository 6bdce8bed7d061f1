"""What the gwd that is found here makes of the corpora, of mutations of them, and of any pieces.

    python outcomes.py SEED NUMBER [planted]

writes one line for the form that was found and one per input: everything that readers of heads and
bodies, the routing table and the forwarding rules come to, whichever exception it may be. `planted`
changes one bound first, in plain source only, to show that a difference is seen.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).parents[1] / "end_to_end"))

from fuzz.mutations import mutate, pieces
from fuzz.seeds import OWN_REQUESTS, RESPONSES, public

from gwd.config.snapshot import Route
from gwd.http import bodies, gate
from gwd.http.addresses import Networks
from gwd.http.bodies import request_body, response_body
from gwd.http.fields import GatePolicy
from gwd.http.forwarding import client_address, forwarding_lines
from gwd.http.gate import RequestReader, ResponseReader
from gwd.http.head import RequestHead, ResponseHead
from gwd.http.problem import Refusal
from gwd.routing.table import Match, RouteTable
from gwd.worker.framing import frame, open_head

POLICIES = (
    GatePolicy(),
    GatePolicy(2048, 12, 200, "reject", frozenset({b"x-user-id"})),
    GatePolicy(odd_names="pass"),
)
"""Shared by all inputs, as all connections of a worker share theirs: what was learnt matters."""


def route(host: str | None, path: str, *methods: str) -> Route:
    return Route(
        name=path,
        host=host,
        path=path,
        methods=methods,
        auth=(),
        auth_optional=False,
        scopes=(),
        timeout=None,
        max_body=None,
        encoded_slash="reject",
        upstream="any",
        rewrite=None,
        parts=(),
        respond=None,
        line=0,
    )


ROUTES = RouteTable(
    [
        route(None, "/*"),
        route(None, "/r/{id}", "GET", "POST"),
        route("*.test", "/keep/{id}/*"),
        route("gw.test", "/own/{a}/x/{b}", "GET"),
        route("gw.test", "/own/*"),
    ]
)
PROXIES = Networks(["127.0.0.0/8", "10.0.0.0/8"])


def values(head: RequestHead | ResponseHead) -> list[object]:
    """Every attribute, be it a slot or a constant of the class: compiled, both are alike."""
    values = [(name, getattr(head, name, "unset")) for name in dir(head) if name[0] != "_"]
    return [(name, value) for name, value in values if not callable(value)]


def requests(said: list[object], pieces: list[bytes], policy: GatePolicy) -> None:
    """Put down all that one connection's reader says, request after request."""
    reader = RequestReader(policy)
    body = None
    parts = [*reversed(pieces)]
    while parts:
        data = parts.pop()
        if body is None:
            head = reader.feed(data)
            said.append((reader.pending, reader.rest))
            if head is None:
                continue
            said.append(values(head))
            said.append(client_address("127.0.0.1", head, PROXIES))
            said.append(forwarding_lines("127.0.0.1", True, "http", head, True))
            match = ROUTES.match(head.host, head.method, head.path)
            if isinstance(match, Match):
                said.append((match.index, match.captures))
            else:
                said.append((match.status, match.reason, match.headers))
            body = request_body(head, 30_000)
            data = reader.rest
            if body is None:
                if data:
                    parts.append(data)
                continue
        said.append((body.feed(data), body.done, body.received, body.rest))
        if body.done:
            if body.rest:
                parts.append(body.rest)
            body = None
    if body is not None:
        body.eof()


def responses(said: list[object], pieces: list[bytes], method: str, asked: RequestHead) -> None:
    """Put down all that one upstream's reader says to the answer of one request."""
    reader = ResponseReader(4096, 20)
    body = None
    for data in pieces:
        if body is None:
            head = reader.feed(data, method)
            while head is not None and head.interim:
                said.append(values(head))
                head = reader.feed(reader.rest, method)
            said.append((reader.pending, reader.rest))
            if head is None:
                continue
            said.append(values(head))
            framing = frame(asked, head, len(reader.rest), False)
            said.append((framing, open_head(head, framing)))
            body = response_body(head)
            if body is None:
                return
            data = reader.rest
        said.append((body.feed(data), body.done, body.received, body.rest))
        if body.done:
            return
    if body is not None:
        body.eof()


def outcome(number: int, data: bytes, cut: list[bytes], answers: bool, asked: RequestHead) -> str:
    said: list[object] = []
    end = "passed"
    try:
        if answers:
            responses(said, cut, ("GET", "HEAD", "POST")[number % 3], asked)
        else:
            requests(said, cut, POLICIES[number % len(POLICIES)])
    except Refusal as refusal:
        end = "refused"
        said.append((refusal.status, refusal.reason, refusal.detail, refusal.close))
    except Exception as error:
        end = f"failed by {type(error).__name__}"
    digest = hashlib.sha256(repr(said).encode()).hexdigest()[:16]
    return f"{end} {digest} {data[:200]!r}"


def main(seed: int, number: int, planted: bool) -> None:
    if planted:
        bodies.MOST_SIZE_LINE = 5
    print(gate.__file__)
    chance = Random(seed)
    asked = RequestReader(GatePolicy()).feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert asked is not None
    for answers, seeds in ((False, [*OWN_REQUESTS, *public()]), (True, [*RESPONSES])):
        for at in range(number + len(seeds)):
            data = seeds[at] if at < len(seeds) else chance.choice(seeds)
            if at >= len(seeds) and chance.random() < 0.8:
                data = mutate(data, chance, seeds)
            data = data.replace(b"{id}", b"%020d" % chance.randrange(99))
            cut = pieces(data, chance) if chance.random() < 0.5 else [data]
            print(outcome(at, data, cut, answers, asked))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "planted" in sys.argv)
