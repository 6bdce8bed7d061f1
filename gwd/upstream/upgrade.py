"""An exchange that asks the upstream to switch to WebSocket.

Strategy. Up to the answer's head it is an exchange like any other: it chooses, waits, moves and
retries by the same rules, within the same times. Then either a final answer comes, which is relayed
as such; or a 101, which is checked against the client's handshake, and the transport goes to the
sink, as a tunnel. Nothing the client sent behind its head has gone out by then.

Invariant: a connection that was given away stays counted at its endpoint, among those in flight and
those open, until `Connection.part`.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Protocol

from gwd.http.head import RequestHead, SwitchHead
from gwd.http.websocket import Handshake, check_switch
from gwd.upstream.connection import Connection
from gwd.upstream.exchange import Exchange
from gwd.upstream.sink import Sink
from gwd.upstream.upstream import Upstream


class SwitchSink(Sink, Protocol):
    """A sink that asked for a switch: `switched` may come in place of `answer` and `failed`."""

    def switched(self, head: SwitchHead, rest: bytes, connection: Connection) -> None:
        """The upstream has switched, properly; `rest` is what came behind the head. From here on
        `connection` is the sink's, to `hand_over`."""


class UpgradeExchange(Exchange):
    """One handshake on its way to `upstream` for `sink`. It has no body."""

    __slots__ = ("_handshake", "_switch_sink")

    def __init__(
        self,
        upstream: Upstream,
        sink: SwitchSink,
        head: RequestHead,
        start: bytes,
        own: bytes,
        handshake: Handshake,
        timeout: float | None,
        now_ns: int,
    ) -> None:
        """As `Exchange`; `own` has Upgrade and Connection."""
        super().__init__(upstream, sink, head, start, own, timeout, now_ns)
        # For the pool: a connection that is to live long has to be alive, as for a POST.
        self.idempotent = False
        self._handshake = handshake
        self._switch_sink = sink

    def _may_repeat(self) -> bool:
        return True  # a GET all the same, and without a body

    def switched(self, head: SwitchHead, rest: bytes) -> None:
        check_switch(head, self._handshake)
        connection, endpoint = self.connection, self.endpoint
        assert connection is not None
        assert endpoint is not None
        self.answered_ns = now = monotonic_ns()
        endpoint.answered(now - self._sent_ns)
        self.endpoint = None  # it is not left yet
        self._end()
        # What is kept of it is what the log will tell: a tunnel holds no config, and no head.
        del self.config, self.head
        self.connection = None
        self._start = self._own = b""
        self._switch_sink.switched(head, rest, connection)
