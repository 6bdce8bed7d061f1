from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.config.snapshot import Route
from gwd.http.paths import normalise
from gwd.http.problem import Refusal
from gwd.routing.pattern import PatternError
from gwd.routing.rewrite import compile_rewrite, compile_template
from gwd.routing.table import Match, RouteTable

MakeRoute = Callable[..., Route]


@pytest.mark.parametrize(
    ("pattern", "rewrite", "path", "captures", "made"),
    [
        ("/orders/*", "/v2/orders/{*}", "/orders/7/items", ("/7/items",), "/v2/orders/7/items"),
        ("/orders/*", "/v2/orders/{*}", "/orders", ("",), "/v2/orders"),
        ("/orders/*", "/v2/orders/{*}", "/orders/", ("/",), "/v2/orders/"),
        ("/orders/*", "/{*}", "/orders", ("",), "/"),
        ("/orders/*", "/{*}", "/orders/7", ("/7",), "/7"),
        ("/orders/*", "/a/{*}/end", "/orders/", ("/",), "/a/end"),
        ("/orders/*", "/a/{*}/end", "/orders/7/", ("/7/",), "/a/7/end"),
        ("/orders/*", None, "/orders/7", ("/7",), "/orders/7"),
        ("/u/{id}", "/users/{id}.json", "/u/7", ("7",), "/users/7.json"),
        ("/u/{a}/{b}", "/{b}/{a}", "/u/1/2", ("1", "2"), "/2/1"),
        ("/u/{a}", "/100%25/{a}", "/u/1", ("1",), "/100%25/1"),
        ("/u/{a}", "/caf%c3%a9 é", "/u/1", ("1",), "/caf%C3%A9%20%C3%A9"),
        ("/u/{a}", "/{a}", "/u/%2F..%2F", ("%2F..%2F",), "/%2F..%2F"),
    ],
)
def test_a_rewrite_puts_captures_in_as_they_are(
    pattern: str, rewrite: str | None, path: str, captures: tuple[str, ...], made: str
) -> None:
    assert compile_rewrite(pattern, rewrite)(path, captures) == made


@pytest.mark.parametrize(
    ("pattern", "rewrite"),
    [
        ("/u/{id}", "/{name}"),
        ("/u/{id}", "/{*}"),
        ("/u/*", "/a-{*}"),
        ("/u/{id}", "/{id"),
        ("/u/{id}", "/a//b"),
        ("/u/{id}", "/a/../b"),
        ("/u/{id}", "/a/%2e%2E"),
        ("/u/{id}", "/.{id}"),
        ("/u/{id}", "/..;{id}"),
        ("/u/{id}", "/a?b"),
        ("/u/{id}", "/a#b"),
        ("/u/{id}", "/a%zz"),
        ("/u/{id}", "a"),
        ("/u/{id}", "//evil.example/a"),
        ("/u/{id}", "http://evil.example/a"),
    ],
)
def test_a_rewrite_that_could_mean_something_else_is_refused(pattern: str, rewrite: str) -> None:
    with pytest.raises(PatternError):
        compile_rewrite(pattern, rewrite)


@pytest.mark.parametrize("capture", [".", "..", "..;x", ".;"])
def test_a_dot_segment_never_comes_out(capture: str) -> None:
    with pytest.raises(Refusal) as caught:
        compile_rewrite("/u/{id}", "/a/{id}/b")("/u/x", (capture,))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("pattern", "template", "captures", "made"),
    [
        ("/h/{user}", "/orders?user={user}", ("ada",), "/orders?user=ada"),
        ("/h/{user}", "/orders?user={user}", ("a%26b",), "/orders?user=a%26b"),
        ("/h/{user}", "/o?u={user}&x=1", ("a&admin=1+2;'",), "/o?u=a%26admin%3D1%2B2%3B%27&x=1"),
        ("/h/*", "/o?path={*}", ("/a/b",), "/o?path=a%2Fb"),
        ("/h/*", "/o?p={*}", ("",), "/o?p="),
        ("/h/{a}", "/x?fixed=../50%25", ("1",), "/x?fixed=../50%25"),
        ("/h/{a}", "/x?p=50%25{a}", ("1",), "/x?p=50%251"),
        ("/h/*", "/new/{*}", ("",), "/new"),
        ("/h/*", "https://new.example:8443/{*}", ("/a",), "https://new.example:8443/a"),
        ("/h/*", "https://new.example", ("/a",), "https://new.example/"),
        ("/h/*", "https://new.example?a={*}", ("/a",), "https://new.example/?a=a"),
    ],
)
def test_a_template_encodes_what_a_query_would_read_as_syntax(
    pattern: str, template: str, captures: tuple[str, ...], made: str
) -> None:
    assert compile_template(pattern, template)(captures) == made


@pytest.mark.parametrize(
    "template",
    ["https://{user}/x", "https://a.{user}", "https://a@b/x", "//a/x", "javascript:x", "x/{user}",
     "/x?{nobody}", "/x?a b", "/x#{user}"],
)  # fmt: skip
def test_a_request_never_chooses_the_site_of_a_redirect(template: str) -> None:
    with pytest.raises(PatternError):
        compile_template("/h/{user}", template)


SEGMENTS = st.sampled_from(
    ["a", "...", ".a", "%2F", "%2F..", "%25", ";", "x;y", "&=", "~", "a.", "%C3"]
)
ENDS = st.sampled_from(["", "/"])


@settings(max_examples=200, deadline=None)
@given(st.lists(SEGMENTS, min_size=1, max_size=4), ENDS, st.integers(0, 5))
def test_what_a_rewrite_makes_of_a_matched_path_is_in_normal_form(
    make_route: MakeRoute, segments: list[str], end: str, chosen: int
) -> None:
    rewrites = ["/{*}", "/{a}", "/v/{a}{a}/{*}", "/{*}/x{a}/", "/x.{a}./{*}", "/{a}/{*}/{*}"]
    path = "/" + "/".join(segments) + end
    match = RouteTable([make_route("/{a}/*")]).match("", "GET", path)
    assert isinstance(match, Match)
    made = compile_rewrite("/{a}/*", rewrites[chosen])(path, match.captures)
    assert normalise(made)[0] == made
