"""Keys of the config contract whose feature is not built yet, as one table.

Strategy: a key in `UNBUILT` is known, so it is never "unknown", but it does nothing yet. Where it
guards something (who may come in, what is encrypted, who is refused), or where the file could
not mean anything without it, it is an error; else a warning, and the key is left out of what is
judged and loaded. The models already hold those that only await their feature: **to build one,
delete its row.** Generated documentation and schema leave out what is listed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gwd.config.places import Path


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """One key. In `path`, "*" is any name or index.

    `values`: only these values (shell patterns) are not built. `excuses`: keys beside it whose
    own errors would only follow from this one; "*" for all of them. `instead`: what happens.
    """

    path: str
    error: bool
    values: tuple[str, ...] = ()
    excuses: tuple[str, ...] = ()
    instead: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.path.split("."))


_KEY_SOURCES = ("jwks_file", "public_key_file", "secret_env", "secret_file")

UNBUILT: tuple[Unbuilt, ...] = (
    Unbuilt("admin.token_file", error=True),
    Unbuilt("admin.bind", error=False, instead="gwd status, reload and stop work without it"),
    Unbuilt(
        "auth.*.type",
        error=True,
        values=("api_key", "basic", "introspection", "http", "mtls"),
        excuses=("*",),
    ),
    Unbuilt("auth.*.jwks_url", error=True, excuses=_KEY_SOURCES),
    Unbuilt("auth.*.discovery_url", error=True, excuses=_KEY_SOURCES),
    Unbuilt("upstreams.*.dns", error=True, excuses=("endpoints",)),
    Unbuilt("upstreams.*.srv", error=True, excuses=("endpoints",)),
    Unbuilt("upstreams.*.file", error=True, excuses=("endpoints",)),
    Unbuilt("upstreams.*.endpoints.*", error=True, values=("unix:*",)),
    Unbuilt("upstreams.*.endpoints.*.address", error=True, values=("unix:*",)),
    Unbuilt("upstreams.*.tls", error=True),
    Unbuilt("upstreams.*.ejection", error=False, instead="use a health check"),
    Unbuilt(
        "upstreams.*.balance",
        error=False,
        values=("ewma", "ip_hash", "header_hash:*"),
        instead="least_requests is used",
    ),
    Unbuilt("routes.*.policies", error=True),
    Unbuilt("policies", error=True),
)


def occurrences(tree: Any) -> Iterator[tuple[Path, Unbuilt]]:
    """Where `tree` has keys that are not built."""
    for row in UNBUILT:
        for path, value in _matches(tree, row.keys, ()):
            if row.values and not (
                isinstance(value, str) and any(fnmatchcase(value, v) for v in row.values)
            ):
                continue
            yield path, row


def _matches(value: Any, keys: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Any]]:
    if not keys:
        yield path, value
    elif isinstance(value, list):
        if keys[0] == "*":
            for index, item in enumerate(value):
                yield from _matches(item, keys[1:], (*path, index))
    elif isinstance(value, dict):
        for name, item in value.items():
            if keys[0] in ("*", name):
                yield from _matches(item, keys[1:], (*path, name))


def whole_keys() -> frozenset[str]:
    """The paths that are not built whatever their value, for documentation and schema."""
    return frozenset(row.path for row in UNBUILT if not row.values)
