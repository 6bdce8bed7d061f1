"""What is wrong with a config file, where, and how it is said.

Strategy: a Problem is plain data (it crosses process borders) and renders as one line,
`file:line: table.key: what was found; what is allowed`. All problems of a file are gathered and
raised together in one ConfigError. Problems are made where secrets are known and masked; nothing
here masks again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `line` and `column` count from 1 in characters, 0 means that there is no place in a file;
    `end_column` is exclusive and on the same line. `source` is the text of the line as it may be
    shown.
    """

    file: str
    message: str
    key: str = ""
    line: int = 0
    column: int = 0
    end_column: int = 0
    severity: str = "error"
    """"error" | "warning"."""
    source: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        warning = "warning: " if self.severity == "warning" else ""
        return f"{where}: {key}{warning}{self.message}"

    def frame(self) -> str:
        """The line of the file with carets below what is wrong; "" if there is no place."""
        if not self.line or not self.source:
            return ""
        margin = f"{self.line:>3} | "
        text = self.source.replace("\t", " ")
        width = max(1, min(self.end_column, len(text) + 1) - self.column)
        blank = " " * (len(margin) - 2)
        return f"{margin}{text}\n{blank}| {' ' * (self.column - 1)}{'^' * width}"


class ConfigError(Exception):
    """The config is refused: all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[Problem]]]:
        return type(self), (self.problems,)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By place in the file; at one place, in the order found, each only once."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column))


def as_json(problems: Iterable[Problem]) -> str:
    """One JSON object: `ok` and the list of `problems`, each with all its fields but the source."""
    rows = []
    for problem in problems:
        row = dataclasses.asdict(problem)
        del row["source"]
        rows.append(row)
    ok = not any(row["severity"] == "error" for row in rows)
    return json.dumps({"ok": ok, "problems": rows}, indent=2)


def as_github(problem: Problem) -> str:
    """A workflow command that GitHub turns into an annotation of the line."""
    fields = [f"file={_property(problem.file)}"]
    if problem.line:
        fields += [f"line={problem.line}", f"col={problem.column}"]
        fields += [f"endColumn={problem.end_column}"]
    if problem.key:
        fields.append(f"title={_property(problem.key)}")
    return f"::{problem.severity} {','.join(fields)}::{_data(str(problem))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
