"""The look at raw bytes (SEC-07)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.http.scan import is_clean

CONTROLS = sorted({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0D})


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_character_but_tab_is_seen(control: int) -> None:
    assert not is_clean(b"GET / HTTP/1.1\r\nA: b%cc\r\n\r\n" % control)


@pytest.mark.parametrize("data", [b"a\nb", b"\na", b"a\r\n\nb", b"a\n\rb", b"a\rb\r\n", b"\r\r\n"])
def test_a_cr_or_lf_alone_is_seen(data: bytes) -> None:
    assert not is_clean(data)


@pytest.mark.parametrize("data", [b"", b"a\tb\r\n", b"\x80\xff\r\n", b"a\r", b"\r", b"\r\n\r\n"])
def test_text_tabs_and_a_cr_at_the_end_pass(data: bytes) -> None:
    assert is_clean(data)


@given(st.binary(max_size=40))
def test_clean_lines_hold_no_control_character(data: bytes) -> None:
    if is_clean(data):
        for line in data.removesuffix(b"\r").split(b"\r\n"):
            assert not set(line) & {*range(0x20), 0x7F} - {0x09}


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\t"]), max_size=12), st.data())
def test_cut_in_two_the_same_is_seen(pieces: list[bytes], draw: st.DataObject) -> None:
    data = b"".join(pieces)
    cut = draw.draw(st.integers(0, len(data)))
    first, second = data[:cut], data[cut:]
    if first.endswith(b"\r"):
        second = b"\r" + second  # as the gate does: only its neighbour tells whether it was good
    assert is_clean(data) == (is_clean(first) and is_clean(second))
