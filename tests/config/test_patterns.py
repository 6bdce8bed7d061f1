from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.config import patterns
from gwd.config.units import NotAllowed


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("/", ()),
        ("/*", ("*",)),
        ("/exact", ()),
        ("/dir/", ()),
        ("/prefix/*", ("*",)),
        ("/users/{id}/orders", ("id",)),
        ("/{a}/{b}/*", ("a", "b", "*")),
        ("/a%20b;v=1/@:!$&'()+,~", ()),
        ("/%C3%A9", ()),
    ],
)
def test_patterns_and_what_they_capture(text: str, names: tuple[str, ...]) -> None:
    assert patterns.pattern(text) == text
    assert patterns.captures(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        "orders",
        "/*/x",
        "/a*",
        "//",
        "/a//b",
        "/a/../b",
        "/./a",
        "/{id",
        "/x{id}",
        "/{}",
        "/{a b}",
        "/{*}",
        "/{id}/{id}",
        "/a?b",
        "/a#b",
        "/a b",
        "/é",
        "/%41",
        "/%c3",
        "/%zz",
        "/a\\b",
        "/" + "a" * 5000,
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(NotAllowed, match="; "):
        patterns.pattern(text)


@pytest.mark.parametrize("text", ["/v2/{*}", "/{a}-{b}", "/", "/a%2fb"])
def test_rewrites(text: str) -> None:
    assert patterns.rewrite(text) == text


@pytest.mark.parametrize(
    "text", ["v2", "//x", "/a?b", "/a#b", "/{", "/a}", "/{a b}", "/ ", "/../x"]
)
def test_what_is_no_rewrite_is_refused(text: str) -> None:
    with pytest.raises(NotAllowed):
        patterns.rewrite(text)


@pytest.mark.parametrize("text", ["/a?user={user}&x=1", "/a/{id}", "/a?b?c/d"])
def test_targets(text: str) -> None:
    assert patterns.target(text) == text


@pytest.mark.parametrize("text", ["/a?b c", "/a#b", "/a\r\nX: y", "a", "/a?{"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(NotAllowed):
        patterns.target(text)


@pytest.mark.parametrize("text", ["/new/{*}", "https://a.example:8443/{*}?x={id}", "http://[::1]/"])
def test_redirects(text: str) -> None:
    assert patterns.location(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "//evil.example/",
        "https://{host}/",
        "https://a.{host}/",
        "https://a@b/",
        "ftp://a/",
        "new",
        "javascript:x",
        "https://a.example{*}",
    ],
)
def test_a_redirect_cannot_leave_its_site_to_the_request(text: str) -> None:
    with pytest.raises(NotAllowed):
        patterns.location(text)


def test_a_health_check_asks_for_one_path() -> None:
    assert patterns.probe("/healthz?full=1") == "/healthz?full=1"
    with pytest.raises(NotAllowed):
        patterns.probe("/{id}")
    with pytest.raises(NotAllowed):
        patterns.literal_path("/x/*")


@given(st.text(max_size=30).map(lambda text: "/" + text))
def test_what_is_accepted_can_stand_in_a_request_line(text: str) -> None:
    for judge in (patterns.pattern, patterns.rewrite, patterns.target, patterns.location):
        try:
            accepted = judge(text)
        except NotAllowed:
            continue
        assert accepted.isascii()
        assert accepted.isprintable()
        assert " " not in accepted
