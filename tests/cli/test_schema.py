from __future__ import annotations

import json

from click.testing import CliRunner

from gwd.cli.schema import command


def test_the_schema_is_printed_as_json() -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "routes" in found["properties"]
