"""docs/configuration.md, written from the models: `python -m gwd.config.document > FILE`.

Strategy: one section per table in the order of the models, one row per key with its type, its
default and its description. A test holds the file against `document()`, so it is never stale.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gwd.config.tables.file import File
from gwd.config.unbuilt import UNBUILT, whole_keys

INTRODUCTION = """\
# Configuration

<!-- Generated from gwd/config/tables: python -m gwd.config.document > docs/configuration.md -->

gwd reads one TOML file: `--config FILE`, else `$GWD_CONFIG`, else `conf/gwd.toml`, else
`/etc/gwd/gwd.toml`. `gwd check` tells everything that is wrong with it, `gwd schema` prints its
JSON Schema for editors, `conf/gwd.toml` is a file to start from.

- **Unknown keys are errors**, with a guess at what was meant.
- **Durations** are `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`; **sizes** `"512B"`, `"64KiB"`,
  `"10MiB"`, `"1GiB"`; **rates** `"100/s"`, `"6000/m"`, `"50/h"`.
- **`${VAR}`** in a string is replaced by the environment variable; one that is not set is an
  error. **`${VAR:-default}`** takes the default if it is not set or empty. `$${` stands for `${`.
  A whole string such as `"${WORKERS}"` may also stand for a number or for true and false.
- **Secrets** come from a file or an environment variable only, and no message shows one.
- **Relative paths** are taken from the directory gwd was started in.
- **Host names** are resolved when the file is loaded; one that does not resolve is an error.
"""


def document() -> str:
    """The page, in Markdown."""
    unbuilt = whole_keys()
    lines = [INTRODUCTION]
    for name, field in File.model_fields.items():
        model, shape = _model(field.annotation)
        if model is not None:
            path = (name, *_step(shape))
            lines += _table(path, model, shape, unbuilt)
    lines += ["## Not built yet", ""]
    lines += ["Keys that gwd knows, with what it does about them until they are built:", ""]
    lines += ["| key | |", "| --- | --- |"]
    for row in UNBUILT:
        values = " = " + ", ".join(f'"{value}"' for value in row.values) if row.values else ""
        what = "refused" if row.error else "warning"
        if row.instead:
            what += f": {row.instead}"
        lines.append(f"| `{_shown(row.keys)}{values}` | {what} |")
    return "\n".join(lines) + "\n"


def _shown(keys: tuple[str, ...]) -> str:
    shown = ".".join(keys).replace(".*", "[]")
    return shown.replace("auth[]", "auth.NAME").replace("upstreams[]", "upstreams.NAME")


def _step(shape: str) -> tuple[str, ...]:
    return () if shape == "table" else ("*",)


def _table(
    path: tuple[str, ...], model: type[BaseModel], shape: str, unbuilt: frozenset[str]
) -> Iterator[str]:
    rows: list[str] = []
    below: list[tuple[tuple[str, ...], type[BaseModel], str]] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        if ".".join((*path, key)) in unbuilt:
            continue
        inner, inner_shape = _model(field.annotation)
        if inner is not None:
            below.append(((*path, key, *_step(inner_shape)), inner, inner_shape))
        rows.append(
            f"| `{key}` | {_type(model, name, field)} | {_default(field)} | {_prose(field)} |"
        )
    if rows:
        yield f"## {_title(path, shape)}"
        yield ""
        yield " ".join((model.__doc__ or "").split())
        yield ""
        yield "| key | type | default | |"
        yield "| --- | --- | --- | --- |"
        yield from rows
        yield ""
    for inner_path, inner, inner_shape in below:
        yield from _table(inner_path, inner, inner_shape, unbuilt)


def _title(path: tuple[str, ...], shape: str) -> str:
    top, *rest = path
    names = [top]
    for position, step in enumerate(rest):
        if step != "*":
            names.append(step)
        elif position == 0 and top in ("auth", "upstreams"):
            names.append("NAME")
    title = ".".join(names)
    if shape == "array":
        return f"`[[{title}]]`" if names[-1] in ("routes", "parts") else f"Items of `{title}`"
    return f"`[{title}]`"


def _prose(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined:
        return "required"
    if default is None or default == {}:
        return ""
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _type(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    schema = model.model_json_schema(by_alias=True)["properties"][field.alias or name]
    return _words(schema).replace("|", "\\|")


def _words(schema: dict[str, Any]) -> str:
    """A JSON Schema of one key in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "$ref" in schema:
        return "table"
    if "anyOf" in schema:
        choices = [_words(choice) for choice in schema["anyOf"] if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(choices))
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"array of {_words(schema.get('items', {}))}"
    if kind == "object":
        return f"table of {_words(schema.get('additionalProperties', {}))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f" {low} to {high}" if low is not None and high is not None else ""
    return f"{schema.get('x-unit', kind)}{bounds}"


def _model(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model an annotation is built around, and whether as "table", "named" or "array"."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, "table"
    origin = get_origin(annotation)
    shape = "named" if origin is dict else "array" if origin is list else None
    if shape is None and origin not in (types.UnionType, typing.Union, typing.Annotated):
        return None, "table"
    for argument in get_args(annotation):
        found, inner = _model(argument)
        if found is not None:
            return found, shape or inner
    return None, "table"


if __name__ == "__main__":
    print(document(), end="")
