"""The JSON Schema of the file, for editors: `gwd schema`.

Strategy: pydantic writes it from the models. What is not built yet is taken out again where
`gwd check` refuses it, and marked as deprecated where it only warns, so that an editor says the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwd.config.tables.file import File
from gwd.config.unbuilt import UNBUILT


def schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of the file as TOML reads it."""
    found = File.model_json_schema(by_alias=True, mode="validation")
    definitions = found["$defs"]
    for row in UNBUILT:
        if not row.values:
            _revise(found, definitions, row.keys, _leave_out if row.error else _mark)
    used = _used(found, definitions)
    found["$defs"] = {name: item for name, item in definitions.items() if name in used}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "gwd config",
    }


def _leave_out(properties: dict[str, Any], key: str) -> None:
    properties.pop(key, None)


def _mark(properties: dict[str, Any], key: str) -> None:
    if key in properties:
        words = properties[key].get("description", "")
        properties[key] = {
            **properties[key],
            "description": f"Not built yet, does nothing. {words}".rstrip(),
            "deprecated": True,
        }


def _revise(
    node: Any,
    definitions: dict[str, Any],
    keys: tuple[str, ...],
    change: Callable[[dict[str, Any], str], None],
) -> None:
    """Apply `change` to the properties in which the key at the path `keys` stands."""
    for table in _tables(node, definitions):
        properties = table.get("properties", {})
        if keys[0] == "*":
            for inner in (table.get("items"), table.get("additionalProperties")):
                if isinstance(inner, dict):
                    _revise(inner, definitions, keys[1:], change)
        elif len(keys) == 1:
            change(properties, keys[0])
        elif keys[0] in properties:
            _revise(properties[keys[0]], definitions, keys[1:], change)


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
