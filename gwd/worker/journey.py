"""The journey of a request, from its head to who answers it.

    accept → read head → shed (ban, limit) → match route → authenticate → authorise
    → choose endpoint → exchange with upstream (retry, stream) → answer → account

`Journey.begin` is the middle of that sentence: it reads top to bottom, each step may end the
journey by a `Refusal`, and none of them waits. What comes before it (accept, read) and after it
(answer, account) are methods of `ClientConnection`; the exchange is `gwd.upstream.exchange`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain, count
from typing import TYPE_CHECKING

from gwd.http.forwarding import client_address, forwarding_lines
from gwd.http.head import RequestHead
from gwd.http.problem import Refusal
from gwd.http.target import SERVED
from gwd.http.websocket import SWITCH_LINES, read_handshake
from gwd.policies import Request
from gwd.routing.table import Match
from gwd.upstream.exchange import Exchange
from gwd.upstream.upgrade import UpgradeExchange
from gwd.worker.fanout import FanOut, parts_lines

if TYPE_CHECKING:
    from gwd.policies import Visitor
    from gwd.upstream.upstream import Upstream
    from gwd.worker.client import ClientConnection
    from gwd.worker.process import Worker
    from gwd.worker.tables import Route, Tables

_SLASH = Refusal(400, "encoded_slash", "The path holds an encoded slash, which this route refuses.")
_NOT_READY = Refusal(503, "not_ready", "The gateway is stopping.", (("Retry-After", "1"),))


_HEX = tuple(f"{number:02x}" for number in range(256))


def identities() -> Iterator[str]:
    """Request ids, 32 hex digits each: a random start per process, then a counter.

    Unique and unguessable enough to find a request again; no secret rests on them.
    """
    prefix = os.urandom(8).hex()
    # 48 bits, so that 64 are never used up; and never 0, which is no span's id.
    first = int.from_bytes(os.urandom(6), "big") + 1
    # What 256 of them have in common is formatted once.
    blocks = map(f"{prefix}{{:014x}}".format, count(first))
    return chain.from_iterable(map(_ids_of, blocks))


def _ids_of(block: str) -> Iterator[str]:
    return map(block.__add__, _HEX)


class Journey:
    """The journeys of one worker."""

    __slots__ = ("_ids", "_latest", "_worker")

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._ids = identities()
        self._latest = ""
        """The id given last. A trace that begins here has it, too."""

    def begin(self, client: ClientConnection, head: RequestHead) -> None:
        tables = client.tables
        client.request_id = self._latest = next(self._ids)
        peer = visitor = client.peer
        if peer.trusted:
            visitor = self._believe(client, head, tables)
        client.visitor = visitor
        path = head.path
        if path == tables.ready_path:
            self._tell_ready(client)
            return
        refusal = visitor.refusal
        if refusal is None:
            refusal = tables.shed.judge(visitor, client.remote, client.started_ns)
        if refusal is not None:
            self._turn_away(client, refusal)
            return

        match = tables.routing.match(head.host, head.method, path)
        if not isinstance(match, Match):
            if path == "*":
                client.respond(204, SERVED, b"")
            else:
                client.refuse(match)
            return
        route = client.route = tables.routes[match.index]
        if head.encoded_slash and not route.keeps_slash:
            client.refuse(_SLASH)
            return

        added = b""
        if route.policies:
            request = Request(head, client.visitor, route.name, match.captures)
            for policy in route.policies:
                refusal = policy(request)
                if refusal is not None:
                    client.refuse(refusal)
                    return
            client.subject = request.subject
            added = b"".join(request.added)

        if route.upstream is not None:
            self._forward(client, route, route.upstream, head, match.captures, added)
        elif route.plan is not None:
            self._fan_out(client, route, head, match.captures, added)
        else:
            self._respond(client, route, head, match.captures)

    def malformed(self, client: ClientConnection, refusal: Refusal) -> None:
        """What came is no request: it counts like one all the same (DESIGN: every head counts)."""
        client.request_id = next(self._ids)
        if self._admits(client, client.peer):
            client.refuse(refusal)

    def arrives(self, client: ClientConnection, head: RequestHead) -> bool:
        """What comes before any route: for journeys that end before one. Whether it goes on."""
        client.request_id = next(self._ids)
        visitor = client.peer
        if visitor.trusted:
            visitor = self._believe(client, head, client.tables)
        return self._admits(client, visitor)

    # shed

    def _admits(self, client: ClientConnection, visitor: Visitor) -> bool:
        """Whether the request of `visitor` goes on; else it has ended. `begin` has these steps
        among its own, where each call counts."""
        client.visitor = visitor
        refusal = visitor.refusal
        if refusal is None:
            refusal = client.tables.shed.judge(visitor, client.remote, client.started_ns)
        if refusal is not None:
            self._turn_away(client, refusal)
        return refusal is None

    def _believe(self, client: ClientConnection, head: RequestHead, tables: Tables) -> Visitor:
        """Let a trusted proxy say who asks, and by which id."""
        peer = client.peer
        address = client_address(peer.ip, head, tables.trusted)
        if head.request_id is not None:
            client.request_id = head.request_id.decode("ascii")
        return peer if address == peer.ip else tables.visitor(address)

    def _turn_away(self, client: ClientConnection, refusal: Refusal) -> None:
        """End the request here. A banned peer gets no answer, if bans cut."""
        is_peer = client.visitor is client.remote
        if refusal.reason == "banned" and is_peer and client.tables.shed.cuts:
            client.turn_away()
        else:
            client.refuse(refusal)

    # who answers

    def _forward(
        self,
        client: ClientConnection,
        route: Route,
        upstream: Upstream,
        head: RequestHead,
        captures: tuple[str, ...],
        added: bytes,
    ) -> None:
        body, whole = b"", True
        start = head.line
        try:
            if head.has_body:
                if head.upgrade:
                    self._switch(client, route, upstream, head, captures, added)
                    return
                body, whole = client.open_body(route.max_body)
            if route.rewrite is not None:
                start = _rewritten(route.rewrite, head, captures)
        except Refusal as refusal:
            client.refuse(refusal)
            return
        if head.chunked:
            added += b"Transfer-Encoding: chunked\r\n"
        elif head.content_length >= 0:
            added += b"Content-Length: %d\r\n" % head.content_length
        own = self._own_lines(client, head, added)
        exchange = client.pending = Exchange(
            upstream, client, head, start, own, route.timeout, client.started_ns, body, whole
        )
        exchange.set_out()

    def _switch(
        self,
        client: ClientConnection,
        route: Route,
        upstream: Upstream,
        head: RequestHead,
        captures: tuple[str, ...],
        added: bytes,
    ) -> None:
        """Pass a WebSocket handshake on. Raises Refusal (400, 426) if it is none."""
        handshake = read_handshake(head)
        start = head.line
        if route.rewrite is not None:
            start = _rewritten(route.rewrite, head, captures)
        own = self._own_lines(client, head, added + SWITCH_LINES)
        exchange = client.pending = UpgradeExchange(
            upstream, client, head, start, own, handshake, route.timeout, client.started_ns
        )
        exchange.set_out()

    def _fan_out(
        self,
        client: ClientConnection,
        route: Route,
        head: RequestHead,
        captures: tuple[str, ...],
        added: bytes,
    ) -> None:
        try:
            # A body has no part it could go to; what comes with a GET is read and dropped.
            client.open_body(route.max_body)
            added += b"Accept: application/json\r\n"
            lines, own = parts_lines(head.lines), self._own_lines(client, head, added)
            fanout = FanOut(self._worker, client, route, head, captures, lines, own)
        except Refusal as refusal:
            client.refuse(refusal)
            return
        client.pending = fanout
        fanout.start()

    def _respond(
        self,
        client: ClientConnection,
        route: Route,
        head: RequestHead,
        captures: tuple[str, ...],
    ) -> None:
        respond = route.respond
        assert respond is not None
        headers = respond.headers
        if route.redirect is not None:
            location = route.redirect(captures) + head.query
            headers = (*headers, ("Location", location))
        client.respond(respond.status, headers, respond.body)

    def _tell_ready(self, client: ClientConnection) -> None:
        if self._worker.serving():
            client.respond(200, (("Content-Type", "text/plain"),), b"ready\n")
        else:
            client.refuse(_NOT_READY)

    def _own_lines(self, client: ClientConnection, head: RequestHead, added: bytes) -> bytes:
        """The end of the upstream's request head: `added`, and what the gateway itself says."""
        authority = head.authority
        if client.told != authority or not head.minor:
            lines = forwarding_lines(
                client.peer.ip,
                client.peer.trusted,
                client.scheme,
                head,
                client.tables.snapshot.server.forwarded,
            )
            client.telling = (lines + client.certified).decode("latin-1")
            # What a trusted proxy tells may be another client's the next time.
            client.told = authority if head.minor and not client.peer.trusted else None
        trace = head.traceparent
        if trace is None:
            # A trace begins here (W3C Trace Context, not sampled): its id is the request's, that
            # of its first span the second half of it.
            trace_id = self._latest
            own = (
                f"{client.telling}X-Request-Id: {client.request_id}\r\n"
                f"traceparent: 00-{trace_id}-{trace_id[16:]}-00\r\n\r\n"
            )
        else:
            own = (
                f"{client.telling}X-Request-Id: {client.request_id}\r\n"
                f"traceparent: {trace.decode('latin-1')}\r\n\r\n"
            )
        wire = own.encode("latin-1")
        return added + wire if added else wire


def _rewritten(
    rewrite: Callable[[str, tuple[str, ...]], str], head: RequestHead, captures: tuple[str, ...]
) -> bytes:
    """The request line of a route that rewrites paths. Raises Refusal if the captures make none."""
    return f"{head.method} {rewrite(head.path, captures)}{head.query} HTTP/1.1\r\n".encode()
