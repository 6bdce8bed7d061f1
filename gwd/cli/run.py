"""`gwd run`: the daemon in the foreground."""

from __future__ import annotations

import os

import click

EPILOG = """\b
Examples:
  gwd run --config conf/gwd.toml
  gwd run --workers 2
"""


@click.command("run", epilog=EPILOG)
@click.option("--config", metavar="FILE", help="Config file; - is standard input.")
@click.option("--workers", type=click.IntRange(1, 1024), help="In place of server.workers.")
@click.option("--admin", metavar="SOCKET", help="In place of admin.bind.")
@click.option(
    "--ready-fd",
    type=click.IntRange(3),
    metavar="FD",
    help="When ready, write one JSON line {pid, addresses} to this file descriptor.",
)
def command(
    config: str | None, workers: int | None, admin: str | None, ready_fd: int | None
) -> int:
    """Run the gateway in the foreground; it logs to stderr.

    Signals: TERM stops it gracefully, INT at once, HUP reloads the config, USR1 reopens log files.
    """
    from gwd.config.find import find_config
    from gwd.supervisor.launch import Options, launch
    from gwd.supervisor.roles import ROLES, preload

    path = find_config(config)
    options = Options(path, workers, admin, -1 if ready_fd is None else ready_fd)
    return launch(options, os.environ, entries=ROLES, preload=preload)
