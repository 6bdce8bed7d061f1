"""`gwd ban`: shut an address out, in all workers at once."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from gwd.cli import exits

if TYPE_CHECKING:
    from gwd.cli.shut_out import Whom
    from gwd.segment.bans import Bans
    from gwd.supervisor.pidfile import Found

EPILOG = """\b
Examples:
  gwd ban 203.0.113.7
  gwd ban 2001:db8::1 --for 2h
"""

MOST = 30 * 86400.0
"""Seconds. Whoever should stay out longer belongs into limits.deny."""
PATIENCE = 1.0
"""Seconds in which the kernel's filter is expected to take note."""


@click.command("ban", epilog=EPILOG)
@click.argument("address", metavar="IP")
@click.option("--for", "span", default="10m", show_default=True, metavar="TIME", help="How long.")
@click.option("--config", metavar="FILE", help="Config file of the gateway, to find it by.")
@click.option("--admin", metavar="SOCKET", help="Admin socket of the gateway, to find it by.")
def command(address: str, span: str, config: str | None, admin: str | None) -> int:
    """Shut IP out of the running gateway: its open connections, its requests, its connects.

    IPv6 addresses are banned with their network (limits.per_ip.ipv6_prefix). Addresses of
    limits.exempt and server.trusted_proxies cannot be banned.
    """
    from gwd.cli.shut_out import BUSY, now_us, patiently, protected_by, whom
    from gwd.config.units import NotAllowed, positive_duration
    from gwd.segment.bans import BY_HAND, Bans
    from gwd.supervisor.daemon import Daemon, NoDaemon

    try:
        seconds = positive_duration(span)
    except NotAllowed as error:
        raise click.BadParameter(f"{span!r} {error}", param_hint="--for") from None
    if seconds > MOST:
        raise click.BadParameter(
            "a ban lasts 30 days at most; use limits.deny for longer", param_hint="--for"
        )
    try:
        with Daemon.find(admin, config, os.environ, writable=True) as daemon:
            found, bans = daemon.found, Bans(daemon.segment)
            target = whom(address, found)
            protected = protected_by(address, found)
            if protected:
                click.echo(f"gwd: {address} is never banned: {protected}", err=True)
                return exits.FAILED

            def change() -> bool:
                now = now_us()
                until = now + round(seconds * 1e6)
                if not bans.ban(target.key, target.prefix, now, until, BY_HAND, peer=True):
                    raise TimeoutError
                return True

            otherwise = (
                f"{target.text} is not banned: the table is full of longer bans by hand where it "
                f"would stand, or another process {BUSY}"
            )
            if not patiently(change, otherwise):
                return exits.FAILED
            of = f", the network of {address}," if "/" in target.text != address else ""
            click.echo(f"banned {target.text}{of} for {span}: {_kept(bans, target, found)}")
            if found.untold:
                click.echo(
                    f"gwd: limits.exempt and server.trusted_proxies have {found.untold} networks "
                    "that commands do not know; if one holds the address, the ban has no effect",
                    err=True,
                )
    except NoDaemon as error:
        click.echo(f"gwd: {error}", err=True)
        return exits.NO_DAEMON
    click.echo(f"undo: gwd unban {address}")
    return exits.GOOD


def _kept(bans: Bans, target: Whom, found: Found) -> str:
    """How the ban just made is kept, once the kernel's filter has taken note of it."""
    from gwd.cli.shut_out import (
        CLOSE,
        EITHER,
        KERNEL,
        REFUSE,
        Enforcement,
        droppable,
        kept_by,
        now_us,
    )

    # An odd one is a change that somebody is about to make, after ours.
    wanted, deadline = bans.sequence & ~1, time.monotonic() + PATIENCE
    if found.ban_action == REFUSE:
        return "429"
    if found.ban_action == CLOSE:
        return "close at accept"
    while bans.filter().sequence < wanted:
        if time.monotonic() > deadline:
            return "workers at once; kernel within a second"
        time.sleep(0.02)
    error = Enforcement.of(bans.filter(), found).error
    if error:
        return f"close at accept, as the kernel took no filter ({error})"
    running = bans.running(now_us())
    ours = [ban for ban in running if ban.key == target.key]
    if ours and not droppable(ours, found):
        return "close at accept, as its network holds addresses that are never banned"
    kept = kept_by(bans, running, now_us(), found).get(target.key, "")
    if kept == KERNEL:
        return "kernel drop"
    full = ", if not in the kernel's filter, which is full" if kept == EITHER else ""
    return f"close at accept{full}"
