"""`gwd check`: judge a config file and tell all that is wrong with it.

Problems are messages and go to stderr, one line each (with a frame below in the full format);
what machines read, `json` and `github`, goes to stdout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from gwd.cli import exits
from gwd.config.find import find_config
from gwd.config.problems import ConfigError, Problem, as_github, as_json, in_order

EPILOG = """\b
Examples:
  gwd check --config conf/gwd.toml
  generate-config | gwd check --config - --format github
"""


@click.command("check", epilog=EPILOG)
@click.option("--config", metavar="FILE", help='Config file; "-" is standard input.')
@click.option(
    "--format",
    "format_",
    type=click.Choice(["concise", "full", "json", "github"]),
    help="How problems are told; by default full on a terminal, else concise.",
)
def command(config: str | None, format_: str | None) -> int:
    """Judge a config file and all it names, and build its routes, as run and reload do.

    Exits with 0 if the file is good, with 1 if it is not.
    """
    style = format_ or ("full" if sys.stderr.isatty() else "concise")
    summary = ""
    try:
        path = find_config(config)
        from gwd.supervisor.loading import load_checked

        loaded = load_checked(path, os.environ)
        problems, code = list(loaded.warnings), exits.GOOD
        found = loaded.snapshot
        counts = [
            _count(len(found.routes), "route"),
            _count(len(found.upstreams), "upstream"),
            _count(sum(len(upstream.endpoints) for upstream in found.upstreams), "endpoint"),
        ]
        if found.server.tls is not None:
            counts.append(_count(len(found.server.tls.certificates), "certificate"))
        summary = f"{found.source}: good: {', '.join(counts)} (config {found.digest})"
    except ConfigError as refused:
        problems, code = refused.problems, exits.FAILED
    tell(in_order(problems), style)
    if summary and style in ("concise", "full"):
        click.echo(summary)
    return code


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def tell(problems: Sequence[Problem], style: str) -> None:
    """Print `problems` as "concise", "full", "json" or "github"."""
    if style == "json":
        click.echo(as_json(problems))
    for problem in problems:
        if style == "github":
            click.echo(as_github(problem))
        elif style in ("concise", "full"):
            click.echo(str(problem), err=True)
        if style == "full" and problem.frame():
            click.echo(_coloured(problem), err=True)


def _coloured(problem: Problem) -> str:
    text, _, carets = problem.frame().rpartition("\n")
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb":
        margin = carets.rstrip("^")
        colour = "red" if problem.severity == "error" else "yellow"
        carets = margin + click.style(carets[len(margin) :], fg=colour)
    return f"{text}\n{carets}"
