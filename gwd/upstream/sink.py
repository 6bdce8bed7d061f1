"""Who asks an upstream, and what it is told."""

from __future__ import annotations

from typing import Protocol

from gwd.http.head import ResponseHead
from gwd.http.problem import Refusal

_REFUSALS = {
    "connect_failed": (502, "No connection could be made to the service."),
    "connect_timeout": (504, "The service did not accept a connection in time."),
    "upstream_closed": (502, "The service closed the connection without an answer."),
    "upstream_timeout": (504, "The service did not answer in time."),
    "upstream_write_timeout": (504, "The service did not read the request in time."),
    "no_healthy_endpoint": (503, "No instance of the service can answer at the moment."),
    "queue_full": (503, "Too many requests wait for the service."),
    "pending_timeout": (503, "No connection to the service became free in time."),
}
"""What befell an exchange, by the word that the log carries as its reason."""


def failure(reason: str) -> Refusal:
    status, detail = _REFUSALS[reason]
    headers = (("Retry-After", "1"),) if status == 503 else ()
    return Refusal(status, reason, detail, headers)


class Sink(Protocol):
    """Who asked. Exactly one of `answer`, `failed` comes first; after `answer(…, False)` come
    `answer_data` until its `last` is True, or `cut`."""

    def answer(self, head: ResponseHead, data: bytes, last: bool) -> None: ...

    def answer_data(self, data: bytes, last: bool) -> None: ...

    def failed(self, refusal: Refusal) -> None:
        """There will be no answer; nothing was delivered."""

    def cut(self, refusal: Refusal) -> None:
        """The answer broke off after its head: it must not look complete (SEC-22)."""

    def body_wanted(self) -> None:
        """A connection carries the request now, and its body is not all here."""

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...
