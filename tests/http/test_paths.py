"""The normal form of paths (SEC-12)."""

from __future__ import annotations

from posixpath import normpath
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.http.paths import check_hidden_dots, normalise
from gwd.http.problem import Refusal


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a/b.c/d-e_f~g", "/a/b.c/d-e_f~g"),
        ("//", "/"),
        ("//a", "/a"),
        ("/a//b///c//", "/a/b/c/"),
        ("/.", "/"),
        ("/./a", "/a"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/../", "/"),
        ("/a/../b", "/b"),
        ("/a/b/../../c", "/c"),
        ("/a//../b", "/a/b"),
        ("//../x", "/x"),
        ("/a/%2e%2e/g//x", "/g/x"),
        ("/a/%2E/b", "/a/b"),
        ("/%61%7e%2D", "/a~-"),
        ("/%c3%a4", "/%C3%A4"),
        ("/%20%25", "/%20%25"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/a;v=1/b;x", "/a;v=1/b;x"),
        ("/.hidden/..x/...", "/.hidden/..x/..."),
        ("/[a]", "/[a]"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
    ],
)
def test_a_path_has_one_normal_form(path: str, normal: str) -> None:
    assert normalise(path) == (normal, False)


@pytest.mark.parametrize(
    ("path", "normal"),
    [("/a%2fb", "/a%2Fb"), ("/a%5cb", "/a%5Cb"), ("/x/../%2F", "/%2F"), ("/a%2F", "/a%2F")],
)
def test_encoded_slashes_are_told_and_kept(path: str, normal: str) -> None:
    assert normalise(path) == (normal, True)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "/..",
        "/../x",
        "/a/../../x",
        "/%2e%2e/x",
        "/%",
        "/%4",
        "/%zz",
        "/%%41",
        "/%00",
        "/a%0d%0ab",
        "/%1F",
        "/%7f",
        "/..;/x",
        "/a/..;x=1/b",
        "/.;/x",
        "/%2e%2e;/x",
        "/..%3b/x",
        "/a\\b",
        "/a#b",
        "/a b",
        "/a\x00",
        "/a\n",
        "/ä",
        '/"',
        "/<",
        "/|",
    ],
)
def test_sec_12_what_servers_read_differently_is_refused(path: str) -> None:
    with pytest.raises(Refusal) as caught:
        normalise(path)
    assert (caught.value.status, caught.value.reason) == (400, "malformed")


@pytest.mark.parametrize(
    "path", ["/a/..%2fb", "/a%5c..%5cb", "/a%2F..", "/a%2F./b", "/a%2f..;x", "/%2f%2e%2e%3bx/y"]
)
def test_sec_12_dots_that_only_decoded_slashes_lay_bare_are_refused(path: str) -> None:
    normal, encoded_slash = normalise(path)
    assert encoded_slash
    with pytest.raises(Refusal):
        check_hidden_dots(normal)


@pytest.mark.parametrize("path", ["/a%2Fb", "/a..%2F..b", "/%2F...", "/%2F/", "/a.%5C.b;.."])
def test_dots_that_are_no_segment_pass_beside_encoded_slashes(path: str) -> None:
    check_hidden_dots(normalise(path)[0])


PATHS = st.lists(
    st.sampled_from(
        ["/", "/", ".", "..", "a", "b", ";", "%2e", "%2F", "%5c", "%25", "%41", "%c3", "%3b", "~"]
    ),
    max_size=14,
).map(lambda pieces: "/" + "".join(pieces))


@settings(max_examples=200)
@given(PATHS)
def test_the_normal_form_is_its_own_normal_form(path: str) -> None:
    try:
        normal, slash = normalise(path)
    except Refusal:
        return
    assert normalise(normal) == (normal, slash)
    assert "//" not in normal
    assert not {".", ".."} & set(normal.split("/"))
    assert slash == ("%2F" in normal or "%5C" in normal)


@settings(max_examples=200)
@given(PATHS)
def test_the_normal_form_names_the_file_that_posix_names(path: str) -> None:
    try:
        normal, slash = normalise(path)
    except Refusal:
        return
    # POSIX merges slashes before it looks at "..", and knows none that are encoded.
    if slash or "//" in path or "%25" in path:
        return
    decoded = unquote(path, encoding="latin-1")
    assert unquote(normal, encoding="latin-1").rstrip("/") == normpath(decoded).rstrip("/")
