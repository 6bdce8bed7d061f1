"""Journeys that end early because of the listener or the name by which a client came in.

Strategy. What differs by connection is decided once, when it opens: it gets one of these in place
of the plain journey, which knows nothing of them. Like every head, those that end here count on the
limits of their address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gwd.http.head import RequestHead
from gwd.http.problem import Refusal
from gwd.http.scan import malformed
from gwd.http.target import SERVED
from gwd.worker.journey import Journey

if TYPE_CHECKING:
    from gwd.worker.client import ClientConnection
    from gwd.worker.process import Worker

HTTPS_PORT = 443
_MISDIRECTED = Refusal(
    421, "misdirected", "This connection was opened for another host than the request names."
)


class NamedJourney(Journey):
    """For connections over TLS whose client named a host in its handshake: requests for another
    one are answered 421 (RFC 9110 §15.5.20, SECURITY §6). What a client without a name gets it
    knows; and HTTP/1.0 without a host disagrees with nobody."""

    __slots__ = ()

    def begin(self, client: ClientConnection, head: RequestHead) -> None:
        if head.host == client.server_name or not head.host:
            Journey.begin(self, client, head)
        elif self.arrives(client, head):
            client.refuse(_MISDIRECTED)


class RedirectJourney(Journey):
    """For listeners with `redirect_https`: every request is sent to the same URL there. 308, so
    that a POST stays one (RFC 9110 §15.4.9)."""

    __slots__ = ("_port",)

    def __init__(self, worker: Worker, port: int) -> None:
        """`port`: where TLS is spoken."""
        super().__init__(worker)
        self._port = "" if port == HTTPS_PORT else f":{port}"

    def begin(self, client: ClientConnection, head: RequestHead) -> None:
        if not self.arrives(client, head):
            return
        if head.path == "*":
            client.respond(204, SERVED, b"")
        elif not head.host:
            client.refuse(malformed("Without a Host there is no URL to be sent to."))
        else:
            location = f"https://{head.host}{self._port}{head.path}{head.query}"
            client.respond(308, (("Location", location),), b"")


class WrongPortJourney(Journey):
    """For clients that speak HTTP where TLS is spoken: they are told so, and nothing else."""

    __slots__ = ()

    def begin(self, client: ClientConnection, head: RequestHead) -> None:
        if self.arrives(client, head):
            client.refuse(malformed("Only HTTPS is spoken on this port."))
