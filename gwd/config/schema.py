"""The JSON Schema of the file, for editors: `gwd schema`.

Strategy: pydantic writes it from the models; what is not built yet is taken out again, so that an
editor marks it as `gwd check` would.
"""

from __future__ import annotations

from typing import Any

from gwd.config.tables.file import File
from gwd.config.unbuilt import UNBUILT


def schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of the file as TOML reads it."""
    found = File.model_json_schema(by_alias=True, mode="validation")
    definitions = found["$defs"]
    for row in UNBUILT:
        if not row.values:
            _leave_out(found, definitions, row.keys)
    used = _used(found, definitions)
    found["$defs"] = {name: item for name, item in definitions.items() if name in used}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "gwd config",
    }


def _leave_out(node: Any, definitions: dict[str, Any], keys: tuple[str, ...]) -> None:
    for table in _tables(node, definitions):
        if keys[0] == "*":
            for inner in (table.get("items"), table.get("additionalProperties")):
                if isinstance(inner, dict):
                    _leave_out(inner, definitions, keys[1:])
        elif len(keys) == 1:
            table.get("properties", {}).pop(keys[0], None)
        elif keys[0] in table.get("properties", {}):
            _leave_out(table["properties"][keys[0]], definitions, keys[1:])


def _tables(node: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """`node` and what it refers to or chooses from."""
    found = [node]
    reference = node.get("$ref")
    if isinstance(reference, str):
        found += _tables(definitions[reference.rpartition("/")[2]], definitions)
    for choice in node.get("anyOf", []):
        found += _tables(choice, definitions)
    return found


def _used(root: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """The definitions that can be reached without going through `$defs` itself."""
    used: set[str] = set()
    work: list[Any] = [{key: value for key, value in root.items() if key != "$defs"}]
    while work:
        node = work.pop()
        if isinstance(node, list):
            work.extend(node)
        elif isinstance(node, dict):
            work.extend(node.values())
            reference = node.get("$ref")
            name = reference.rpartition("/")[2] if isinstance(reference, str) else ""
            if name in definitions and name not in used:
                used.add(name)
                work.append(definitions[name])
    return used
