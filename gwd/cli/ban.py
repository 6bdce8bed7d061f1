"""`gwd ban`: shut an address out, in all workers at once."""

from __future__ import annotations

import os
import time

import click

from gwd.cli import exits

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
    from gwd.cli.shut_out import now_us, patiently, protected_by, whom
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
            target = whom(address, daemon.found)
            network = protected_by(address, daemon.found)
            if network:
                click.echo(
                    f"gwd: {target.text} is never banned: {network} is in limits.exempt or "
                    "server.trusted_proxies",
                    err=True,
                )
                return exits.FAILED
            bans, now = Bans(daemon.segment), now_us()
            until = now + int(seconds * 1e6)

            def change() -> bool:
                if not bans.ban(target.key, target.prefix, now, until, BY_HAND, peer=True):
                    raise TimeoutError
                return True

            if not patiently(change):
                return exits.FAILED
            click.echo(f"banned {target.text} for {span}: {_enforced(bans)}")
    except NoDaemon as error:
        click.echo(f"gwd: {error}", err=True)
        return exits.NO_DAEMON
    click.echo(f"undo: gwd unban {target.text.partition('/')[0]}")
    return exits.GOOD


def _enforced(bans: object) -> str:
    """How the ban just made is kept, as soon as the kernel's filter has taken note of it."""
    from gwd.cli.shut_out import kernel_says
    from gwd.segment.bans import Bans

    assert isinstance(bans, Bans)
    wanted, deadline = bans.sequence, time.monotonic() + PATIENCE
    while bans.filter().sequence < wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    view = bans.filter()
    return kernel_says(view) if view.sequence >= wanted else "workers, the kernel soon"
