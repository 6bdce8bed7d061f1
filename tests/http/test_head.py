"""Looking fields up in what will be forwarded."""

from __future__ import annotations

import pytest

from gwd.http.head import RequestHead, find_field

LINES = b"Accept: a\r\nX-A: 1\r\nACCEPT: b: c\r\nX-Empty: \r\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"accept", b"a, b: c"),
        (b"x-a", b"1"),
        (b"x-empty", b""),
        (b"x-", None),
        (b"x-ab", None),
        (b"accep", None),
        (b"", None),
    ],
)
def test_a_field_is_found_by_its_whole_name(name: bytes, value: bytes | None) -> None:
    assert find_field(LINES, name) == value
    head = RequestHead()
    head.lines = LINES
    assert head.get(name) == value


def test_nothing_is_found_where_nothing_is() -> None:
    assert find_field(b"", b"a") is None
