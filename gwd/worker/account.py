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

_NO_ROUTE = '"route":"-","upstream":""'


class Account:
    __slots__ = ("_agent", "_agent_json", "_metrics", "_millisecond", "_stamp", "log")

    def __init__(self, metrics: RouteMetrics, log: AccessLog) -> None:
        self._metrics = metrics
        self.log = log
        self._millisecond = 0
        self._stamp = ""
        self._agent: bytes | None = None
        self._agent_json = '""'

    def __call__(self, client: ClientConnection, status: int, reason: str) -> None:
        """The request of `client` has ended with `status`; `reason` is "" if all went well."""
        micros = (time.monotonic_ns() - client.started_ns) // 1000
        route = client.route
        cells = client.tables.unrouted_cells if route is None else route.metrics_cells
        self._metrics.record(cells, status, micros)
        if self.log.enabled:
            self.log.lines.append(self._line(client, status, reason, micros))

    def _line(self, client: ClientConnection, status: int, reason: str, micros: int) -> str:
        millisecond = int(time.time() * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millisecond // 1000))
            self._stamp = f"{second}.{millisecond % 1000:03d}"
        head, pending = client.head, client.pending
        # The gate lets nothing into the first three that JSON would have to escape.
        method = host = path = ""
        minor, agent = 1, '""'
        if head is not None:
            method, host, path, minor = head.method, head.host, head.path, head.minor
            if len(path) > MOST_FIELD:
                path = path[:MOST_FIELD]
            value = head.user_agent
            agent = self._agent_json if value is self._agent else self._user_agent(value)
        endpoint, attempts, waited = "", 0, "null"
        if isinstance(pending, Exchange):
            endpoint, attempts = pending.served_by, pending.attempts
            if pending.answered_ns:
                waited = _seconds((pending.answered_ns - client.started_ns) // 1000)
        where = _NO_ROUTE if client.route is None else client.route.log_part
        sub = _text(client.subject) if client.subject else '""'
        return (
            f'{{"ts":"{self._stamp}Z","level":"info","msg":"request",'
            f'"request_id":"{client.request_id}","client_ip":"{client.visitor.ip}",'
            f'"remote_ip":"{client.remote.ip}","method":"{method}","host":"{host}","path":"{path}",'
            f'"proto":"HTTP/1.{minor}","status":{status},"bytes_in":{client.bytes_in},'
            f'"bytes_out":{client.bytes_out},"duration":{_seconds(micros)},'
            f'"upstream_duration":{waited},{where},"endpoint":"{endpoint}",'
            f'"attempts":{attempts},"reason":"{reason}","sub":{sub},"user_agent":{agent}{client.log_part}}}\n'
        )

    def _user_agent(self, value: bytes | None) -> str:
        """As JSON; the latest is remembered, for clients come in swarms of one kind."""
        self._agent = value
        self._agent_json = _text((value or b"").decode("latin-1"))
        return self._agent_json


def _seconds(micros: int) -> str:
    if micros < 1_000_000:
        return f"0.{micros:06d}"
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def _text(value: str) -> str:
    return orjson.dumps(value[:MOST_FIELD]).decode()
