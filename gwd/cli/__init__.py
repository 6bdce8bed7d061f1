"""The command line: one module per command, imported only when its command is called.

Strategy: `COMMANDS` holds what `gwd --help` shows, so help and completion of names import no
command. A command module `gwd.cli.NAME` has an attribute `command`, a click command, and returns
its exit code (None: 0). `main` turns everything that may end a command into a line on stderr and
an exit code of `gwd.cli.exits`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import click

from gwd.cli import exits


class Row(NamedTuple):
    """One command: the group it is shown in, and what it does in a line."""

    group: str
    help: str


COMMANDS: dict[str, Row] = {
    "demo": Row("Try", "Sample services and a gateway in front; lines to try."),
    "token": Row("Try", "Make and inspect tokens for trying out."),
    "check": Row("Configure", "Judge a config file; tell all that is wrong with it."),
    "explain": Row("Configure", "Say which route a request takes, and why."),
    "schema": Row("Configure", "Print the JSON Schema of the config file."),
    "run": Row("Run", "Run the gateway in the foreground."),
    "reload": Row("Run", "Have the running gateway load its config anew."),
    "stop": Row("Run", "Stop the running gateway gracefully."),
    "status": Row("Watch", "What the running gateway does, once."),
    "health": Row("Watch", "Exit 0 when the running gateway is ready."),
    "bans": Row("Watch", "Who is shut out, why, and for how long yet."),
    "ban": Row("Operate", "Shut an address out."),
    "unban": Row("Operate", "Let an address in again."),
}

GROUPS = ("Try", "Configure", "Run", "Watch", "Operate")

EPILOG = """\b
Examples:
  gwd demo
  gwd check --config conf/gwd.toml && gwd run --config conf/gwd.toml
"""


class LazyGroup(click.Group):
    """A group that knows its commands by name, and imports one to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"gwd.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name.lower(), COMMANDS, n=1)
            hint = f'did you mean "{close[0]}"?' if close else "gwd --help lists them."
            ctx.fail(f'"{name}" is not a command; {hint}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for group in GROUPS:
            rows = [(n.ljust(width), row.help) for n, row in COMMANDS.items() if row.group == group]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)


def version() -> str:
    """One line: gwd, and what it runs on."""
    import platform
    from importlib import metadata

    import gwd

    def installed(name: str) -> str:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return f"no {name}"

    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return (
        f"gwd {gwd.__version__} (Python {platform.python_version()}, {installed('uvloop')}, "
        f"{installed('h11')}, {platform.system()} {kernel})"
    )


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(version())
        ctx.exit()


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Print the versions of gwd and of what it runs on.",
)
def group() -> None:
    """An API gateway: one front door for a company's services."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. `args` are those of the process if None."""
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has had enough. Python would complain again when it flushes.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = exits.FAILED
    sys.exit(code)


def _run(args: Sequence[str] | None) -> int:
    try:
        result: Any = group.main(args, prog_name="gwd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("gwd: interrupted", err=True)
        return exits.INTERRUPTED
    except Exception as error:
        from gwd.config.problems import ConfigError

        if not isinstance(error, ConfigError):
            raise
        for problem in error.problems:
            click.echo(str(problem), err=True)
        return exits.FAILED
    return result if isinstance(result, int) and not isinstance(result, bool) else exits.GOOD
