"""Does a proxy do what it is measured for? One request each, before any load.

A configuration that refused what it should pass, or passed what it should refuse, would have
figures too, and good ones. So the answers to probes must be those of the service itself, or the
refusal that the work is about.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

HOST = "api.example.com"


@dataclass(frozen=True, slots=True)
class Probe:
    """A request and what must come of it. A 2xx must have the body that the service itself gives,
    or, if there are `parts`, the JSON object of these names with the answers of these paths.
    `status` 0: whatever comes is right."""

    path: str
    method: str = "GET"
    chunks: tuple[bytes, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    parts: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    """The answer must come in chunks."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    chunked: bool


def check(probe: Probe, port: int, service: int) -> str:
    """What is wrong with the answer at `port`; "" if nothing is."""
    got = ask(port, probe)
    if not probe.status:
        return ""
    if got.status != probe.status:
        return f"{probe.method} {probe.path}: status {got.status} instead of {probe.status}"
    if probe.status >= 300:
        return ""
    if probe.parts:
        wanted = {
            name: json.loads(ask(service, Probe(path)).body) for name, path in probe.parts.items()
        }
        good = json.loads(got.body) == wanted
    else:
        good = got.body == ask(service, probe).body
    if not good:
        return f"{probe.method} {probe.path}: not what the service answers: {got.body[:200]!r}"
    if probe.chunked and not got.chunked:
        return f"{probe.method} {probe.path}: the answer did not come in chunks"
    return ""


def ask(port: int, probe: Probe) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    fields = {"Host": HOST, **probe.fields}
    try:
        if probe.chunks:
            fields["Transfer-Encoding"] = "chunked"
            connection.request(
                probe.method, probe.path, iter(probe.chunks), fields, encode_chunked=True
            )
        else:
            connection.request(probe.method, probe.path, headers=fields)
        response = connection.getresponse()
        chunked = response.getheader("Transfer-Encoding") == "chunked"
        return Answer(response.status, response.read(), chunked)
    finally:
        connection.close()
