"""Which certificate a client gets, by the name it asks for (SNI, RFC 6066 §3).

Strategy: two dictionaries made once, so a handshake looks twice at most, however many
certificates there are. An exact name wins over a wildcard, the first certificate of the file over
later ones, and a name that none has gets the default: the client, not the gateway, knows whether
it will take that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class ByName(Generic[T]):
    """Finds one of `choices`, pairs of names and what they stand for; the first is the default."""

    __slots__ = ("_default", "_exact", "_wildcards")

    def __init__(self, choices: Iterable[tuple[Iterable[str], T]]) -> None:
        """Names are in lower case, "*.x.y" for one label more. Raises ValueError for none."""
        choices = list(choices)
        if not choices:
            raise ValueError("there is nothing to choose from")
        self._default = choices[0][1]
        self._exact: dict[str, T] = {}
        self._wildcards: dict[str, T] = {}
        for names, choice in choices:
            for name in names:
                if name.startswith("*."):
                    self._wildcards.setdefault(name[1:], choice)
                else:
                    self._exact.setdefault(name, choice)

    def find(self, name: str | None) -> T:
        """The choice for `name` as in a ClientHello, None if there is no name in it.

        A wildcard stands for exactly one label (RFC 9525 §6.3).
        """
        if name is None:
            return self._default
        name = name.lower()
        found = self._exact.get(name)
        if found is None and (dot := name.find(".")) > 0:
            found = self._wildcards.get(name[dot:])
        return self._default if found is None else found
