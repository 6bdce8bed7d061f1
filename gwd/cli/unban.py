"""`gwd unban`: let an address in again."""

from __future__ import annotations

import os

import click

from gwd.cli import exits

EPILOG = """\b
Examples:
  gwd unban 203.0.113.7
"""


@click.command("unban", epilog=EPILOG)
@click.argument("address", metavar="IP")
@click.option("--config", metavar="FILE", help="Config file of the gateway, to find it by.")
@click.option("--admin", metavar="SOCKET", help="Admin socket of the gateway, to find it by.")
def command(address: str, config: str | None, admin: str | None) -> int:
    """Lift the ban of IP, however it came about. The kernel follows within a second."""
    from gwd.cli.shut_out import now_us, patiently, whom
    from gwd.segment.bans import Bans
    from gwd.supervisor.daemon import Daemon, NoDaemon

    try:
        with Daemon.find(admin, config, os.environ, writable=True) as daemon:
            target = whom(address, daemon.found)
            bans = Bans(daemon.segment)
            lifted = patiently(lambda: bans.unban(target.key, now_us()))
    except NoDaemon as error:
        click.echo(f"gwd: {error}", err=True)
        return exits.NO_DAEMON
    if lifted is None:
        return exits.FAILED
    if not lifted:
        click.echo(f"gwd: {target.text} is not banned; gwd bans lists who is", err=True)
        return exits.FAILED
    click.echo(f"unbanned {target.text}")
    return exits.GOOD
