"""What the black-box suite sends its cases through: client → gateway → recording upstream."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from rig.client import Client
from rig.gateway import Gateway
from rig.parsers import agreed, check_canonical_head
from rig.upstream import RecordingUpstream, Request

ADDED = {
    "x-forwarded-proto": "http",
    "via": "1.1 gwd",
}
"""Fields that the gateway adds to every request, beside those that depend on it."""
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


@dataclass
class Rig:
    gateway: Gateway
    upstream: RecordingUpstream
    token: str
    """A good one, for the routes under /secured; its subject is ada."""

    def client(self, source: str | None = None) -> Client:
        return Client(self.gateway.address, source=source)

    def settle(self) -> None:
        """Send one request that must succeed: what was sent to the upstream before it has come,
        and nothing that was left in a connection answers it."""
        with self.client() as client:
            answer = client.get("/barrier", "Connection: close")
        assert (answer.status, answer.body) == (200, b"ok\n")

    def recorded(self) -> list[Request]:
        """What the upstream got besides our own probes, each checked to be one canonical request
        to both parsers."""
        ours = ("/barrier", "/after")
        requests = [r for r in self.upstream.requests if r.target not in ours]
        for request in requests:
            check_canonical_head(request.head)
            (parsed,) = agreed(request.raw)
            assert parsed.body == request.body
            assert parsed.target == request.target.encode("latin-1")
        return requests


def check_fields(
    request: Request,
    *,
    host: str,
    source: str,
    fields: tuple[str, ...],
    framing: list[tuple[str, str]],
    forwarded: dict[str, str],
    request_id: str | None,
) -> None:
    """The fields of `request` are exactly the client's end-to-end `fields`, `framing`, and those
    that the gateway adds: nothing is lost, doubled, or let through."""
    added = ADDED | {"x-forwarded-for": source} | ({"x-forwarded-host": host} if host else {})
    expected = Counter(
        [
            ("host", host),
            *framing,
            *(added | forwarded).items(),
            *((name.lower(), value.strip(" ")) for name, _, value in map(_split, fields)),
        ]
    )
    got = Counter(request.fields)
    identity = [("x-request-id", ID), ("traceparent", TRACE)]
    for name, pattern in identity:
        if name not in forwarded:
            value = request.get(name)
            assert value is not None, name
            assert pattern.fullmatch(value), (name, value)
            expected[(name, value)] += 1
    assert got == expected
    assert request.get("x-request-id") == request_id


def _split(field: str) -> tuple[str, str, str]:
    return field.partition(":")
