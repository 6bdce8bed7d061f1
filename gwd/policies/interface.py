"""What a policy is: one call per request, which lets it pass or answers in its place.

A policy is built once, from the plain snapshot, when a child prepares its tables; per request it
reads a `Request` and may write into it what later steps need (claims, lines for the upstream).
It returns a `Refusal` and never raises one: a verdict is a value. `str(policy)` is the step as
`gwd explain` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gwd.http.head import RequestHead
from gwd.http.problem import Refusal

NO_SCOPES: frozenset[str] = frozenset()


class Request:
    """A request on its way to the upstream, after its route is known.

    `captures` are the route's, still percent-encoded. `added` holds whole field lines
    ("Name: value\\r\\n") for the upstream. `claims` is None and `subject` empty as long as nobody
    has been authenticated; `scopes` are those of the token.
    """

    __slots__ = ("added", "captures", "claims", "client_ip", "head", "route", "scopes", "subject")

    def __init__(
        self, head: RequestHead, client_ip: str, route: str, captures: tuple[str, ...] = ()
    ) -> None:
        self.head = head
        self.client_ip = client_ip
        self.route = route
        self.captures = captures
        self.claims: Mapping[str, Any] | None = None
        self.scopes = NO_SCOPES
        self.subject = ""
        self.added: list[bytes] = []


class Policy(Protocol):
    """Anything that can judge a request. It never raises."""

    def __call__(self, request: Request, /) -> Refusal | None:
        """None: the request goes on. A refusal: it ends here, with that answer."""
