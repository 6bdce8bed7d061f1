"""The journey of a request, from its head to who answers it.

    accept → read head → shed (ban, limit) → match route → authenticate → authorise
    → choose endpoint → exchange with upstream (retry, stream) → answer → account

`Journey.begin` is the middle of that sentence: it reads top to bottom, each step may end the
journey by a `Refusal`, and none of them waits. What comes before it (accept, read) and after it
(answer, account) are methods of `ClientConnection`; the exchange is `gwd.upstream.exchange`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gwd.http.forwarding import client_address, forwarding_lines
from gwd.http.head import RequestHead
from gwd.http.problem import Refusal
from gwd.http.target import SERVED
from gwd.policies import Request
from gwd.routing.table import Match
from gwd.upstream.exchange import Exchange
from gwd.worker.fanout import FanOut, parts_lines

if TYPE_CHECKING:
    from gwd.upstream.upstream import Upstream
    from gwd.worker.client import ClientConnection
    from gwd.worker.process import Worker
    from gwd.worker.tables import Route, Tables

_SLASH = Refusal(400, "encoded_slash", "The path holds an encoded slash, which this route refuses.")
_NOT_READY = Refusal(503, "not_ready", "The gateway is stopping.", (("Retry-After", "1"),))


class Identity:
    """Request ids and trace contexts: a random start per process, then a counter.

    Unique and unguessable enough to find a request again; no secret rests on them.
    """

    __slots__ = ("_count", "_prefix", "request_id")

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        # 48 bits, so that 64 are never used up; and never 0, which is no span's id.
        self._count = int.from_bytes(os.urandom(6), "big") + 1
        self.request_id = ""

    def next(self) -> str:
        """A new request id, 32 hex digits."""
        self._count = count = self._count + 1
        self.request_id = request_id = f"{self._prefix}{count:016x}"
        return request_id

    def traceparent(self) -> bytes:
        """A trace that begins with the request of the latest id (W3C Trace Context, not sampled):
        the request id is the trace id, its second half the span's."""
        own = self.request_id.encode()
        return b"00-%b-%b-00" % (own, own[16:])


class Journey:
    """The journeys of one worker."""

    __slots__ = ("_identity", "_worker")

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._identity = Identity()

    def begin(self, client: ClientConnection, head: RequestHead) -> None:
        tables = client.tables
        client.request_id = self._identity.next()
        if client.peer.trusted:
            self._believe(client, head, tables)
        if head.path == tables.snapshot.server.ready_path:
            self._tell_ready(client)
            return
        if self._shed(client, client.visitor.refusal):
            return
        if head.path == "*":
            client.respond(204, SERVED, b"")
            return

        match = tables.routing.match(head.host, head.method, head.path)
        if not isinstance(match, Match):
            client.refuse(match)
            return
        route = client.route = tables.routes[match.index]
        if head.encoded_slash and not route.keeps_slash:
            client.refuse(_SLASH)
            return

        added: list[bytes] = []
        if route.policies:
            request = Request(head, client.visitor, route.name, match.captures)
            for policy in route.policies:
                refusal = policy(request)
                if refusal is not None:
                    client.refuse(refusal)
                    return
            client.subject = request.subject
            added = request.added

        if route.upstream is not None:
            self._forward(client, route, route.upstream, head, match.captures, added)
        elif route.plan is not None:
            self._fan_out(client, route, head, match.captures, added)
        else:
            self._respond(client, route, head, match.captures)

    def malformed(self, client: ClientConnection, refusal: Refusal) -> None:
        """What came is no request: it counts like one all the same (DESIGN: every head counts)."""
        client.request_id = self._identity.next()
        if not self._shed(client, client.visitor.refusal):
            client.refuse(refusal)

    def arrives(self, client: ClientConnection, head: RequestHead) -> bool:
        """What comes before any route: for journeys that end before one. Whether it goes on."""
        client.request_id = self._identity.next()
        if client.peer.trusted:
            self._believe(client, head, client.tables)
        return not self._shed(client, client.visitor.refusal)

    # shed

    def _believe(self, client: ClientConnection, head: RequestHead, tables: Tables) -> None:
        """Let a trusted proxy say who asks, and by which id."""
        address = client_address(client.peer.ip, head, tables.trusted)
        if address != client.peer.ip:
            client.visitor = tables.visitor(address)
        if head.request_id is not None:
            client.request_id = head.request_id.decode("ascii")

    def _shed(self, client: ClientConnection, refusal: Refusal | None) -> bool:
        """Whether the visitor ends here: `refusal` is what its address has met already."""
        shed, visitor = client.tables.shed, client.visitor
        is_peer = visitor is client.remote
        if refusal is None:
            refusal = shed(visitor, client.started_ns // 1000, is_peer)
            if refusal is None:
                return False
            if is_peer and refusal.reason == "banned" and shed.cuts:
                client.turn_away()
                return True
        client.refuse(refusal)
        return True

    # who answers

    def _forward(
        self,
        client: ClientConnection,
        route: Route,
        upstream: Upstream,
        head: RequestHead,
        captures: tuple[str, ...],
        added: list[bytes],
    ) -> None:
        body, whole = b"", True
        path = head.path
        try:
            if head.has_body:
                body, whole = client.open_body(route.max_body)
            if route.rewrite is not None:
                path = route.rewrite(path, captures)
        except Refusal as refusal:
            client.refuse(refusal)
            return
        if head.chunked:
            added.append(b"Transfer-Encoding: chunked\r\n")
        elif head.content_length >= 0:
            added.append(b"Content-Length: %d\r\n" % head.content_length)
        exchange = client.pending = Exchange(
            upstream,
            client,
            self._worker.clock,
            head.method,
            f"{head.method} {path}{head.query} HTTP/1.1\r\n".encode(),
            head.host_line,
            self._tail(client, head.lines, head, added),
            head.chunked,
            route.timeout,
            self._worker.settings.write_timeout,
        )
        exchange.start(body, whole)

    def _fan_out(
        self,
        client: ClientConnection,
        route: Route,
        head: RequestHead,
        captures: tuple[str, ...],
        added: list[bytes],
    ) -> None:
        try:
            # A body has no part it could go to; what comes with a GET is read and dropped.
            client.open_body(route.max_body)
            added.append(b"Accept: application/json\r\n")
            tail = self._tail(client, parts_lines(head.lines), head, added)
            fanout = FanOut(self._worker, client, route, head, captures, tail)
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

    def _tail(
        self, client: ClientConnection, lines: bytes, head: RequestHead, added: list[bytes]
    ) -> bytes:
        """The upstream's request from behind Host on: the fields `lines`, and what the gateway
        itself says about the request."""
        key = head.authority
        if client.told is not key or client.peer.trusted or not head.minor:
            client.telling = forwarding_lines(
                client.peer.ip,
                client.peer.trusted,
                client.scheme,
                head,
                client.tables.snapshot.server.forwarded,
            )
            client.telling += client.certified
            client.told = key if head.minor else None
        return b"".join(
            (
                lines,
                *added,
                client.telling,
                b"X-Request-Id: ",
                client.request_id.encode(),
                b"\r\ntraceparent: ",
                head.traceparent or self._identity.traceparent(),
                b"\r\n\r\n",
            )
        )
