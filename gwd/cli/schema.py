"""`gwd schema`: the JSON Schema of the config file, for editors."""

from __future__ import annotations

import json

import click

EPILOG = """\b
Examples:
  gwd schema > gwd.schema.json
  gwd schema | jq '."$defs".RouteTable.properties | keys'
"""


@click.command("schema", epilog=EPILOG)
def command() -> None:
    """Print the JSON Schema of the config file.

    With `#:schema gwd.schema.json` as a file's first line, editors complete and check it.
    """
    from gwd.config.schema import schema

    click.echo(json.dumps(schema(), indent=2, ensure_ascii=False))
