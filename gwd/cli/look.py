"""One look at the running gateway: what `gwd status` and `gwd bans` have in common.

`gather` reads plain values, which `--json` prints as they are; `render` makes tables of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gwd.cli import exits

if TYPE_CHECKING:
    from gwd.supervisor.daemon import Daemon

Command = TypeVar("Command", bound=Callable[..., int])


def options(command: Command) -> Command:
    """How the output is put, and by what the gateway is found."""
    for decorate in (
        click.option(
            "--admin", metavar="SOCKET", help="Admin socket of the gateway, to find it by."
        ),
        click.option("--config", metavar="FILE", help="Config file of the gateway, to find it by."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object in place of tables."),
    ):
        command = decorate(command)
    return command


def show(
    gather: Callable[[Daemon], dict[str, Any]],
    render: Callable[[dict[str, Any]], str],
    *,
    as_json: bool,
    config: str | None,
    admin: str | None,
) -> int:
    """Find the gateway, print what `gather` reads of it; the exit code."""
    from gwd.supervisor.daemon import Daemon, NoDaemon

    try:
        with Daemon.find(admin, config, os.environ) as daemon:
            found = gather(daemon)
    except NoDaemon as error:
        click.echo(f"gwd: {error}", err=True)
        return exits.NO_DAEMON
    click.echo(json.dumps(found, indent=2) if as_json else render(found))
    return exits.GOOD
