"""`gwd status`: what the running gateway does, once, read from its segment.

`gather` reads plain values (which `--json` prints as they are), `render` makes the tables of them.
Counts are since the start of the gateway; what has never been counted is shown as "-".
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from gwd.cli import look

if TYPE_CHECKING:
    from gwd.supervisor.daemon import Daemon

EPILOG = """\b
Examples:
  gwd status
  gwd status --json | jq '.upstreams[] | select(.state == "down")'
"""

STALE = 2.0
"""Seconds without a heartbeat after which a process is shown as stuck."""


@click.command("status", epilog=EPILOG)
@look.options
def command(as_json: bool, config: str | None, admin: str | None) -> int:
    """Show processes, upstreams and routes of the running gateway, once.

    Works without asking any of its processes, so also when they hang.
    """
    return look.show(gather, render, as_json=as_json, config=config, admin=admin)


def gather(daemon: Daemon) -> dict[str, Any]:
    """Everything about `daemon` as plain values; durations in seconds."""
    import gwd
    from gwd.segment.board import NONE, OK, REFUSED, RUNNING
    from gwd.segment.processes import LOG_DROPPED, ProcessTable

    now_ns = time.monotonic_ns()
    board = daemon.board.read()
    process_table = ProcessTable(daemon.segment)
    states = {NONE: "none", RUNNING: "running", OK: "ok", REFUSED: "refused"}
    routes = _routes(daemon)
    upstreams = _upstreams(daemon, now_ns)
    return {
        "version": gwd.__version__,
        "pid": daemon.pid,
        "uptime": round((now_ns - board.started_ns) / 1e9, 1),
        "addresses": list(daemon.found.addresses),
        "config": {
            "digest": board.digest,
            "generation": board.generation,
            "loaded_at": board.loaded_at,
        },
        "reload": {
            "result": states.get(board.state, "unknown"),
            "message": board.message if board.state in (OK, REFUSED) else "",
        },
        "workers_wanted": daemon.found.workers,
        "adopted": [{"slot": slot, "by": by} for slot, by in sorted(daemon.found.adopted.items())],
        "processes": _processes(process_table, now_ns),
        "limits": _limits(daemon, process_table),
        "log_lines_dropped": process_table.total(LOG_DROPPED),
        "upstreams": upstreams,
        "routes": routes,
        "total": {
            "requests": sum(route["requests"] for route in routes),
            "by_class": {
                name: sum(route["by_class"][name] for route in routes) for name in _CLASSES
            },
            "in_flight": sum(row["in_flight"] for row in upstreams),
            "connections": process_table.connections(),
        },
    }


_COUNTS = ("allowed", "limited", "banned", "evicted", "coarse", "tracked", "uncounted", "bans_made")
"""What limits and bans came to, cumulative: requests admitted and refused, connections and requests
turned away for a ban, rows given away, requests counted with their neighbours, rows made, requests
that nobody could count, bans made for too many refusals."""


def _count_cells() -> dict[str, int]:
    from gwd.segment import processes as cells

    numbers = (
        *(cells.ALLOWED, cells.LIMITED, cells.BANNED, cells.EVICTED, cells.COARSE),
        *(cells.TRACKED, cells.UNCOUNTED, cells.BANS_MADE),
    )
    return dict(zip(_COUNTS, numbers, strict=True))


def _limits(daemon: Daemon, processes: Any) -> dict[str, Any]:
    from gwd.cli.shut_out import Enforcement, now_us
    from gwd.segment.bans import Bans

    bans = Bans(daemon.segment)
    running = len(bans.running(now_us()))
    kept = Enforcement.of(bans.filter(), daemon.found)
    return {
        **{name: processes.total(cell) for name, cell in _count_cells().items()},
        "bans_running": running,
        "bans_enforced_by": kept.how if running or daemon.found.bans_by_rate else "off",
        "bans_filter_error": kept.error,
    }


_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


def _processes(table: Any, now_ns: int) -> list[dict[str, Any]]:
    from gwd.segment.processes import CONTROLLER, DRAINING, READY, STARTING, WORKER

    roles = {WORKER: "worker", CONTROLLER: "controller"}
    states = {STARTING: "starting", READY: "ready", DRAINING: "draining"}
    found = []
    for row in table.live():
        heartbeat = (now_ns - row.heartbeat_ns) / 1e9 if row.heartbeat_ns else None
        state = states.get(row.state, "unknown")
        if state != "starting" and heartbeat is not None and heartbeat > STALE:
            state = "stuck"
        found.append(
            {
                "role": roles.get(row.role, "unknown"),
                "slot": row.slot,
                "pid": row.pid,
                "state": state,
                "heartbeat_age": None if heartbeat is None else round(heartbeat, 3),
                "uptime": round((now_ns - row.started_ns) / 1e9, 1),
                "connections": row.connections,
                "generation": row.generation,
                "limits": {
                    name: table.count(row.column, cell) for name, cell in _count_cells().items()
                },
            }
        )
    return sorted(found, key=lambda process: (process["role"] != "worker", process["slot"]))


def _upstreams(daemon: Daemon, now_ns: int) -> list[dict[str, Any]]:
    from gwd.segment import endpoints
    from gwd.segment.processes import ProcessTable

    table = endpoints.EndpointTable(daemon.segment)
    columns = [row.column for row in ProcessTable(daemon.segment).live()]
    states = {
        endpoints.UNKNOWN: "unknown",
        endpoints.HEALTHY: "healthy",
        endpoints.UNHEALTHY: "down",
    }
    found = []
    for name, row in table.names().items():
        upstream, _, endpoint = name.decode(errors="replace").partition("\0")
        health = table.health(row)
        averages = [table.words[table.cell(row, c, endpoints.EWMA_US)] for c in columns]
        known = [average for average in averages if average]
        found.append(
            {
                "upstream": upstream,
                "endpoint": endpoint,
                "state": states.get(health.state, "unknown"),
                "reason": health.reason,
                "since": round((now_ns - health.since_ns) / 1e9, 1) if health.since_ns else None,
                "in_flight": table.total(row, endpoints.IN_FLIGHT),
                "connections": table.total(row, endpoints.CONNECTIONS),
                "requests": table.total(row, endpoints.REQUESTS),
                "failures": table.total(row, endpoints.FAILURES),
                "ewma": sum(known) / len(known) / 1e6 if known else None,
            }
        )
    return found


def _routes(daemon: Daemon) -> list[dict[str, Any]]:
    from gwd.segment.metrics import RouteMetrics

    metrics = RouteMetrics(daemon.segment)
    found = []
    for name, row in metrics.names().items():
        totals = metrics.totals(row)
        found.append(
            {
                "route": name.decode(errors="replace"),
                "requests": totals.requests,
                "by_class": dict(zip(_CLASSES, totals.by_class, strict=True)),
                "p50": quantile(totals.buckets, 0.5),
                "p99": quantile(totals.buckets, 0.99),
            }
        )
    return found


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The upper edge, in seconds, of the bucket in which `share` of all requests end.

    None if there are none, or if it lies beyond the last edge.
    """
    from gwd.segment.metrics import EDGES

    wanted = share * sum(buckets)
    below = 0
    for count, edge in zip(buckets, EDGES, strict=False):
        below += count
        if count and below >= wanted:
            return edge
    return None


