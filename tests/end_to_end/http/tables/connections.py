"""Connection, Expect and Upgrade (SEC-13, SEC-15, SEC-16)."""

from __future__ import annotations

from tables.case import HOST, Seen, get, passed, post, raw, refused

_BODY = Seen(method="POST", body=b"abc", framing=3)
_LENGTH = "Content-Length: 3"
_OLD = {"via": "1.0 gwd"}
"""RFC 9110 section 7.6.3: Via names the version in which the message was received."""

CASES = (
    # Hop-by-hop fields end here.
    passed("named-field-is-dropped", "SEC-13", get("Connection: X-A", "X-A: b"), Seen()),
    passed("named-field-in-other-case", "SEC-13", get("connection: x-a", "X-A: b"), Seen()),
    passed("two-named-fields", "SEC-13", get("Connection: X-A , X-B", "X-A: 1", "X-B: 2"), Seen()),
    passed(
        "two-connection-fields",
        "SEC-13",
        get("Connection: X-A", "X-A: 1", "Connection: X-B", "X-B: 2"),
        Seen(),
    ),
    passed("empty-list-members", "SEC-13", get("Connection: , X-A,,", "X-A: b"), Seen()),
    *(
        passed(f"hop-by-hop-{name.lower()}", "SEC-13", get(f"{name}: {value}"), Seen())
        for name, value in (
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "Basic Zm9vOmJhcg=="),
            ("Proxy-Authenticate", "Basic"),
            ("TE", "trailers"),
            ("Trailer", "X-A"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        )
    ),
    *(
        refused(f"connection-names-{name.lower()}", "SEC-13", get(f"Connection: {name}", field))
        for name, field in (
            ("Host", "X-A: b"),
            ("Content-Length", "X-A: b"),
            ("Content-Type", "Content-Type: text/plain"),
            ("Transfer-Encoding", "X-A: b"),
            ("Authorization", "Authorization: Bearer x"),
            ("Cookie", "Cookie: a=b"),
            ("Forwarded", "X-A: b"),
            ("X-Forwarded-For", "X-A: b"),
            ("X-Forwarded-Host", "X-A: b"),
            ("X-Forwarded-Proto", "X-A: b"),
            ("Via", "X-A: b"),
            ("X-Request-Id", "X-A: b"),
            ("traceparent", "X-A: b"),
            ("X-User-Id", "X-A: b"),
            ("x_user_id", "X-A: b"),
        )
    ),
    refused("connection-names-two", "SEC-13", get("Connection: close, X-Forwarded-For")),
    refused("connection-with-control", "SEC-07", get("Connection: close\x01")),
    # How long the client's connection lives.
    passed(
        "close",
        "SEC-13",
        get("Connection: close"),
        Seen(),
        closes=True,
        answer={"connection": "close"},
        cut=True,
    ),
    passed("close-in-capitals", "SEC-13", get("Connection: CLOSE"), Seen(), closes=True),
    passed(
        "close-beats-keep-alive",
        "SEC-13",
        get("Connection: keep-alive, close"),
        Seen(),
        closes=True,
    ),
    passed(
        "close-in-a-second-field",
        "SEC-13",
        get("Connection: keep-alive", "Connection: close"),
        Seen(),
        closes=True,
    ),
    passed("keep-alive", "SEC-13", get("Connection: keep-alive"), Seen()),
    passed(
        "http-1.0-closes",
        "SEC-13",
        get(version="HTTP/1.0"),
        Seen(forwarded=_OLD),
        closes=True,
        cut=True,
    ),
    passed(
        "http-1.0-keep-alive",
        "SEC-13",
        get("Connection: Keep-Alive", version="HTTP/1.0"),
        Seen(forwarded=_OLD),
        answer={"connection": "keep-alive"},
    ),
    passed(
        "http-1.0-both",
        "SEC-13",
        get("Connection: keep-alive, close", version="HTTP/1.0"),
        Seen(forwarded=_OLD),
        closes=True,
    ),
    # Expect: exactly 100-continue, never passed on.
    passed(
        "expect-with-its-body",
        "SEC-15",
        post("Expect: 100-continue", _LENGTH, body=b"abc"),
        _BODY,
        bytewise=False,
    ),
    passed("expect-without-body", "SEC-15", get("Expect: 100-continue"), Seen()),
    passed(
        "expect-of-nothing",
        "SEC-15",
        post("Expect: 100-continue", "Content-Length: 0"),
        Seen(method="POST", framing=0),
    ),
    passed(
        "expect-in-1.0",
        "SEC-15",
        raw("POST /x HTTP/1.0", HOST, "Expect: 100-continue", _LENGTH, body=b"abc"),
        Seen(method="POST", body=b"abc", framing=3, forwarded=_OLD),
        closes=True,
    ),
    *(
        refused(f"expect-{name}", "SEC-15", post(*fields, _LENGTH, body=b"abc"), 417)
        for name, fields in (
            ("list", ("Expect: 100-continue, x",)),
            ("list-twice", ("Expect: 100-continue, 100-continue",)),
            ("two-words", ("Expect: y 100-continue",)),
            ("other", ("Expect: foo",)),
            ("empty", ("Expect:",)),
            ("with-parameter", ("Expect: 100-continue;a=b",)),
            ("twice", ("Expect: 100-continue", "Expect: 100-continue")),
        )
    ),
    refused(
        "expect-folded",
        "SEC-07",
        raw("OPTIONS /x HTTP/1.1", HOST, "Expect: 100-continue", " ", _LENGTH, body=b"abc"),
    ),
    refused(
        "expect-of-a-wrong-method",
        "SEC-15",
        raw("PURGE /x HTTP/1.1", HOST, "Expect: 100-continue", _LENGTH),
        405,
    ),
    refused(
        "expect-without-token",
        "SEC-15",
        post("Expect: 100-continue", _LENGTH, target="/secured/x"),
        401,
    ),
    refused(
        "expect-of-too-much", "SEC-15", post("Expect: 100-continue", "Content-Length: 70000"), 413
    ),
    # Upgrade.
    passed(
        "h2c",
        "SEC-16",
        get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"),
        Seen(),
        answer={"upgrade": None},
    ),
    refused(
        "websocket-of-no-version", "SEC-16", get("Connection: Upgrade", "Upgrade: websocket"), 426
    ),
    refused(
        "websocket-without-a-key",
        "SEC-16",
        get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        400,
    ),
    passed("upgrade-without-connection", "SEC-16", get("Upgrade: websocket"), Seen()),
)
