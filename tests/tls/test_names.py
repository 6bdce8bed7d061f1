from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.tls.names import ByName

CHOICES = ByName(
    [
        (["default.test"], "default"),
        (["a.test", "*.a.test"], "a"),
        (["www.a.test", "*.deep.a.test", "a.test"], "www"),
    ]
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("default.test", "default"),
        ("a.test", "a"),
        ("A.Test", "a"),
        ("x.a.test", "a"),
        ("www.a.test", "www"),
        ("x.deep.a.test", "www"),
        ("deep.a.test", "a"),
        ("x.y.a.test", "default"),
        ("nobody.test", "default"),
        ("*.a.test", "a"),
        (".a.test", "default"),
        ("a", "default"),
        ("", "default"),
        (None, "default"),
    ],
)
def test_exact_names_win_and_a_wildcard_is_one_label(name: str | None, found: str) -> None:
    assert CHOICES.find(name) == found


def test_there_must_be_a_default() -> None:
    with pytest.raises(ValueError, match="nothing"):
        ByName([])


LABELS = st.sampled_from(["a", "b", "www"])
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.one_of(HOSTS, HOSTS.map("*.{}".format))


def matches(pattern: str, name: str) -> bool:
    """RFC 9525 §6.3, label by label."""
    ours, theirs = pattern.split("."), name.split(".")
    return len(ours) == len(theirs) and all(
        one in (other, "*") for one, other in zip(ours, theirs, strict=True)
    )


@settings(max_examples=200)
@given(st.lists(st.lists(PATTERNS, max_size=3), min_size=1, max_size=4), HOSTS)
def test_what_is_found_is_what_a_search_finds(certificates: list[list[str]], name: str) -> None:
    numbers = range(len(certificates))
    exact = [n for n in numbers if name in certificates[n]]
    wild = [n for n in numbers if any(matches(p, name) for p in certificates[n])]
    expected = (exact or wild or [0])[0]
    assert ByName([(certificates[n], n) for n in numbers]).find(name) == expected
