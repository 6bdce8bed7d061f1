"""Syntax and size of a request's head (SEC-07, SEC-08, SEC-10, SEC-17)."""

from __future__ import annotations

from tables.case import HOST, Seen, get, passed, raw, refused


def _field(line: str) -> bytes:
    return get(line)


CASES = (
    passed("plain", "SEC-01", get("X-A: b"), Seen(fields=("X-A: b",)), cut=True),
    passed("blanks-around-value", "SEC-01", get("X-A: \t b \t"), Seen(fields=("X-A: b",))),
    passed("no-blank-before-value", "SEC-01", get("X-A:b"), Seen(fields=("X-A: b",))),
    passed("empty-value", "SEC-01", get("X-A:"), Seen(fields=("X-A: ",))),
    passed("tab-in-value", "SEC-07", get("X-A: b\tc"), Seen(fields=("X-A: b\tc",))),
    passed("eight-bit-value", "SEC-07", get("X-A: \xe9\xff"), Seen(fields=("X-A: \xe9\xff",))),
    passed(
        "same-field-twice",
        "SEC-01",
        get("Cookie: a=1", "X-A: b", "Cookie: b=2"),
        Seen(fields=("Cookie: a=1", "X-A: b", "Cookie: b=2")),
    ),
    passed("one-empty-line-before", "SEC-07", b"\r\n" + get(), Seen(), cut=True),
    # Line ends.
    refused("two-empty-lines-before", "SEC-07", b"\r\n\r\n" + get()),
    refused("line-feed-before", "SEC-07", b"\n" + get()),
    refused("carriage-return-before", "SEC-07", b"\r" + get()),
    refused("line-feeds-only", "SEC-07", get("X-A: b").replace(b"\r\n", b"\n"), cut=True),
    refused("line-feed-behind-request-line", "SEC-07", get().replace(b"\r\n", b"\n", 1)),
    refused("line-feed-behind-field", "SEC-07", get("X-A: b\nX-B: c")),
    refused("line-feed-ends-head", "SEC-07", get()[:-2] + b"\n"),
    refused("carriage-return-in-value", "SEC-07", get("X-A: b\rc")),
    refused("carriage-return-ends-line", "SEC-07", get("X-A: b\rX-B: c")),
    refused("two-carriage-returns", "SEC-07", get("X-A: b\r")),
    refused("carriage-return-in-request-line", "SEC-07", raw("GET /x\r HTTP/1.1", HOST)),
    # Bytes in values.
    refused("nul-in-value", "SEC-07", get("X-A: b\x00c"), cut=True),
    refused("control-in-value", "SEC-07", get("X-A: b\x01c")),
    refused("escape-in-value", "SEC-07", get("X-A: \x1b[31m")),
    refused("delete-in-value", "SEC-07", get("X-A: b\x7fc")),
    refused("vertical-tab-in-value", "SEC-07", get("X-A: b\x0bc")),
    refused("form-feed-in-value", "SEC-07", get("X-A: b\x0cc")),
    refused("vertical-tab-around-value", "SEC-07", get("X-A: \x0bb")),
    # Names and colons.
    refused("fold", "SEC-07", get("X-A: b", " c"), cut=True),
    refused("fold-by-tab", "SEC-07", get("X-A: b", "\tc")),
    refused("fold-of-nothing", "SEC-07", get("X-A: b", " ")),
    refused("first-field-indented", "SEC-07", raw("GET /x HTTP/1.1", " X-A: b", HOST)),
    refused("blank-before-colon", "SEC-07", get("X-A : b")),
    refused("tab-before-colon", "SEC-07", get("X-A\t: b")),
    refused("no-colon", "SEC-07", get("X-A b")),
    refused("empty-name", "SEC-07", get(": b")),
    refused("blank-in-name", "SEC-07", get("X A: b")),
    refused("nul-in-name", "SEC-07", get("X\x00A: b")),
    refused("eight-bit-name", "SEC-07", get("X-\xe9: b")),
    refused("bracket-in-name", "SEC-07", get("X(A): b")),
    refused("quote-in-name", "SEC-07", get('"X-A": b')),
    refused("slash-in-name", "SEC-07", get("X/A: b")),
    *(
        passed(f"odd-name-{word}-is-dropped", "SEC-08", get(f"X{char}A: b", "X-B: c"), kept)
        for kept in (Seen(fields=("X-B: c",)),)
        for word, char in (
            ("underscore", "_"),
            ("dot", "."),
            ("tilde", "~"),
            ("bang", "!"),
            ("dollar", "$"),
            ("quote", "'"),
            ("star", "*"),
            ("plus", "+"),
            ("hash", "#"),
            ("pipe", "|"),
        )
    ),
    # The request line.
    refused("two-blanks-before-target", "SEC-07", raw("GET  /x HTTP/1.1", HOST)),
    refused("two-blanks-before-version", "SEC-07", raw("GET /x  HTTP/1.1", HOST)),
    refused("tab-in-request-line", "SEC-07", raw("GET\t/x HTTP/1.1", HOST)),
    refused("blank-before-method", "SEC-07", raw(" GET /x HTTP/1.1", HOST)),
    refused("blank-behind-version", "SEC-07", raw("GET /x HTTP/1.1 ", HOST)),
    refused("no-version", "SEC-10", raw("GET /x", HOST)),
    refused("http-0.9", "SEC-10", b"GET /x\r\n\r\n"),
    refused("no-target", "SEC-07", raw("GET HTTP/1.1", HOST)),
    refused("no-method", "SEC-07", raw("/x HTTP/1.1", HOST)),
    refused("bad-method", "SEC-07", raw("G(T /x HTTP/1.1", HOST)),
    refused("unknown-method-in-small-letters", "SEC-11", raw("get /x HTTP/1.1", HOST), (405, 501)),
    refused("four-words", "SEC-07", raw("GET /x HTTP/1.1 x", HOST)),
    *(
        refused(f"version-{word}", "SEC-10", raw(f"GET /x {version}", HOST), status)
        for word, version, status in (
            ("0.9", "HTTP/0.9", 505),
            ("1.2", "HTTP/1.2", 505),
            ("2.0", "HTTP/2.0", 505),
            ("9.9", "HTTP/9.9", 505),
            ("1.10", "HTTP/1.10", 400),
            ("11", "HTTP/11", 400),
            ("1", "HTTP/1", 400),
            ("small", "http/1.1", 400),
            ("other", "HTTPS/1.1", 400),
            ("letters", "HTTP/a.b", 400),
            ("arabic", "HTTP/1.\xb9", 400),
        )
    ),
    refused("http-2-preface", "SEC-10", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    refused("tls-hello", "SEC-07", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"x" * 40),
    refused("binary", "SEC-07", bytes(range(256))),
    # Sizes: the same in one read and in many.
    passed(
        "hundred-fields",
        "SEC-17",
        get(*(f"X-{n}: b" for n in range(99))),
        Seen(fields=tuple(f"X-{n}: b" for n in range(99))),
        bytewise=False,
    ),
    refused("101-fields", "SEC-17", get(*(f"X-{n}: b" for n in range(100))), 431, bytewise=False),
    refused("20000-fields", "SEC-17", get(*["a:"] * 20000), 431, bytewise=False),
    refused("head-of-40-kib", "SEC-17", get("X-A: " + "b" * 40000), 431, bytewise=False),
    refused("head-of-200-kib", "SEC-17", get("X-A: " + "b" * 200000), 431, bytewise=False),
    refused("head-without-end", "SEC-17", get("X-A: " + "b" * 40000)[:-4], 431, bytewise=False),
    refused("name-of-40-kib", "SEC-17", get("X" * 40000 + ": b"), 431, bytewise=False),
    refused(
        "blanks-that-cost-h11-seconds",
        "SEC-02",
        get("X:" + " " * 30000 + "\x0b"),
        bytewise=False,
    ),
    passed(
        "target-of-8-kib",
        "SEC-17",
        get(target="/x?" + "a" * 8000),
        Seen(target="/x?" + "a" * 8000),
        bytewise=False,
    ),
    refused("target-past-8-kib", "SEC-17", get(target="/x?" + "a" * 8200), 414, bytewise=False),
    refused(
        "target-of-40-kib", "SEC-17", get(target="/" + "a" * 40000), (414, 431), bytewise=False
    ),
)
