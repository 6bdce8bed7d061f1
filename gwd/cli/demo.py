"""`gwd demo`: three sample services and a gateway in front of them, with lines to try."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

import click


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The gateway's port, 0 for any. Without it 8080 or, if that is taken, a free one.",
)
def command(port: int | None) -> None:
    """Start three sample services (two instances each) and a gateway in front of them on
    127.0.0.1, print a token and lines to try. Ctrl-C ends all of it and leaves nothing behind.

    \b
    Examples:
      gwd demo
      gwd demo --port 9000
    """
    from gwd.demo.show import Demo

    sys.exit(Demo(port, program()).run())


def program(argv0: str | None = None) -> str:
    """What to type to start this program from another directory."""
    path = os.path.abspath(sys.argv[0] if argv0 is None else argv0)
    if os.path.basename(path) != "gwd":
        return f"{shlex.quote(sys.executable)} -m gwd"
    found = shutil.which("gwd")
    if found is not None and os.path.realpath(found) == os.path.realpath(path):
        return "gwd"
    return shlex.quote(path)
