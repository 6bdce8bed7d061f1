"""docs/architecture.md names what there is: modules, functions, methods, floors."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
DOTTED = sorted(set(re.findall(r"`((?:[a-z_]+\.)+[A-Za-z_]\w*)`", PAGE)))
METHODS = sorted(set(re.findall(r"`([A-Z]\w+\.\w+)`", PAGE)))
SOURCES = [path.read_text() for path in (ROOT / "gwd").rglob("*.py")]


@pytest.mark.parametrize("name", DOTTED)
def test_a_dotted_name_is_a_module_or_part_of_one(name: str) -> None:
    there: object = importlib.import_module("gwd")
    path = "gwd"
    for part in name.split("."):
        path = f"{path}.{part}"
        try:
            there = importlib.import_module(path)
        except ModuleNotFoundError:
            there = getattr(there, part)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_one_of_its_class(name: str) -> None:
    class_, _, method = name.partition(".")
    bodies = [source.partition(f"class {class_}")[2] for source in SOURCES]
    assert any(f"def {method}(" in body for body in bodies)


def test_the_floors_are_those_that_are_held() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    held = [{room.strip() for room in floor.split("|")} for floor in contract["layers"]]
    drawn = PAGE.partition("## Floors")[2].partition("```\n")[2].partition("```")[0]
    shown = [
        {f"gwd.{word.strip()}" for word in re.split(r" {3,}", line)[0].split("|")}
        if "|" not in line
        else {f"gwd.{word.strip()}" for word in line.split("|")}
        for line in drawn.splitlines()
    ]
    assert shown == held


def test_the_tree_holds_every_module() -> None:
    """Indented lines below a room's name; several names may share a line of single words."""
    tree = PAGE.partition("### The tree")[2].partition("```\n")[2].partition("```")[0]
    named: set[str] = set()
    rooms: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        text = line.strip()
        name, *more = re.split(r" {2,}", text)
        del rooms[depth:]
        if name.endswith("/"):
            rooms.append(name.rstrip("/"))
            continue
        names = [name, *more] if all(" " not in word for word in more) and more[1:] else [name]
        named |= {"/".join([*rooms, each]) for each in names}
    there = {
        str(path.relative_to(ROOT / "gwd").with_suffix(""))
        for path in (ROOT / "gwd").rglob("*.py")
        if not path.name.startswith("__")
    }
    assert named == there