def render(found: Mapping[str, Any]) -> str:
    """The tables of `gwd status`."""
    ready = sum(p["role"] == "worker" and p["state"] == "ready" for p in found["processes"])
    config = found["config"]
    loaded = time.strftime("%H:%M", time.localtime(config["loaded_at"]))
    reload = found["reload"]["result"]
    total, limits = found["total"], found["limits"]
    lines = [
        f"gwd {found['version']}  up {span(found['uptime'])}  "
        f"config {config['digest']} loaded {loaded}"
        + (f" (last reload {reload})" if reload != "none" else "")
        + f"  workers {ready}/{found['workers_wanted']}  bans: {_bans(limits)}",
        "listening on " + "  ".join(found["addresses"]),
        f"total {total['requests']} requests  {_shares(total)}in flight {total['in_flight']}  "
        f"connections {total['connections']}",
        f"limits: allowed {limits['allowed']}  limited {limits['limited']}  "
        f"banned {limits['bans_running']}, turned away {limits['banned']}  "
        f"bans made {limits['bans_made']}",
        f"tracked {limits['tracked']} addresses, given up {limits['evicted']}, counted with "
        f"neighbours {limits['coarse']}, uncounted {limits['uncounted']}",
    ]
    if found["adopted"]:
        lines.append("adopted: " + _adopted(found["adopted"]))
    if found["log_lines_dropped"]:
        lines.append(f"access-log lines dropped {found['log_lines_dropped']}")
    if reload == "refused":
        lines += [f"  {line}" for line in found["reload"]["message"].splitlines()]
    lines += ["", *table(_PROCESS_COLUMNS, map(_process_cells, found["processes"]))]
    if found["upstreams"]:
        lines += ["", *table(_UPSTREAM_COLUMNS, map(_upstream_cells, found["upstreams"]))]
    lines += ["", *table(_ROUTE_COLUMNS, map(_route_cells, found["routes"]))]
    return "\n".join(lines)


