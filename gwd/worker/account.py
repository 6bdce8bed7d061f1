"""Account: what is written down when a request has ended, in the segment and in the access log.

A log line is one flat JSON object (docs/operations.md lists its fields). What a client wrote is
escaped by a JSON encoder; names from the config were escaped when the tables were built; the rest
cannot hold anything that needs it (SEC-45). No query, Authorization or Cookie is ever logged.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson

from gwd.segment.metrics import RouteMetrics
from gwd.upstream.exchange import Exchange

if TYPE_CHECKING:
    from gwd.worker.access_log import AccessLog
    from gwd.worker.client import ClientConnection

MOST_FIELD = 2048
"""Characters of a field that a client wrote; the rest is cut off."""

_LINE = (
    '{"ts":"%s.%03dZ","level":"info","msg":"request","request_id":"%s","client_ip":"%s",'
    '"remote_ip":"%s","method":"%s","host":"%s","path":"%s","proto":"HTTP/1.%d","status":%d,'
    '"bytes_in":%d,"bytes_out":%d,"duration":%.6f,"upstream_duration":%s,"route":%s,'
    '"upstream":%s,"endpoint":"%s","attempts":%d,"reason":"%s","sub":%s,"user_agent":%s}\n'
)


class Account:
    __slots__ = (
        "_agent",
        "_agent_json",
        "_column",
        "_metrics",
        "_names",
        "_second",
        "_second_text",
        "log",
    )

    def __init__(self, metrics: RouteMetrics, column: int, log: AccessLog) -> None:
        self._metrics = metrics
        self._column = column
        self.log = log
        self._second = 0
        self._second_text = ""
        self._names: dict[str, str] = {}
        self._agent: bytes | None = None
        self._agent_json = '""'

    def __call__(self, client: ClientConnection, status: int, reason: str) -> None:
        """The request of `client` has ended with `status`; `reason` is "" if all went well."""
        duration = (time.monotonic_ns() - client.started_ns) / 1e9
        route = client.route
        row = client.tables.unrouted_row if route is None else route.metrics_row
        self._metrics.record(row, self._column, status, duration)
        if self.log.enabled:
            self.log.lines.append(self._line(client, status, reason, duration))

    def _line(self, client: ClientConnection, status: int, reason: str, duration: float) -> str:
        wall = time.time()
        second = int(wall)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        head, route, pending = client.head, client.route, client.pending
        upstream, endpoint, attempts, waited = '""', "", 0, "null"
        if isinstance(pending, Exchange):
            upstream = self._name(pending.config.name)
            endpoint, attempts = pending.served_by, pending.attempts
            if client.answered_ns:
                waited = f"{(client.answered_ns - client.started_ns) / 1e9:.6f}"
        return _LINE % (
            self._second_text,
            (wall - second) * 1000,
            client.request_id,
            client.visitor.ip,
            client.peer.ip,
            # The gate lets nothing into these three that JSON would have to escape.
            "" if head is None else head.method,
            "" if head is None else head.host,
            "" if head is None else head.path[:MOST_FIELD],
            1 if head is None else head.minor,
            status,
            client.bytes_in,
            client.bytes_out,
            duration,
            waited,
            '"-"' if route is None else route.name_json,
            upstream,
            endpoint,
            attempts,
            reason,
            _text(client.subject) if client.subject else '""',
            '""' if head is None else self._user_agent(head.user_agent),
        )

    def _name(self, name: str) -> str:
        """A name from the config as JSON."""
        text = self._names.get(name)
        if text is None:
            text = self._names[name] = _text(name)
        return text

    def _user_agent(self, value: bytes | None) -> str:
        """As JSON; the latest is remembered, for clients come in swarms of one kind."""
        if value != self._agent:
            self._agent = value
            self._agent_json = _text((value or b"").decode("latin-1"))
        return self._agent_json


def _text(value: str) -> str:
    return orjson.dumps(value[:MOST_FIELD]).decode()
