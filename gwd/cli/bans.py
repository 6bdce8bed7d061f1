"""`gwd bans`: who is shut out, why, and for how long yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gwd.cli import look

if TYPE_CHECKING:
    from gwd.supervisor.daemon import Daemon

EPILOG = """\b
Examples:
  gwd bans
  gwd bans --json | jq -r '.bans[].address'
"""


@click.command("bans", epilog=EPILOG)
@look.options
def command(as_json: bool, config: str | None, admin: str | None) -> int:
    """List the running bans, those that end last first."""
    return look.show(gather, render, as_json=as_json, config=config, admin=admin)


def gather(daemon: Daemon) -> dict[str, Any]:
    """The bans of `daemon` as plain values; durations in seconds."""
    from gwd.cli.shut_out import Enforcement, kept_by, now_us, reason, written
    from gwd.segment.bans import Bans

    bans, now = Bans(daemon.segment), now_us()
    running = sorted(bans.running(now), key=lambda ban: (-ban.until, ban.key))
    kept = kept_by(bans, running, now, daemon.found)
    view = bans.filter()
    how = Enforcement.of(view, daemon.found)
    return {
        "total": len(running),
        "enforced_by": how.how,
        "filter_error": how.error,
        "in_filter": view.addresses if how.how == "kernel" else 0,
        "bans": [
            {
                "address": written(ban.key, ban.prefix),
                "reason": reason(ban),
                "since": round(max(0, now - ban.start) / 1e6, 1),
                "left": round((ban.until - now) / 1e6, 1),
                "met_as": "peer" if ban.peer else "client of a proxy",
                "enforced": kept[ban.key],
            }
            for ban in running
        ],
    }


def render(found: dict[str, Any]) -> str:
    from gwd.cli.status import span, table

    bans = found["bans"]
    lines = [f"{len(bans)} banned  bans: {_enforced(found)}"]
    if bans:
        columns = ["ADDRESS", "REASON", "SINCE", "LEFT", "ENFORCED"]
        rows = [
            [b["address"], b["reason"], span(b["since"]), span(b["left"]), b["enforced"]]
            for b in bans
        ]
        lines += ["", *table(columns, rows)]
    return "\n".join(lines)


def _enforced(found: dict[str, Any]) -> str:
    from gwd.cli.shut_out import EITHER

    match found["enforced_by"]:
        case "refuse":
            return "refuse, 429"
        case "close":
            error = found["filter_error"]
            return "close at accept" + (
                f", workers only, as the kernel took no filter ({error})" if error else ""
            )
    total = found["total"]
    text = f"kernel ({min(found['in_filter'], total)} of {total} addresses)"
    if any(ban["enforced"] == EITHER for ban in found["bans"]):
        text += "; no more fit, by hand first, then the busiest; workers close the others"
    return text
