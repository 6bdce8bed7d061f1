"""Account: what is written down when a request has ended, in the segment and in the access log.

A log line is one flat JSON object (docs/operations.md lists its fields). What a client wrote is
escaped by a JSON encoder; names from the config were escaped when the tables were built; the rest
cannot hold anything that needs it (SEC-45). No query, Authorization or Cookie is ever logged.
"""

from __future__ import annotations

import time
from time import monotonic_ns
from typing import TYPE_CHECKING

import orjson

from gwd.http.head import RequestHead
from gwd.segment.metrics import RouteMetrics

if TYPE_CHECKING:
    from gwd.worker.access_log import AccessLog
    from gwd.worker.answering import AnsweringConnection

BATCH = 128
"""Requests that make a batch before the tick does: few enough to lie in the processor's cache
still, enough for the write not to count."""
MOST_FIELD = 2048
"""Characters of a field that a client wrote; the rest is cut off."""
NOT_COUNTED = -1
"""In place of a route's cells: what it took has been counted already."""

_NO_ROUTE = '"route":"-","upstream":""'
_THREE = tuple(f"{number:03d}" for number in range(1000))
_PART = tuple(f"0.{number:03d}" for number in range(1000))
"""Three digits at a time: a format with leading zeros costs four times as much."""

Ended = tuple[int, int, int, int, int, str, int, int, str, str]
"""What is noted of a request: its route's cells, status, when it began, was answered (0: never) and
ended (monotonic ns), its id, bytes in and out, path, and the end of its line."""


class Account:
    """`end` notes; `flush` writes: for a batch at a time the same code and the same words of memory
    are used while they are at hand. Call it on every tick."""

    __slots__ = ("_ended", "_log", "_metrics")

    def __init__(self, metrics: RouteMetrics, log: AccessLog) -> None:
        self._metrics = metrics
        self._log = log
        self._ended: list[Ended] = []

    def end(self, client: AnsweringConnection, status: int, reason: str, now_ns: int) -> None:
        """The request of `client` has ended with `status`, at `now_ns` (monotonic); `reason` is ""
        if all went well."""
        head, pending, route = client.head, client.pending, client.route
        if pending is None:
            endpoint, attempts, answered_ns = "", 0, 0
        else:
            endpoint, attempts = pending.served_by, pending.attempts
            answered_ns = pending.answered_ns
        if self._log.enabled:
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
        ended = self._ended
        ended.append(
            (
                client.tables.unrouted_cells if route is None else route.metrics_cells,
                status,
                client.started_ns,
                answered_ns,
                now_ns,
                client.request_id,
                client.bytes_in,
                client.bytes_out,
                head.path,
                client.log_end,
            )
        )
        if len(ended) >= BATCH:
            self.flush()

    def switched(self, client: AnsweringConnection) -> None:
        """The request of `client` became a tunnel. It is counted here, with the time up to the
        101: a histogram of answers has no room for how long tunnels live. When that ends, its line
        is written, with all that passed."""
        assert client.route is not None
        micros = (monotonic_ns() - client.started_ns) // 1000
        self._metrics.record(client.route.metrics_cells, client.status, micros)
        client.route = client.route.outline(NOT_COUNTED)

    # what is done with what was noted

    def flush(self) -> None:
        """Count and log what has ended."""
        ended = self._ended
        if ended:
            self._ended = []
            self._write(ended)
        self._log.flush()

    def write_to(self, log: AccessLog) -> None:
        """Have what ends from now on logged there."""
        self.close()
        log.dropped += self.dropped()
        self._log = log

    def reopen(self) -> None:
        """The log's file was renamed, and another is to be begun."""
        self.flush()
        self._log.reopen()

    def dropped(self) -> int:
        """How many lines were lost since it was asked last."""
        dropped, self._log.dropped = self._log.dropped, 0
        return dropped

    def close(self) -> None:
        self.flush()
        self._log.close()

    def _write(self, ended: list[Ended]) -> None:
        record, tell, lines = self._metrics.record, self._log.enabled, self._log.lines
        to_wall = time.time_ns() - monotonic_ns()
        millisecond, opening = 0, ""
        for cells, status, began, answered, end, own, bytes_in, bytes_out, path, rest in ended:
            micros = (end - began) // 1000
            if cells != NOT_COUNTED:
                record(cells, status, micros)
            if not tell:
                continue
            wall = (end + to_wall) // 1_000_000
            if wall != millisecond:
                millisecond, opening = wall, _open_line(wall)
            took = _seconds(micros)
            if answered == end:
                waited = took  # the answer came whole
            else:
                waited = _seconds((answered - began) // 1000) if answered else "null"
            if len(path) > MOST_FIELD:
                path = path[:MOST_FIELD]
            lines.append(
                f'{opening}{own}","status":{status},"bytes_in":{bytes_in},"bytes_out":{bytes_out},'
                f'"duration":{took},"upstream_duration":{waited},"path":"{path}",{rest}'
            )


def _open_line(wall: int) -> str:
    """How lines of the millisecond `wall` since the epoch begin."""
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall // 1000))
    return f'{{"ts":"{second}.{_THREE[wall % 1000]}Z","level":"info","msg":"request","request_id":"'


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
        return _PART[micros // 1000] + _THREE[micros % 1000]
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def _text(value: str) -> str:
    return orjson.dumps(value[:MOST_FIELD]).decode()
