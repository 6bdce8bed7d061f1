"""`gwd reload`: have the running gateway load its config anew, and say what came of it."""

from __future__ import annotations

import os

import click

from gwd.cli import exits

EPILOG = """\b
Examples:
  gwd reload
  gwd check && gwd reload
"""


@click.command("reload", epilog=EPILOG)
@click.option("--config", metavar="FILE", help="Config file of the gateway, to find it by.")
@click.option("--admin", metavar="SOCKET", help="Admin socket of the gateway, to find it by.")
@click.option(
    "--timeout", type=click.FloatRange(0.1), default=90.0, show_default=True, metavar="SECONDS"
)
def command(config: str | None, admin: str | None, timeout: float) -> int:
    """Have the running gateway load its config anew; wait and report.

    Exits with 0 if the new config is in force in every process, with 1 if it was refused: then
    the old one is, everywhere, and the errors stand on stderr.
    """
    from gwd.segment.board import OK
    from gwd.supervisor.daemon import Daemon, NoDaemon

    try:
        with Daemon.find(admin, config, os.environ) as daemon:
            result = daemon.reload(timeout)
    except NoDaemon as error:
        click.echo(f"gwd: {error}", err=True)
        return exits.NO_DAEMON
    if result is None:
        click.echo(f"gwd: no result within {timeout:g} s; the gateway's log says more", err=True)
        return exits.FAILED
    if result.state != OK:
        click.echo(result.message, err=True)
        click.echo("reload refused; the config before it stays in force", err=True)
        return exits.FAILED
    click.echo(f"{result.message} (config {result.digest})")
    return exits.GOOD
