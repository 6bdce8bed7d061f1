"""Host, request target and path: one meaning, matched and forwarded (SEC-09, SEC-11, SEC-12)."""

from __future__ import annotations

from tables.case import HOST, Seen, get, passed, raw, refused


def _hosts(*values: str) -> bytes:
    return raw("GET /x HTTP/1.1", *(f"Host: {value}" for value in values))


def _path(name: str, sent: str, forwarded: str, cut: bool = False) -> object:
    return passed(name, "SEC-12", get(target=sent), Seen(target=forwarded), cut=cut)


CASES = (
    # Host.
    refused("host-missing", "SEC-09", raw("GET /x HTTP/1.1"), cut=True),
    refused("host-twice", "SEC-09", _hosts("gw.test", "evil.test"), cut=True),
    refused("host-twice-equal", "SEC-09", _hosts("gw.test", "gw.test")),
    *(
        refused(f"host-{name}", "SEC-09", _hosts(value))
        for name, value in (
            ("empty", ""),
            ("with-user", "u@gw.test"),
            ("with-slash", "gw.test/x"),
            ("with-comma", "gw.test,evil.test"),
            ("with-blank", "gw.test evil.test"),
            ("with-control", "gw.test\x01"),
            ("with-question", "gw.test?x"),
            ("with-hash", "gw.test#x"),
            ("with-backslash", "gw.test\\x"),
            ("with-percent", "gw%2etest"),
            ("eight-bit", "gw.t\xebst"),
            ("bare-ipv6", "::1"),
            ("open-bracket", "[::1"),
            ("bad-ipv6", "[::g]"),
            ("port-zero", "gw.test:0"),
            ("port-too-high", "gw.test:65536"),
            ("port-word", "gw.test:http"),
            ("port-negative", "gw.test:-1"),
            ("two-ports", "gw.test:80:80"),
            ("only-port", ":80"),
            ("scheme", "http://gw.test"),
        )
    ),
    passed("host-capitals", "SEC-09", _hosts("GW.Test"), Seen(), cut=True),
    passed("host-final-dot", "SEC-09", _hosts("gw.test."), Seen()),
    passed("host-with-port", "SEC-09", _hosts("gw.test:8080"), Seen(host="gw.test:8080")),
    passed("host-dot-and-port", "SEC-09", _hosts("GW.test.:8080"), Seen(host="gw.test:8080")),
    passed("host-ipv4", "SEC-09", _hosts("192.0.2.7"), Seen(host="192.0.2.7")),
    passed("host-ipv6", "SEC-09", _hosts("[2001:db8::7]:81"), Seen(host="[2001:db8::7]:81")),
    # Forms of targets.
    passed("absolute", "SEC-09", get(target="http://gw.test/x?y=1"), Seen(target="/x?y=1")),
    passed("absolute-without-path", "SEC-09", get(target="http://gw.test"), Seen(target="/")),
    passed("absolute-in-capitals", "SEC-09", get(target="HTTP://GW.TEST/x"), Seen()),
    refused("absolute-other-host", "SEC-09", get(target="http://evil.test/x")),
    refused("absolute-other-port", "SEC-09", get(target="http://gw.test:81/x")),
    refused("absolute-with-user", "SEC-09", get(target="http://u@gw.test/x")),
    refused("absolute-of-ftp", "SEC-11", get(target="ftp://gw.test/x")),
    refused("absolute-of-file", "SEC-46", get(target="file:///etc/passwd")),
    refused("absolute-without-host", "SEC-09", get(target="http:///x")),
    refused("connect", "SEC-11", raw("CONNECT gw.test:443 HTTP/1.1", "Host: gw.test:443"), 501),
    refused("connect-path", "SEC-11", raw("CONNECT /x HTTP/1.1", HOST), (400, 501)),
    refused("trace", "SEC-11", raw("TRACE /x HTTP/1.1", HOST, "Cookie: a=b"), 405),
    refused("star-by-get", "SEC-11", get(target="*")),
    refused("star-by-options", "SEC-11", raw("OPTIONS * HTTP/1.1", HOST), 204, closes=False),
    refused("relative", "SEC-11", get(target="x")),
    refused("relative-with-at", "SEC-46", get(target="@evil.test/x")),
    refused("relative-query", "SEC-11", get(target="?x")),
    refused("authority", "SEC-11", get(target="gw.test:80")),
    passed(
        "two-slashes-are-no-authority",
        "SEC-46",
        get(target="//evil.test/x"),
        Seen(target="/evil.test/x"),
    ),
    # Bytes in targets.
    *(
        refused(f"target-with-{name}", "SEC-12", get(target=f"/a{char}b"))
        for name, char in (
            ("hash", "#"),
            ("quote", '"'),
            ("less", "<"),
            ("greater", ">"),
            ("caret", "^"),
            ("brace", "{"),
            ("closing-brace", "}"),
            ("backslash", "\\"),
            ("pipe", "|"),
            ("backtick", "`"),
            ("eight-bit", "\xe9"),
            ("blank", " "),
            ("tab", "\t"),
            ("nul", "\x00"),
            ("delete", "\x7f"),
            ("bad-percent", "%zz"),
            ("half-percent", "%4-"),
            ("encoded-nul", "%00"),
            ("encoded-line-feed", "%0a"),
            ("encoded-carriage-return", "%0D"),
            ("encoded-delete", "%7f"),
        )
    ),
    refused("target-ends-in-percent", "SEC-12", get(target="/a%")),
    refused("query-with-hash", "SEC-12", get(target="/a?b#c")),
    refused("query-with-eight-bit", "SEC-12", get(target="/a?\xe9")),
    # Normal form.
    _path("root", "/", "/"),
    _path("dot", "/a/./b", "/a/b"),
    _path("dot-at-end", "/a/.", "/a/"),
    _path("dots", "/a/../b", "/b"),
    _path("dots-at-end", "/a/b/..", "/a/"),
    _path("dots-to-root", "/a/..", "/"),
    _path("encoded-dots", "/a/%2e%2E/g//x", "/g/x", cut=True),
    _path("half-encoded-dots", "/a/.%2e/b", "/b"),
    _path("double-encoded-dots-stay", "/a/%252e%252e/b", "/a/%252e%252e/b"),
    _path("three-dots-stay", "/a/.../b", "/a/.../b"),
    _path("double-slashes", "//a///b//", "/a/b/"),
    _path("unreserved-decoded", "/%41%7e%5f-%2D", "/A~_--"),
    _path("capital-percent", "/%e2%82%ac", "/%E2%82%AC"),
    _path("reserved-stay", "/a%3Bb%26c%3d", "/a%3Bb%26c%3D"),
    _path("sub-delims-stay", "/a;b=c,d!e$f'(g)*+:@", "/a;b=c,d!e$f'(g)*+:@"),
    _path("encoded-slash-kept-by-route", "/keep/a%2fb%5Cc", "/keep/a%2Fb%5Cc"),
    _path("query-untouched", "/x?a=/../b&c=%2e%2e//&d=%zz", "/x?a=/../b&c=%2e%2e//&d=%zz"),
    _path("empty-query", "/x?", "/x?"),
    _path("two-question-marks", "/x??a", "/x??a"),
    refused("above-root", "SEC-12", get(target="/../x")),
    refused("above-root-encoded", "SEC-12", get(target="/%2e%2e/x")),
    refused("above-root-later", "SEC-12", get(target="/a/../../x")),
    refused("encoded-slash", "SEC-12", get(target="/a%2fb"), closes=False),
    refused("encoded-slash-and-dots", "SEC-12", get(target="/a%2f..%2fb")),
    refused("encoded-backslash", "SEC-12", get(target="/a%5cb"), closes=False),
    refused("dots-and-semicolon", "SEC-12", get(target="/a/..;/b")),
    refused("dot-and-semicolon", "SEC-12", get(target="/a/.;x/b")),
    refused("encoded-dots-and-semicolon", "SEC-12", get(target="/a/%2e%2e;x/b")),
    refused(
        "dots-lead-out-of-a-public-route",
        "SEC-12",
        get(target="/open/../secured/x"),
        401,
        closes=False,
    ),
    refused(
        "encoded-letters-lead-to-a-guarded-route",
        "SEC-12",
        get(target="/%73ecured/x"),
        401,
        closes=False,
    ),
    refused(
        "double-slash-leads-to-a-guarded-route",
        "SEC-12",
        get(target="//secured//x"),
        401,
        closes=False,
    ),
)
