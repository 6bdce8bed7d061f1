"""`${VAR}` and `${VAR:-default}` in the strings of the file.

Strategy: the values tomllib gave are walked once and strings rewritten; a string that came from
the environment becomes a `FromVariable`, so that `workers = "${WORKERS}"` can be read as a number
and so that no message ever shows it. `$${` stands for a literal `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gwd.config.places import Path

_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\})?",
    re.ASCII,
)


class FromVariable(str):
    """A string that holds something from the environment."""

    __slots__ = ()


def substitute(
    tree: Any, environ: Mapping[str, str], refuse: Callable[[Path, str], None]
) -> tuple[Any, dict[Path, str], dict[str, str]]:
    """`tree` with its references replaced, what stood there before, and the variables used.

    An unset variable without default, or a `${` that begins no reference, is told to `refuse`
    with its path and the reason. As in the shell, an empty variable takes the default.
    """
    before: dict[Path, str] = {}
    used: dict[str, str] = {}

    def text(path: Path, value: str) -> str:
        def one(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name, default = match[1], match[2]
            if name is None:
                refuse(path, 'holds a "${" that begins no reference; use ${VAR}, ${VAR:-default}')
                return ""
            found = environ.get(name)
            if default is not None:
                found = found or default
            elif found is None:
                refuse(
                    path,
                    f"names the environment variable {name}, which is not set; "
                    f"set it or use ${{{name}:-default}}",
                )
                return ""
            used[name] = found
            return found

        if "${" not in value:
            return value
        before[path] = shown(value)
        return FromVariable(_REFERENCE.sub(one, value))

    def walk(path: Path, value: Any) -> Any:
        if isinstance(value, str):
            return text(path, value)
        if isinstance(value, dict):
            return {key: walk((*path, key), item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk((*path, index), item) for index, item in enumerate(value)]
        return value

    return walk((), tree), before, used


def shown(text: str) -> str:
    """`text` as messages may show it: references stay, their defaults do not."""
    return re.sub(r"(\$\{\w{1,200}:-)[^{}]*\}", r"\1…}", text, flags=re.ASCII)
