"""How much is run: CI a hundredth or so, `make prove` all of it."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T", int, float)


def amount(ordinary: T, prove: T) -> T:
    """`ordinary`, or `prove` under `make prove` (GWD_PROVE=1)."""
    return prove if os.environ.get("GWD_PROVE") == "1" else ordinary
