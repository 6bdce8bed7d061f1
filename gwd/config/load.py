"""A config file on its way to a snapshot: read, parse, substitute, judge, resolve, write down.

Strategy: everything that can be wrong is told at once. Only two things end the way early, since
nothing can be judged after them: a file that cannot be read, and one that is not TOML.
Invariant: what `load` returns was read completely; nobody opens a file of the config after it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from gwd.config import addresses
from gwd.config.assemble import assemble, json_text
from gwd.config.draft import Draft, masked
from gwd.config.files import read_named
from gwd.config.find import default_admin_bind
from gwd.config.judge import judge
from gwd.config.names import resolve
from gwd.config.places import Path
from gwd.config.problems import ConfigError, Problem, in_order
from gwd.config.relations import judge_relations
from gwd.config.snapshot import Snapshot
from gwd.config.tls_files import read_tls
from gwd.config.units import NotAllowed

LARGEST = 16 << 20
"""Bytes of a config file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that is good."""

    snapshot: Snapshot
    warnings: list[Problem]
    draft: Draft

    def problem(self, *path: str | int, message: str) -> Problem:
        """An error about the value at `path`, for those who judge what config cannot.

        `message` must not repeat a value that came from a secret or a variable.
        """
        return self.draft.problem(path, message)


def load(path: str, environ: Mapping[str, str] | None = None) -> Loaded:
    """The file at `path` ("-": standard input), judged.

    Raises ConfigError with all that is wrong with it. Resolves the names of endpoints, so it may
    take `gwd.config.names.WITHIN` seconds.
    """
    environ = os.environ if environ is None else environ
    data = _read(path)
    file = "<stdin>" if path == "-" else path
    text, tree = _parse(file, data)
    draft = Draft(file, text, tree, environ)
    models = judge(draft)
    judge_relations(draft)
    _judge_defaults(draft)
    contents = read_named(draft, environ)
    tls_files = read_tls(draft)
    resolved = _resolve(draft)
    if models is None or draft.refused:
        raise ConfigError(in_order(draft.problems))
    snapshot = assemble(
        models,
        source=file,
        digest=_digest(data, draft.variables, contents),
        admin_bind=default_admin_bind(environ),
        contents=contents,
        resolved=resolved,
        tls_files=tls_files,
        route_lines=[
            draft.places.key(("routes", index)).line for index in range(len(models.routes))
        ],
    )
    return Loaded(snapshot, in_order(draft.problems), draft)


def _read(path: str) -> bytes:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        message = f"cannot be read: {(reason or 'not a file name').lower()}; name a readable file"
        raise ConfigError([Problem(file=path, message=message)]) from None
    if len(data) > LARGEST:
        raise ConfigError([Problem(file=path, message="is larger than 16 MiB; split it up")])
    return data


def _parse(file: str, data: bytes) -> tuple[str, dict[str, object]]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = "this byte is not UTF-8; save the file as UTF-8"
        problem = Problem(file, message, line=line, column=column, end_column=column + 1)
        raise ConfigError([problem]) from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_not_toml(file, text, str(error))]) from None
    except RecursionError:
        raise ConfigError([Problem(file, "nests too deeply; use fewer levels")]) from None


def _not_toml(file: str, text: str, said: str) -> Problem:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", said)
    lines = text.split("\n")
    if place is None or place[1] is None:
        line, column = len(lines), len(lines[-1]) + 1
    else:
        line, column = int(place[1]), int(place[2])
    # A line inside a string of several lines does not show whether it is a secret's.
    source = "" if '"""' in text or "'''" in text else masked(lines[line - 1].rstrip("\r"))
    what = said[: place.start()] if place else said
    return Problem(
        file=file,
        message=f"not TOML: {what[:1].lower()}{what[1:]}; see https://toml.io",
        line=line,
        column=column,
        end_column=column + 1,
        source=source,
    )


def _judge_defaults(draft: Draft) -> None:
    """What stands in for a missing part must be JSON, which has no dates and no infinity."""
    routes = draft.get(("routes",))
    for index, route in enumerate(routes if isinstance(routes, list) else []):
        parts = route.get("parts") if isinstance(route, dict) else None
        for number, part in enumerate(parts if isinstance(parts, list) else []):
            if isinstance(part, dict) and "default" in part:
                try:
                    json_text(part["default"])
                except (TypeError, ValueError, RecursionError):
                    path = ("routes", index, "parts", number, "default")
                    draft.refuse(path, "cannot be JSON; leave dates, inf and nan out")


def _resolve(draft: Draft) -> dict[str, str]:
    """The address of every host name among endpoints and listeners."""
    wanted: list[tuple[Path, str]] = []
    for path, text, lowest in _addresses(draft):
        try:
            found = addresses.address(text, lowest_port=lowest)
        except NotAllowed:
            continue
        if found.is_name and not draft.is_excused(path):
            wanted.append((path, found.host))
    answers = resolve(name for _, name in wanted)
    for path, name in wanted:
        answer = answers[name]
        if isinstance(answer, NotAllowed):
            draft.refuse(path, str(answer))
    return {name: answer for name, answer in answers.items() if isinstance(answer, str)}


def _addresses(draft: Draft) -> list[tuple[Path, str, int]]:
    found: list[tuple[Path, str, int]] = []

    def collect(path: Path, lowest: int) -> None:
        items = draft.get(path)
        for index, item in enumerate(items if isinstance(items, list) else []):
            where: Path = (*path, index)
            if isinstance(item, dict):
                where, item = (*where, "address"), item.get("address")
            if isinstance(item, str):
                found.append((where, item, lowest))

    collect(("server", "bind"), 0)
    upstreams = draft.get(("upstreams",))
    for name in upstreams if isinstance(upstreams, dict) else ():
        collect(("upstreams", name, "endpoints"), 1)
    return found


def _digest(data: bytes, variables: Mapping[str, str], contents: Mapping[Path, bytes]) -> str:
    """First 12 hex digits of the SHA-256 of all that was read, unambiguously joined."""
    sha = hashlib.sha256()
    named = [(repr(path).encode(), content) for path, content in contents.items()]
    named += [(name.encode(), os.fsencode(value)) for name, value in variables.items()]
    for label, content in [(b"", data), *sorted(named)]:
        sha.update(b"%d %d " % (len(label), len(content)) + label + content)
    return sha.hexdigest()[:12]
