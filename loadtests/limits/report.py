"""What a show tells: a table in Markdown, and the same as plain values; and how shows are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.compare import machine


@dataclass(slots=True)
class Show:
    """One table. `method` says how its figures came about; `wrong`, what makes its run a failure,
    where it has a criterion."""

    name: str
    title: str
    method: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrong: str = ""

    def add(self, *cells: object) -> None:
        """A row, which is also printed: shows take a while."""
        row = tuple(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells)
        assert len(row) == len(self.columns), (row, self.columns)
        self.rows.append(row)
        print(f"{self.name}: " + "  ".join(row), flush=True)

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(f"{self.name}: {text}", flush=True)

    def markdown(self) -> str:
        lines = [_line(self.columns), _line(["---"] * len(self.columns))]
        lines += map(_line, self.rows)
        parts = [f"## {self.title}", self.method, "\n".join(lines)]
        parts += self.notes
        return "\n\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def keep(
    shows: Sequence[Show], directory: Path, meta: Mapping[str, Any], title: str = "Limits"
) -> None:
    """Write report.md, report.json and meta.json into `directory`, under `title`. `meta`: what
    `machine.meta` found when all began."""
    directory.mkdir(parents=True, exist_ok=True)
    when = str(meta["started"])[:10]
    about = machine.words(meta) + "\n- clients and gateway share the cores"
    parts = [f"# {title}, {when}", about, *(show.markdown() for show in shows)]
    (directory / "report.md").write_text("\n\n".join(parts) + "\n")
    plain = {
        "date": when,
        "shows": [
            {
                "name": show.name,
                "rows": [dict(zip(show.columns, row, strict=True)) for row in show.rows],
                "notes": show.notes,
            }
            for show in shows
        ],
    }
    (directory / "report.json").write_text(json.dumps(plain, indent=1) + "\n")
    machine.keep(directory, meta)
