"""Durations, sizes and rates as people write them in the file.

Strategy: each parser is one anchored, linear regular expression and one multiplication. A text
that does not fit raises `NotAllowed`, whose message continues a sentence that begins with the
value and never repeats it: the caller decides whether the value may be shown.
"""

from __future__ import annotations

import math
import re
from typing import Any

LONGEST = 366 * 86400.0
"""Seconds; longer durations are taken for a mistake."""

MOST_BURST = 1_000_000

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)", re.ASCII)
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DECIMAL_SIZE = re.compile(r"[0-9]{1,12} ?([kKMG])[bB]?", re.ASCII)
_RATE = re.compile(r"([0-9]{1,9})/(s|m|h)", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3})%", re.ASCII)

USE_DURATION = 'use "250ms", "2s", "5m"'
USE_SIZE = 'use "512B", "64KiB", "10MiB"'
USE_RATE = 'use "100/s", "6000/m"'


class NotAllowed(ValueError):
    """Why a value is not allowed, to be read after the value: "is not a duration; use …"."""


def kind(value: Any) -> str:
    """What TOML calls the type of `value`, with its article."""
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a float"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def _text(value: Any, use: str) -> str:
    if not isinstance(value, str):
        raise NotAllowed(f"is {kind(value)}; {use}")
    return value


def duration(value: Any) -> float:
    """Seconds of "250ms", "1.5s", "5m", "2h", "1d"; may be zero. Raises NotAllowed."""
    found = _DURATION.fullmatch(_text(value, USE_DURATION))
    if found is None:
        raise NotAllowed(f"is not a duration; {USE_DURATION}")
    seconds = float(found[1]) * _SECONDS[found[2]]
    if seconds > LONGEST:
        raise NotAllowed("is longer than a year; use at most 366d")
    return seconds


def positive_duration(value: Any) -> float:
    """As `duration`, but not zero. Raises NotAllowed."""
    seconds = duration(value)
    if seconds <= 0:
        raise NotAllowed("is no time at all; use more than 0s")
    return seconds


def size(value: Any) -> int:
    """Bytes of "512B", "64KiB", "10MiB", "1GiB"; not zero. Raises NotAllowed."""
    text = _text(value, USE_SIZE)
    found = _SIZE.fullmatch(text)
    if found is None:
        decimal = _DECIMAL_SIZE.fullmatch(text)
        if decimal is not None:
            raise NotAllowed(f'is not a size; sizes are binary, use "{decimal[1].upper()}iB"')
        raise NotAllowed(f"is not a size; {USE_SIZE}")
    count = int(found[1]) * _BYTES[found[2]]
    if not 0 < count < 1 << 48:
        raise NotAllowed("is out of range; use 1B or more, below 256 TiB")
    return count


def byte_rate(value: Any) -> int:
    """Bytes per second of "1KiB/s". Raises NotAllowed."""
    text = _text(value, 'use "1KiB/s"')
    if not text.endswith("/s") or _SIZE.fullmatch(text[:-2]) is None:
        raise NotAllowed('is not a rate of bytes; use "1KiB/s"')
    return size(text[:-2])


def rate(value: Any) -> float:
    """Events per second of "100/s", "6000/m", "10/h"; not zero. Raises NotAllowed."""
    found = _RATE.fullmatch(_text(value, USE_RATE))
    if found is None:
        raise NotAllowed(f"is not a rate; {USE_RATE}")
    count = int(found[1])
    if count == 0:
        raise NotAllowed(f"admits nothing; {USE_RATE}")
    return count / _SECONDS[found[2]]


def default_burst(per_second: float) -> int:
    """The burst of a rate that is written without one: one second's worth, at least 1."""
    return min(max(1, math.ceil(per_second)), MOST_BURST)


def percent(value: Any) -> float:
    """0.0 to 1.0 of "0%" to "100%". Raises NotAllowed."""
    found = _PERCENT.fullmatch(_text(value, 'use "50%"'))
    if found is None or int(found[1]) > 100:
        raise NotAllowed('is not a share; use "0%" to "100%"')
    return int(found[1]) / 100
