"""Account: what is written down when a request has ended, in the segment and in the access log.

A log line is one flat JSON object (docs/operations.md lists its fields). What a client wrote is
escaped by a JSON encoder; names from the config were escaped when the tables were built; the rest
cannot hold anything that needs it (SEC-45). No query, Authorization or Cookie is ever logged.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson

from gwd.http.head import NO_HEAD, RequestHead
from gwd.segment.metrics import RouteMetrics
from gwd.worker.access_log import BATCH

if TYPE_CHECKING:
    from gwd.worker.access_log import AccessLog
    from gwd.worker.answering import AnsweringConnection

MOST_FIELD = 2048
"""Characters of a field that a client wrote; the rest is cut off."""

_NO_ROUTE = '"route":"-","upstream":""'
_THREE = tuple(f"{number:03d}" for number in range(1000))
"""Three digits at a time: a format with leading zeros costs four times as much."""


class Account:
    __slots__ = ("_metrics", "_millisecond", "_opening", "log")

    def __init__(self, metrics: RouteMetrics, log: AccessLog) -> None:
        self._metrics = metrics
        self.log = log
        self._millisecond = 0
        self._opening = ""

    def end(self, client: AnsweringConnection, status: int, reason: str) -> None:
        """The request of `client` has ended with `status`; `reason` is "" if all went well."""
        now = time.monotonic_ns()
        micros = (now - client.started_ns) // 1000
        route = client.route
        cells = client.tables.unrouted_cells if route is None else route.metrics_cells
        self._metrics.record(cells, status, micros)
        if self.log.enabled:
            self._tell(client, status, reason, now)

    def switched(self, client: AnsweringConnection) -> None:
        """The request of `client` became a tunnel. It is counted here, with the time up to the
        101: a histogram of answers has no room for how long tunnels live."""
        assert client.route is not None
        micros = (time.monotonic_ns() - client.started_ns) // 1000
        self._metrics.record(client.route.metrics_cells, client.status, micros)

    def tunnel_ended(self, client: AnsweringConnection, reason: str) -> None:
        """It has ended: its line is written, with all that passed."""
        if self.log.enabled:
            self._tell(client, client.status, reason, time.monotonic_ns())

    def _open_line(self, millisecond: int) -> None:
        """How lines begin in this millisecond of the monotonic clock."""
        self._millisecond = millisecond
        wall = int(time.time() * 1000)
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall // 1000))
        self._opening = (
            f'{{"ts":"{second}.{_THREE[wall % 1000]}Z","level":"info","msg":"request",'
            '"request_id":"'
        )

    def _tell(self, client: AnsweringConnection, status: int, reason: str, now: int) -> None:
        """Put down its line, at monotonic `now`, ns."""
        if now // 1_000_000 != self._millisecond:
            self._open_line(now // 1_000_000)
        head, route, pending = client.head or NO_HEAD, client.route, client.pending
        path = head.path
        if len(path) > MOST_FIELD:
            path = path[:MOST_FIELD]
        endpoint, attempts, waited = "", 0, "null"
        if pending is not None:
            endpoint, attempts = pending.served_by, pending.attempts
            if pending.answered_ns:
                waited = _seconds((pending.answered_ns - client.started_ns) // 1000)
        same = (
            head.method,
            head.host,
            head.minor,
            head.user_agent,
            client.visitor,
            route,
            endpoint,
            attempts,
            reason,
            client.subject,
        )
        if same != client.logged:
            client.logged = same
            client.log_end = _end_line(client, head, endpoint, attempts, reason)
        lines = self.log.lines
        lines.append(
            f'{self._opening}{client.request_id}","status":{status},'
            f'"bytes_in":{client.bytes_in},"bytes_out":{client.bytes_out},'
            f'"duration":{_seconds((now - client.started_ns) // 1000)},'
            f'"upstream_duration":{waited},"path":"{path}",{client.log_end}'
        )
        if len(lines) >= BATCH:
            self.log.flush()


def _end_line(
    client: AnsweringConnection, head: RequestHead, endpoint: str, attempts: int, reason: str
) -> str:
    """The part of a line that a connection's requests mostly have in common."""
    route = client.route
    # The gate lets nothing into method and host that JSON would have to escape.
    return (
        f'"client_ip":"{client.visitor.ip}","remote_ip":"{client.remote.ip}",'
        f'"method":"{head.method}","host":"{head.host}","proto":"HTTP/1.{head.minor}",'
        f'{_NO_ROUTE if route is None else route.log_part},"endpoint":"{endpoint}",'
        f'"attempts":{attempts},"reason":"{reason}","sub":{_text(client.subject)},'
        f'"user_agent":{_text((head.user_agent or b"").decode("latin-1"))}{client.log_part}}}\n'
    )


def _seconds(micros: int) -> str:
    if micros < 1_000_000:
        return f"0.{_THREE[micros // 1000]}{_THREE[micros % 1000]}"
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def _text(value: str) -> str:
    return orjson.dumps(value[:MOST_FIELD]).decode()
