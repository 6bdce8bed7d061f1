"""`gwd stop`: stop the running gateway gracefully, and wait for its end."""

from __future__ import annotations

import os
import signal

import click

from gwd.cli import exits

EPILOG = """\b
Examples:
  gwd stop
  gwd stop --timeout 5 || gwd stop --now
"""


@click.command("stop", epilog=EPILOG)
@click.option("--config", metavar="FILE", help="Config file of the gateway, to find it by.")
@click.option("--admin", metavar="SOCKET", help="Admin socket of the gateway, to find it by.")
@click.option("--now", is_flag=True, help="Do not wait for what is in flight.")
@click.option(
    "--timeout", type=click.FloatRange(0.1), default=120.0, show_default=True, metavar="SECONDS"
)
def command(config: str | None, admin: str | None, now: bool, timeout: float) -> int:
    """Stop the running gateway and wait for its end.

    It finishes what is in flight within server.shutdown_grace. Exits with 1 if it still runs
    after the time-out; it goes on stopping nevertheless.
    """
    from gwd.supervisor.daemon import Daemon, NoDaemon

    try:
        with Daemon.find(admin, config, os.environ) as daemon:
            daemon.signal(signal.SIGINT if now else signal.SIGTERM)
            ended = daemon.ended(timeout)
    except NoDaemon as error:
        click.echo(f"gwd: {error}", err=True)
        return exits.NO_DAEMON
    if not ended:
        click.echo(
            f"gwd: process {daemon.pid} still runs after {timeout:g} s; gwd stop --now ends it",
            err=True,
        )
        return exits.FAILED
    click.echo(f"gwd stopped (process {daemon.pid})")
    return exits.GOOD
