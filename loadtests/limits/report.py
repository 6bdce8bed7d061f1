"""What a show tells: a table in Markdown, and the same as plain values."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gwd


@dataclass(slots=True)
class Show:
    """One table. `method` says how its figures came about."""

    name: str
    title: str
    method: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

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


def machine() -> str:
    return (
        f"gwd {gwd.__version__}, Python {sys.version.split()[0]}, Linux {platform.release()}, "
        f"{os.cpu_count()} cores, which clients and gateway share"
    )


def keep(shows: Sequence[Show], directory: Path, load: float, title: str = "Limits") -> None:
    """Write report.md and report.json into `directory`, under `title`. `load`: the machine's load
    average when all began, for others may have worked on it as well."""
    directory.mkdir(parents=True, exist_ok=True)
    when = datetime.date.today().isoformat()
    text = "\n\n".join(show.markdown() for show in shows)
    about = f"{machine()}. Load average at the start: {load:.1f}."
    (directory / "report.md").write_text(f"# {title}, {when}\n\n{about}\n\n{text}\n")
    plain = {
        "date": when,
        "machine": machine(),
        "load": round(load, 2),
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
