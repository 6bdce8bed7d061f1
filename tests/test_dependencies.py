"""docs/dependencies.md names every dependency with its reason, and nothing else."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTIONS = {"To run": None, "To test": "test", "To load": "load", "To compile": "compile"}
"""Heading of the page → extra of setup.cfg, None for what is always installed."""


def declared(extra: str | None) -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    if extra is None:
        text = setup["options"]["install_requires"]
    else:
        text = setup["options.extras_require"][extra]
    return [re.split(r"[ <>=!~;\[]", line, maxsplit=1)[0] for line in text.split("\n") if line]


def explained(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, as cells."""
    page = (ROOT / "docs" / "dependencies.md").read_text()
    match = re.search(rf"^## {heading}\b.*?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match is not None, heading
    rows = [line for line in match[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


@pytest.mark.parametrize(("heading", "extra"), SECTIONS.items())
def test_every_dependency_stands_on_the_page_and_no_other(heading: str, extra: str | None) -> None:
    assert [row[0] for row in explained(heading)] == declared(extra)


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_dependency_has_a_reason(heading: str) -> None:
    assert all(len(row) == 3 and all(row) for row in explained(heading))


def test_every_extra_has_its_section() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert set(setup["options.extras_require"]) == {extra for extra in SECTIONS.values() if extra}
