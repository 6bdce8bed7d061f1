from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.config import fields
from gwd.config.units import NotAllowed


def test_methods_are_tokens_in_capitals() -> None:
    assert fields.method("PROPFIND") == "PROPFIND"
    with pytest.raises(NotAllowed, match='use "GET"'):
        fields.method("get")
    for text in ("", "GET ", "G\nT", "CONNECT", "TRACE"):
        with pytest.raises(NotAllowed):
            fields.method(text)


@pytest.mark.parametrize(
    "name",
    ["Host", "content-type", "Authorization", "X-Forwarded-For", "X_User", "A:", "", "TE", "Via"],
)
def test_a_claim_cannot_take_a_name_that_means_something_else(name: str) -> None:
    with pytest.raises(NotAllowed):
        fields.identity_name(name)
    assert fields.identity_name("X-User-Id") == "X-User-Id"


@pytest.mark.parametrize(
    "name", ["Content-Length", "transfer-encoding", "Connection", "X-Request-Id"]
)
def test_an_answer_does_not_frame_itself(name: str) -> None:
    with pytest.raises(NotAllowed):
        fields.response_name(name)
    assert fields.response_name("Content-Type") == "Content-Type"


@given(st.text(max_size=40))
def test_no_control_character_passes(text: str) -> None:
    for judge in (fields.method, fields.field_name, fields.field_value, fields.response_name):
        try:
            accepted = judge(text)
        except NotAllowed:
            continue
        assert all(" " <= c <= "~" for c in accepted)
