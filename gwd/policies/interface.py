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
from gwd.policies.shed import Visitor

NO_SCOPES: frozenset[str] = frozenset()


class Request:
    """A request on its way to the upstream, after its route is known.

    `visitor` is whom it comes from: behind a trusted proxy its client, under the one spelling of
    its address. `captures` are the route's, still percent-encoded. `added` holds whole field lines
    ("Name: value\\r\\n") for the upstream. `claims` is None and `subject` empty as long as nobody
    has been authenticated; `scopes` are those of the token.
    """

    __slots__ = ("added", "captures", "claims", "head", "route", "scopes", "subject", "visitor")

    def __init__(
        self, head: RequestHead, visitor: Visitor, route: str, captures: tuple[str, ...] = ()
    ) -> None:
        self.head = head
        self.visitor = visitor
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
