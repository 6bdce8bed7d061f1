"""A file while it is judged: its values, where each stands, and what was found wrong so far.

Strategy: every check reports through `refuse` or `warn`, with the path of what it is about.
Here, and only here, a path becomes file, line and key, and it is decided whether a value may be
shown: text from `${VAR}` is shown as it stands in the file, values of secret keys not at all
(SEC-44). A path that is already known to be wrong is not reported for what follows from that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gwd.config.places import Path, Places
from gwd.config.problems import Problem
from gwd.config.unbuilt import occurrences
from gwd.config.units import kind
from gwd.config.variables import substitute

_SECRET = re.compile(r"secret|passw|token|private|credential|api_?key", re.IGNORECASE)
_SECRET_LINE = re.compile(
    r"""((?:secret|passw|token|private|credential|api_?key)[\w"'.-]*\s*=\s*)\S.*$""", re.IGNORECASE
)
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_DEFAULT = re.compile(r"(\$\{\w{1,200}:-)([^{}]*)\}", re.ASCII)


class Draft:
    """`tree` is what the file says, with its `${VAR}`s replaced and without unbuilt keys."""

    def __init__(
        self, file: str, text: str, tree: dict[str, Any], environ: Mapping[str, str]
    ) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._text = text
        self._places: Places | None = None
        self._broken: set[Path] = set()
        self._before: dict[Path, str] = {}
        self.tree, self._before, self.variables = substitute(tree, environ, self._refuse_variable)
        self._leave_out_unbuilt()

    @property
    def places(self) -> Places:
        if self._places is None:
            self._places = Places(self._text)
        return self._places

    @property
    def refused(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def get(self, path: Path) -> Any:
        """The value at `path`, None if there is none."""
        value: Any = self.tree
        for step in path:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def refuse(self, path: Path, why: str) -> None:
        """The value at `path` is wrong: "<value> <why>"."""
        path = self._existing(path)
        self._report(path, f"{self.shown(path)} {why}")

    def refuse_key(self, path: Path, why: str) -> None:
        """The key at `path` is wrong, or missing: only `why` is said."""
        self._report(path, why, at_key=True)

    def warn(self, path: Path, why: str) -> None:
        self._report(path, why, at_key=True, severity="warning")

    def excuse(self, path: Path) -> None:
        """Say nothing more about `path` and what is below it."""
        self._broken.add(path)

    def is_excused(self, path: Path) -> bool:
        return any(path[:n] in self._broken for n in range(len(path) + 1))

    def shown(self, path: Path) -> str:
        """The value at `path` as a message may show it."""
        if _is_secret(path):
            return "this value"
        if path in self._before:
            return _quoted(self._before[path])
        value = self.get(path)
        if isinstance(value, str):
            return _quoted(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)[:60]
        return f"this {kind(value).split(' ', 1)[1]}"

    def part(self, path: Path, text: str) -> str:
        """`text`, a part of the value at `path`, as a message may show it."""
        hidden = _is_secret(path) or path in self._before
        return "something" if hidden else _quoted(text)

    def problem(
        self, path: Path, message: str, *, severity: str = "error", at_key: bool = False
    ) -> Problem:
        """A problem at `path`, whose `message` shows nothing that must be hidden."""
        place = self.places.key(path) if at_key else self.places.value(path)
        return Problem(
            file=self.file,
            message=message,
            key=dotted(path),
            line=place.line,
            column=place.column,
            end_column=place.end_column,
            severity=severity,
            source=masked(self.places.line_text(place.line)),
        )

    def _report(
        self, path: Path, message: str, *, severity: str = "error", at_key: bool = False
    ) -> None:
        if not self.is_excused(path):
            found = self.problem(path, message, severity=severity, at_key=at_key)
            self.problems.append(found)

    def _existing(self, path: Path) -> Path:
        """`path` up to where the file has it: "x" was judged as if it were ["x"]."""
        while path and self.get(path) is None:
            path = path[:-1]
        return path

    def _refuse_variable(self, path: Path, why: str) -> None:
        # Called while the tree is being made: `shown` knows this value from `_before` only.
        self._report(path, f"the value {why}")
        self.excuse(path)

    def _leave_out_unbuilt(self) -> None:
        for path, row in list(occurrences(self.tree)):
            what = f"{self.shown(path)} is not built yet" if row.values else "not built yet"
            parent, last = path[:-1], path[-1]
            if self.get(path) is False:
                pass  # Switched off is what it is.
            elif row.error:
                self._report(path, f"{what}; leave it out", at_key=not row.values)
                self.excuse(path)
                for key in row.excuses:
                    self.excuse(parent if key == "*" else (*parent, key))
            else:
                instead = f"; {row.instead}" if row.instead else " and has no effect"
                self.warn(path, f"{what}{instead}")
            holder = self.get(parent)
            # Items of arrays stay where they are: their errors are excused, indices must hold.
            if isinstance(holder, dict) and isinstance(last, str):
                holder.pop(last, None)


def _is_secret(path: Path) -> bool:
    names = [step for step in path if isinstance(step, str)]
    return bool(names) and _SECRET.search(names[-1]) is not None


def did_you_mean(word: str, known: list[str]) -> str | None:
    """The one of `known` that `word` is most likely a slip of."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    close = get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def dotted(path: Path) -> str:
    """`path` as one would write it: routes[0].parts[1].path."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE.fullmatch(step) else _quoted(step)
            text += f".{key}" if text else key
    return text


def masked(line: str) -> str:
    """A line of the file as it may be shown: no secret, no default of a variable."""
    line = _PEM.sub("***", _SECRET_LINE.sub(r"\1***", line))
    return _DEFAULT.sub(lambda match: match[1] + "*" * len(match[2]) + "}", line)


_PEM = re.compile(r"-----BEGIN [^\n]*+(?:\n.*+)?", re.DOTALL)
"""A key that stands where the name of its file was asked for, and all behind it."""
_CREDENTIALS = re.compile(r"://[^/@\s]*+@")
"""User and password of a URL, which stand where an address was asked for."""


def _quoted(text: str) -> str:
    """`text` in double quotes, on one line, at most 80 characters of it (SEC-45)."""
    text = _PEM.sub("***", text)
    text = _CREDENTIALS.sub("://***@", text)
    cut = text if len(text) <= 80 else text[:80] + "…"
    quoted = json.dumps(str(cut), ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in quoted)
