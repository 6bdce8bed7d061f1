"""Request lines and authorities (SEC-09, SEC-10, SEC-11)."""

from __future__ import annotations

import pytest

from gwd.http.problem import Refusal
from gwd.http.target import RequestLine, parse_authority, parse_request_line


def parse(line: bytes) -> RequestLine:
    return parse_request_line(line, 8192)


def refused(line: bytes) -> int:
    with pytest.raises(Refusal) as caught:
        parse(line)
    assert caught.value.close
    return caught.value.status


def test_a_request_line_comes_down_to_its_parts() -> None:
    line = parse(b"GET /a/%7Eb//c?x=1?%2f HTTP/1.1")
    assert (line.method, line.path, line.query, line.minor) == ("GET", "/a/~b/c", "?x=1?%2f", 1)
    assert (line.host, line.authority, line.encoded_slash) == ("", b"", False)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET /",  # HTTP/0.9
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.10",
        b"GET / HTTP/11",
        b"GET / http/1.1",
        b"GET / HTTP/1,1",
        b"GET / HTTP/a.b",
        b"GET /a b HTTP/1.1",
        b"GET /\xc3\xa4 HTTP/1.1",
        b"G(T / HTTP/1.1",
    ],
)
def test_sec_07_a_malformed_request_line_is_refused(line: bytes) -> None:
    assert refused(line) == 400


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0", b"9.9"])
def test_sec_10_other_versions_are_refused(version: bytes) -> None:
    assert refused(b"GET / HTTP/" + version) == 505


def test_sec_10_the_http2_preface_is_refused() -> None:
    assert refused(b"PRI * HTTP/2.0") == 505


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"CONNECT a.example:443 HTTP/1.1", 501),
        (b"CONNECT / HTTP/1.0", 501),
        (b"get / HTTP/1.1", 501),
        (b"G_T / HTTP/1.1", 501),
        (b"TRACE / HTTP/1.1", 405),
        (b"GET * HTTP/1.1", 400),
        (b"OPTIONS *x HTTP/1.1", 400),
        (b"GET x HTTP/1.1", 400),
        (b"GET @b/x HTTP/1.1", 400),
        (b"GET ?x HTTP/1.1", 400),
        (b"GET a.example:80 HTTP/1.1", 400),
        (b"GET ftp://a.example/ HTTP/1.1", 400),
        (b"GET http:/a HTTP/1.1", 400),
        (b"GET http:///a HTTP/1.1", 400),
        (b"GET http://u@a.example/ HTTP/1.1", 400),
        (b"GET http://u:p@a.example/ HTTP/1.1", 400),
        (b"GET /public/..%2Fadmin HTTP/1.1", 400),
    ],
)
def test_sec_11_what_is_not_served_is_refused(line: bytes, status: int) -> None:
    assert refused(line) == status


def test_a_405_says_what_is_allowed() -> None:
    with pytest.raises(Refusal) as caught:
        parse(b"TRACE / HTTP/1.1")
    assert [name for name, _ in caught.value.headers] == ["Allow"]


@pytest.mark.parametrize("sign", list(b'#"<>^{}\\|`'))
def test_signs_that_must_be_encoded_are_refused_in_path_and_query(sign: int) -> None:
    assert refused(b"GET /a%cb HTTP/1.1" % sign) == 400
    assert refused(b"GET /?a%cb HTTP/1.1" % sign) == 400


def test_extension_methods_pass() -> None:
    assert parse(b"VERSION-CONTROL / HTTP/1.1").method == "VERSION-CONTROL"


def test_an_absolute_target_becomes_a_path_and_an_authority() -> None:
    line = parse(b"GET HTTP://A.Example.:8080/x/../y?q HTTP/1.1")
    assert (line.host, line.authority) == ("a.example", b"a.example:8080")
    assert (line.path, line.query) == ("/y", "?q")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [(b"http://a", "/", ""), (b"http://a?x", "/", "?x"), (b"https://a/", "/", "")],
)
def test_an_absolute_target_without_a_path_means_the_root(
    target: bytes, path: str, query: str
) -> None:
    line = parse(b"GET %b HTTP/1.1" % target)
    assert (line.path, line.query) == (path, query)


@pytest.mark.parametrize("target", [b"*", b"http://a.example"])
def test_options_of_the_server_itself_are_marked(target: bytes) -> None:
    assert parse(b"OPTIONS %b HTTP/1.1" % target).path == "*"


def test_sec_17_a_target_past_the_limit_is_too_long() -> None:
    assert parse_request_line(b"GET /1234567 HTTP/1.1", 8).path == "/1234567"
    with pytest.raises(Refusal) as caught:
        parse_request_line(b"GET /12345678 HTTP/1.1", 8)
    assert caught.value.status == 414


@pytest.mark.parametrize(
    ("text", "host", "authority"),
    [
        ("a", "a", b"a"),
        ("API.Company.com", "api.company.com", b"api.company.com"),
        ("api.company.com.", "api.company.com", b"api.company.com"),
        ("api.company.com.:080", "api.company.com", b"api.company.com:80"),
        ("my_service:9000", "my_service", b"my_service:9000"),
        ("127.0.0.1:1", "127.0.0.1", b"127.0.0.1:1"),
        ("[::1]", "[::1]", b"[::1]"),
        ("[2001:DB8:0::1]:65535", "[2001:db8::1]", b"[2001:db8::1]:65535"),
    ],
)
def test_sec_09_hosts_have_one_spelling(text: str, host: str, authority: bytes) -> None:
    assert parse_authority(text) == (host, authority)
    assert parse_authority(authority.decode()) == (host, authority)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ":80",
        "a:",
        "a:0",
        "a:65536",
        "a:999999",
        "a:+8",
        "a:8_0",
        "a:80:80",
        "a b",
        "a,b",
        "a/b",
        "u@a",
        "a..b",
        ".a",
        "a..",
        "a%41",
        "a\\b",
        "::1",
        "[::1",
        "[]",
        "[::1]x",
        "[::1]:",
        "[::1%eth0]",
        "[1:2]",
        "[v1.a]",
        "a" * 64,
        "a." * 127 + "a",
    ],
)
def test_sec_09_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_authority(text)
    assert caught.value.status == 400
