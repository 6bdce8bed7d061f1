"""`gwd health`: for containers and scripts, is the gateway ready?"""

from __future__ import annotations

import os

import click

from gwd.cli import exits

EPILOG = """\b
Examples:
  gwd health
  HEALTHCHECK CMD gwd health
"""


@click.command("health", epilog=EPILOG)
@click.option("--config", metavar="FILE", help="Config file of the gateway, to find it by.")
@click.option("--admin", metavar="SOCKET", help="Admin socket of the gateway, to find it by.")
def command(config: str | None, admin: str | None) -> int:
    """Exit with 0 when the running gateway is ready, with 1 when it starts or stops.

    Ready means that a worker serves and that the gateway has not been told to stop. Whether the
    services behind it work is another question: gwd status.
    """
    from gwd.segment.processes import READY, WORKER, ProcessTable
    from gwd.supervisor.daemon import Daemon, NoDaemon

    try:
        with Daemon.find(admin, config, os.environ) as daemon:
            rows = ProcessTable(daemon.segment).live()
            ready = any(row.role == WORKER and row.state == READY for row in rows)
    except NoDaemon as error:
        click.echo(f"gwd: {error}", err=True)
        return exits.NO_DAEMON
    click.echo("ready" if ready else "not ready")
    return exits.GOOD if ready else exits.FAILED
