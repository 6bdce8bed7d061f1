from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.config.places import Path, Place, Places

KEYS = st.one_of(
    st.sampled_from(["a", "b", "c", "routes", "parts", "a-b", "1"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=6),
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=8),
    st.dates(min_value=datetime.date(1000, 1, 1)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
TREES = st.dictionaries(
    KEYS,
    st.one_of(
        VALUES,
        st.dictionaries(KEYS, VALUES, max_size=3),
        st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=3),
    ),
    max_size=5,
)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def written(value: Any) -> str:
    """`value` as TOML on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case float():
            return repr(value) if "." in repr(value) or "e" in repr(value) else f"{value!r}.0"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case dict():
            return "{ " + ", ".join(f"{quoted(k)} = {written(v)}" for k, v in value.items()) + " }"
        case _:
            return str(value)


class Writer:
    """Writes a tree as TOML, in a style drawn for each part: inline, dotted, with headers."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.lines: list[str] = []

    def table(self, header: str, table: dict[str, Any]) -> None:
        below: list[tuple[str, Any]] = []
        for key, value in table.items():
            name = f"{header}.{quoted(key)}" if header else quoted(key)
            of_tables = isinstance(value, list) and all(isinstance(v, dict) for v in value)
            headed = isinstance(value, dict) or (of_tables and value)
            if headed and self.draw(st.booleans()):
                below.append((name, value))
            elif isinstance(value, dict) and value and self.draw(st.booleans()):
                for inner, item in value.items():
                    self.lines.append(f"{quoted(key)} . {quoted(inner)} = {written(item)}")
            elif isinstance(value, list) and self.draw(st.booleans()):
                self.lines.append(f"{quoted(key)} = [ # é")
                self.lines += [f"  {written(item)}," for item in value]
                self.lines.append("]")
            else:
                self.lines.append(f"{quoted(key)} = {written(value)} # end")
        for name, value in below:
            for item in value if isinstance(value, list) else [value]:
                self.lines.append(f"[[{name}]]" if isinstance(value, list) else f"[ {name} ]")
                self.table(name, item)


@st.composite
def documents(draw: st.DrawFn) -> str:
    writer = Writer(draw)
    writer.table("", draw(TREES))
    return draw(st.sampled_from(["\n", "\r\n"])).join(writer.lines)


def paths(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


@settings(max_examples=200, deadline=None)
@given(documents())
def test_every_path_has_a_place_and_scalars_stand_there(text: str) -> None:
    places = Places(text)
    for path, value in paths(tomllib.loads(text)):
        assert places.has(path), path
        place = places.value(path)
        source = places.line_text(place.line)[place.column - 1 : place.end_column - 1]
        if not isinstance(value, list | dict):
            assert tomllib.loads(f"k = {source}")["k"] == value
        key = places.key(path)
        named = places.line_text(key.line)[key.column - 1 : key.end_column - 1]
        if isinstance(path[-1], str):
            assert path[-1] in tomllib.loads(f"{named} = 1")


def test_items_of_nested_arrays_of_tables_are_told_apart() -> None:
    text = (
        "[[routes]]\n[[routes.parts]]\npath = 1\n[[routes.parts]]\npath = 2\n"
        "[[routes]]\n[[routes.parts]]\npath = 3\n"
    )
    places = Places(text)
    assert places.value(("routes", 0, "parts", 1, "path")).line == 5
    assert places.value(("routes", 1, "parts", 0, "path")).line == 8
    assert places.key(("routes", 1)).line == 6


def test_columns_count_characters_not_bytes() -> None:
    assert Places('"é" = { "ü" = "ö", b = 1 }').value(("é", "b")) == Place(1, 24, 25)


def test_a_path_that_is_not_there_has_the_place_of_what_it_is_in() -> None:
    places = Places("\n[server]\nworkers = 1\n")
    assert places.key(("server", "bind")) == Place(2, 2, 8)
    assert places.key(("nothing",)) == Place(1, 1, 1)


def test_a_value_of_several_lines_ends_with_its_first() -> None:
    assert Places('a = """x\ny"""\n').value(("a",)) == Place(1, 5, 9)
