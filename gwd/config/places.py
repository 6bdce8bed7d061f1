"""Where in the file every key and value stands.

Strategy: tomllib gives values without places, so the same text is parsed a second time by
tree-sitter-toml, and its tree is walked with TOML's own rules for dotted keys, table headers and
arrays of tables. A path is a tuple of keys and indices as one would subscript the value tomllib
returned: ("routes", 0, "parts", 1, "path").

Invariant: for a text that tomllib accepts, every path of its value has a place (held by a property
test). Should the two parsers ever differ, a path falls back to the nearest one above it that has.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """`line` and `column` count from 1, in characters; `end_column` is exclusive.

    What spans lines ends where its first line ends.
    """

    line: int
    column: int
    end_column: int


START = Place(1, 1, 1)


class Places:
    """The places of one file's keys and values."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._keys: dict[Path, Node] = {}
        self._values: dict[Path, Node] = {}
        self._last: dict[Path, int] = {}
        tree = Parser(Language(tree_sitter_toml.language())).parse(text.encode())
        self._document(tree.root_node)

    def key(self, path: Path) -> Place:
        """Where the key itself stands: for an item of an array, the item."""
        return self._nearest(self._keys, path)

    def value(self, path: Path) -> Place:
        """Where the value stands: for a table with a header, the name in the header."""
        return self._nearest(self._values, path)

    def has(self, path: Path) -> bool:
        """Whether exactly this path has a place of its own."""
        return path in self._values

    def line_text(self, line: int) -> str:
        """The text of a line, counted from 1."""
        return self._lines[line - 1].rstrip("\r") if 0 < line <= len(self._lines) else ""

    def _nearest(self, nodes: dict[Path, Node], path: Path) -> Place:
        while path:
            node = nodes.get(path)
            if node is not None:
                return self._place(node)
            path = path[:-1]
        return START

    def _place(self, node: Node) -> Place:
        row, start = node.start_point
        end_row, end = node.end_point
        line = self._lines[row].encode()
        if end_row != row:
            end = len(line.rstrip())
        first = len(line[:start].decode())
        return Place(row + 1, first + 1, max(first, len(line[:end].decode())) + 1)

    def _document(self, root: Node) -> None:
        for node in root.children:
            if node.type == "pair":
                self._pair((), node)
            elif node.type in ("table", "table_array_element"):
                self._table(node)

    def _table(self, node: Node) -> None:
        header = node.children[1]
        parts = _parts(header)
        base: Path = ()
        for position, (key, part) in enumerate(parts):
            base = (*base, key)
            last = position == len(parts) - 1
            if last and node.type == "table_array_element":
                self._keys.setdefault(base, part)
                self._values.setdefault(base, part)
                self._last[base] = self._last.get(base, -1) + 1
            elif last:
                # A header may come after [table.child] made the table: the header is better.
                self._keys[base] = self._values[base] = part
            else:
                self._keys.setdefault(base, part)
                self._values.setdefault(base, part)
            if base in self._last:
                base = (*base, self._last[base])
                self._keys.setdefault(base, header)
                self._values.setdefault(base, header)
        for child in node.children:
            if child.type == "pair":
                self._pair(base, child)

    def _pair(self, base: Path, node: Node) -> None:
        value = node.children[2]
        for key, part in _parts(node.children[0]):
            base = (*base, key)
            self._keys.setdefault(base, part)
            self._values.setdefault(base, part)
        self._value(base, value)

    def _value(self, path: Path, node: Node) -> None:
        # A list of work instead of recursion: arrays nest as deeply as the file says.
        work = [(path, node)]
        while work:
            path, node = work.pop()
            self._values[path] = node
            if node.type == "array":
                items = [c for c in node.children if c.is_named and c.type != "comment"]
                for index, item in enumerate(items):
                    self._keys[(*path, index)] = item
                    work.append(((*path, index), item))
            elif node.type == "inline_table":
                for pair in node.children:
                    if pair.type != "pair":
                        continue
                    inner = path
                    for key, part in _parts(pair.children[0]):
                        inner = (*inner, key)
                        self._keys.setdefault(inner, part)
                        self._values.setdefault(inner, part)
                    work.append((inner, pair.children[2]))


def _parts(node: Node) -> list[tuple[str, Node]]:
    """The keys of a bare, quoted or dotted key, outermost first."""
    parts: list[tuple[str, Node]] = []
    work = [node]
    while work:
        node = work.pop()
        if node.type == "dotted_key":
            work.extend(reversed(node.children))
        elif node.type in ("bare_key", "quoted_key"):
            parts.append((_key(node.text or b""), node))
    return parts


@lru_cache(maxsize=4096)
def _key(raw: bytes) -> str:
    text = raw.decode()
    if text[:1] in ("'", '"'):
        return str(tomllib.loads(f"k = {text}")["k"])
    return text
