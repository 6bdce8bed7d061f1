"""`gwd unban`: let an address in again."""

from __future__ import annotations

import os
from functools import partial

import click

from gwd.cli import exits

EPILOG = """\b
Examples:
  gwd unban 203.0.113.7
  gwd unban 2001:db8::/64
"""


@click.command("unban", epilog=EPILOG)
@click.argument("address", metavar="IP")
@click.option("--config", metavar="FILE", help="Config file of the gateway, to find it by.")
@click.option("--admin", metavar="SOCKET", help="Admin socket of the gateway, to find it by.")
def command(address: str, config: str | None, admin: str | None) -> int:
    """Lift the ban of IP, however it came about. The kernel follows within a second.

    IPv6 addresses are let in with their network, which may be written as gwd bans lists it.
    """
    from gwd.cli.shut_out import BUSY, now_us, patiently, those_that_hold, whom
    from gwd.segment.bans import Bans
    from gwd.supervisor.daemon import Daemon, NoDaemon

    lifted = False
    try:
        with Daemon.find(admin, config, os.environ, writable=True) as daemon:
            bans = Bans(daemon.segment)
            for ban in those_that_hold(address, bans.running(now_us())):
                change = partial(bans.unban, ban.key, now_us())
                done = patiently(change, f"{ban.text} stays banned: another process {BUSY}")
                if done is None:
                    return exits.FAILED
                if done:
                    lifted = True
                    click.echo(f"unbanned {ban.text}")
            if not lifted:
                text = address if "/" in address else whom(address, daemon.found).text
                click.echo(f"gwd: {text} is not banned; gwd bans lists who is", err=True)
                return exits.FAILED
    except NoDaemon as error:
        click.echo(f"gwd: {error}", err=True)
        return exits.NO_DAEMON
    return exits.GOOD