def _adopted(adopted: Sequence[Mapping[str, int]]) -> str:
    """By worker, the slots that it accepts for beside its own."""
    slots: dict[int, list[str]] = {}
    for each in adopted:
        slots.setdefault(each["by"], []).append(str(each["slot"]))
    return "; ".join(
        f"slot{'s' if len(theirs) > 1 else ''} {', '.join(theirs)} by worker {by}"
        for by, theirs in sorted(slots.items())
    )


def _bans(limits: Mapping[str, Any]) -> str:
    error = f" (no filter: {limits['bans_filter_error']})" if limits["bans_filter_error"] else ""
    return f"{limits['bans_enforced_by']}{error}"


def _shares(total: Mapping[str, Any]) -> str:
    if not total["requests"]:
        return ""
    shown = ("2xx", "3xx", "4xx", "5xx")
    return "".join(
        f"{name} {count / total['requests']:.1%}  "
        for name, count in total["by_class"].items()
        if count and name in shown
    )


_PROCESS_COLUMNS = ["PROCESS", "PID", "STATE", "HEARTBEAT", "UP", "CONNECTIONS", "CONFIG"]
_PROCESS_COLUMNS += ["ALLOWED", "LIMITED", "BANNED"]
_UPSTREAM_COLUMNS = ["UPSTREAM", "ENDPOINT", "STATE", "SINCE", "IN FLIGHT", "REQUESTS"]
_UPSTREAM_COLUMNS += ["FAILED", "EWMA"]
_ROUTE_COLUMNS = ["ROUTE", "REQUESTS", "2XX", "3XX", "4XX", "5XX", "P50", "P99"]


def _process_cells(row: Mapping[str, Any]) -> list[str]:
    name = f"worker {row['slot']}" if row["role"] == "worker" else row["role"]
    age = row["heartbeat_age"]
    return [
        name,
        str(row["pid"]),
        row["state"],
        "-" if age is None else f"{age:.1f}s ago",
        span(row["uptime"]),
        str(row["connections"]),
        f"#{row['generation']}",
        *(str(row["limits"][name]) for name in ("allowed", "limited", "banned")),
    ]


def _upstream_cells(row: Mapping[str, Any]) -> list[str]:
    state = row["state"]
    if state == "down" and row["reason"]:
        state = f"down: {row['reason']}"
    requests = row["requests"]
    return [
        row["upstream"],
        row["endpoint"],
        state,
        "-" if row["since"] is None else span(row["since"]),
        str(row["in_flight"]),
        str(requests),
        f"{row['failures'] / requests:.1%}" if requests else str(row["failures"]),
        duration(row["ewma"]),
    ]


def _route_cells(row: Mapping[str, Any]) -> list[str]:
    counts = [str(row["by_class"][name]) for name in ("2xx", "3xx", "4xx", "5xx")]
    name = "(no route)" if row["route"] == "-" else row["route"]
    return [name, str(row["requests"]), *counts, duration(row["p50"]), duration(row["p99"])]


def table(columns: list[str], rows: Any) -> list[str]:
    """Lines of aligned columns."""
    cells = [columns, *rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def span(seconds: float) -> str:
    """A stretch of time in its two largest units: "3d 4h", "12s"."""
    whole = int(seconds)
    for size, unit, smaller, rest in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            left = whole % size // smaller
            return f"{whole // size}{unit}" + (f" {left}{rest}" if left else "")
    return f"{whole}s"


def duration(seconds: float | None) -> str:
    """A latency: "2.3ms", "1.5s", "-" if there is none."""
    if seconds is None:
        return "-"
    return f"{seconds:.2g}s" if seconds >= 1 else f"{seconds * 1000:.3g}ms"
