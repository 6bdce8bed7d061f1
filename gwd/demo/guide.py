"""What `gwd demo` prints: pure text, made from what really runs.

Every line that begins with two spaces and a command can be pasted into a shell as it stands; what
it will show stands below it, further in. tests/demo runs each of them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

TOKEN_LIFE = 3600
"""Seconds for which the printed token is valid."""


@dataclass(frozen=True, slots=True)
class Running:
    """What is shown of a demo. `services`: name, ports and process ids of the instances."""

    services: Sequence[tuple[str, Sequence[int], Sequence[int]]]
    port: int
    workers: int
    config: str
    admin: str
    token: str
    program: str
    """How a shell starts gwd."""


def guide(running: Running) -> str:
    """The block that is printed when everything is ready."""
    url = f"http://127.0.0.1:{running.port}"
    config = shlex.quote(running.config)
    bearer = '-H "Authorization: Bearer $TOKEN"'
    victim = next(pids[0] for name, _, pids in running.services if name == "orders")
    lines = [*_overview(running, url), "", "In a second terminal:", ""]
    for title, command, shows in (
        ("first the token", f"export TOKEN={running.token}", ["valid for an hour"]),
        (
            "1 a route",
            f"curl -i {bearer} {url}/orders/42",
            ["200, X-Served-By: orders-1 or orders-2; repeat it to meet both"],
        ),
        (
            "2 no token",
            f"curl -i {url}/orders/42",
            ["401 as problem+json; the service never saw it"],
        ),
        (
            "3 one answer",
            f"curl -s {bearer} {url}/home/ada",
            ["profile, orders and cart of three services, fetched side by side"],
        ),
        (
            "4 too fast",
            "curl -Z --no-progress-meter -o /dev/null -w '%{http_code}\\n' "
            f"'{url}/limited?[1-300]' | sort | uniq -c",
            [
                "about 60 x 200, the others 429: 50 at once and 100/s,",
                "counted over both workers; a second later all is forgiven",
            ],
        ),
        (
            "5 a crash",
            f"kill {victim}",
            ["that was orders-1: repeat 1, still 200; it returns after 10 s"],
        ),
        ("watch", f"{running.program} status --admin {shlex.quote(running.admin)}", []),
        ("why", f"{running.program} explain --config {config} GET {url}/orders/42", []),
    ):
        lines += [title, f"  {command}", *(f"      {line}" for line in shows)]
    return "\n".join(lines) + "\n"


def _overview(running: Running, url: str) -> list[str]:
    rows = []
    for name, ports, _ in running.services:
        first, *others = ports
        addresses = " ".join([f"127.0.0.1:{first}", *(f":{port}" for port in others)])
        rows.append(f"  {name:8} {addresses:22} ready")
    rows[0] += "      Ctrl-C ends everything"
    rows.append(f"  gateway  {url:22} {running.workers} workers  config {running.config}")
    return rows


def event_line(text: str, now: datetime) -> str:
    """One thing that happened."""
    return f"{now:%H:%M:%S}  {text}"


def event_of(line: bytes) -> str | None:
    """What a line of the gateway's log says to people; None if it is not an event."""
    try:
        record: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("msg"), str):
        return None
    text: str = record["msg"]
    if "upstream" in record:
        return text  # a change of health is a whole sentence
    details = {k: v for k, v in record.items() if k not in ("ts", "level", "msg")}
    return text + (": " if details else "") + ", ".join(f"{k} {v}" for k, v in details.items())
