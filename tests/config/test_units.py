from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.config import units
from gwd.config.units import NotAllowed


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.duration, "0s", 0.0),
        (units.duration, "250ms", 0.25),
        (units.duration, "1.5s", 1.5),
        (units.duration, "5m", 300.0),
        (units.duration, "2h", 7200.0),
        (units.duration, "366d", units.LONGEST),
        (units.size, "512B", 512),
        (units.size, "64KiB", 65536),
        (units.size, "10MiB", 10 << 20),
        (units.byte_rate, "1KiB/s", 1024),
        (units.rate, "100/s", 100.0),
        (units.rate, "6000/m", 100.0),
        (units.rate, "36/h", 0.01),
        (units.percent, "50%", 0.5),
    ],
)
def test_texts_become_numbers(parse: Callable[[Any], float], text: str, value: float) -> None:
    assert parse(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.duration, "2 sec"),
        (units.duration, "2"),
        (units.duration, "-1s"),
        (units.duration, "1e3s"),
        (units.duration, "inf"),
        (units.duration, "٣s"),
        (units.duration, "1s "),
        (units.duration, "367d"),
        (units.duration, 5),
        (units.duration, True),
        (units.positive_duration, "0ms"),
        (units.size, "10MB"),
        (units.size, "0B"),
        (units.size, "999999999999GiB"),
        (units.byte_rate, "1KiB"),
        (units.byte_rate, "1KiB/m"),
        (units.rate, "0/s"),
        (units.rate, "10/d"),
        (units.rate, "10"),
        (units.percent, "101%"),
        (units.percent, "half"),
    ],
)
def test_other_texts_are_refused_with_what_is_allowed(
    parse: Callable[[Any], float], text: Any
) -> None:
    with pytest.raises(NotAllowed, match=r"; .*(use|sizes)"):
        parse(text)


def test_a_decimal_size_is_answered_with_the_binary_one() -> None:
    with pytest.raises(NotAllowed, match='use "MiB"'):
        units.size("10MB")


@given(st.text(max_size=20))
def test_any_text_is_a_positive_number_or_refused(text: str) -> None:
    for parse in (units.positive_duration, units.size, units.byte_rate, units.rate):
        with contextlib.suppress(NotAllowed):
            assert parse(text) > 0


@given(st.integers(1, 10**6), st.sampled_from(["ms", "s", "m"]))
def test_a_written_duration_is_read_as_written(count: int, unit: str) -> None:
    seconds = count * {"ms": 0.001, "s": 1, "m": 60}[unit]
    if seconds <= units.LONGEST:
        assert units.duration(f"{count}{unit}") == pytest.approx(seconds)
