"""A Python peer: the proxy that one writes oneself, on aiohttp and uvloop (`own_proxy.py`)."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from loadtests.compare.place import Place, Setup

_PROGRAM = Path(__file__).with_name("own_proxy.py")


def plain(place: Place) -> Setup:
    command = [sys.executable, str(_PROGRAM), str(place.port), str(place.upstream)]
    environ = {**os.environ, "ACCESS_LOG": str(place.room / "access.log")}
    return Setup({}, command, environ)


def interpreter() -> str | None:
    """This Python, if it has aiohttp."""
    return sys.executable if importlib.util.find_spec("aiohttp") else None
