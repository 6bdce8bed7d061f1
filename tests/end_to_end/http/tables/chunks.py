"""Chunks and trailers of a request's body (SEC-05, SEC-06)."""

from __future__ import annotations

from tables.case import CHUNKED, MAX_BODY, Seen, chunked, passed, refused

_LAST = b"0\r\n\r\n"


def _sees(body: bytes) -> Seen:
    return Seen(method="POST", body=body, framing=CHUNKED)


_HELLO = _sees(b"hello")
_SIZE_LINES = (
    ("blank-behind-size", b"5 \r\nhello\r\n"),
    ("tab-behind-size", b"5\t\r\nhello\r\n"),
    ("blank-before-size", b" 5\r\nhello\r\n"),
    ("size-with-plus", b"+5\r\nhello\r\n"),
    ("size-negative", b"-5\r\nhello\r\n"),
    ("size-with-0x", b"0x5\r\nhello\r\n"),
    ("size-with-underscore", b"0_5\r\nhello\r\n"),
    ("size-not-hexadecimal", b"5g\r\nhello\r\n"),
    ("size-empty", b"\r\nhello\r\n"),
    ("size-is-an-extension", b";a=b\r\nhello\r\n"),
    ("size-in-17-digits", b"00000000000000005\r\nhello\r\n"),
    ("size-wraps-64-bits", b"10000000000000005\r\nhello\r\n"),
    ("size-in-quotes", b'"5"\r\nhello\r\n'),
    ("line-feed-ends-size-line", b"5\nhello\r\n"),
    ("carriage-return-ends-size-line", b"5\rhello\r\n"),
    ("two-carriage-returns", b"5\r\r\nhello\r\n"),
    ("nul-in-size-line", b"5\x00\r\nhello\r\n"),
    ("extension-with-nul", b"5;a=\x00\r\nhello\r\n"),
    ("extension-with-carriage-return", b"5;a=\rb\r\nhello\r\n"),
    ("extension-with-line-feed", b"5;a\nb\r\nhello\r\n"),
    ("extension-with-control", b"5;a=\x01\r\nhello\r\n"),
    ("extension-of-300-bytes", b"5;a=" + b"b" * 300 + b"\r\nhello\r\n"),
    ("nothing-behind-data", b"5\r\nhello"),
    ("data-longer-than-size", b"5\r\nhelloX\r\n"),
    ("line-feed-behind-data", b"5\r\nhello\n"),
    ("carriage-return-behind-data", b"5\r\nhello\rX"),
)
_TRAILERS = (
    ("without-colon", b"X-A b\r\n"),
    ("with-blank-in-name", b"X A: b\r\n"),
    ("with-blank-before-colon", b"X-A : b\r\n"),
    ("with-empty-name", b": b\r\n"),
    ("with-line-feed", b"X-A: b\nX-B: c\r\n"),
    ("with-carriage-return", b"X-A: b\rc\r\n"),
    ("with-nul", b"X-A: \x00\r\n"),
    ("with-control", b"X-A: \x01\r\n"),
    ("folded", b"X-A: b\r\n c\r\n"),
)

CASES = (
    passed("one", "SEC-05", chunked(b"5\r\nhello\r\n" + _LAST), _HELLO, cut=True),
    passed("two", "SEC-05", chunked(b"2\r\nhe\r\n3\r\nllo\r\n" + _LAST), _HELLO, cut=True),
    passed("none", "SEC-05", chunked(_LAST), _sees(b"")),
    passed("hexadecimal", "SEC-05", chunked(b"a\r\n0123456789\r\n" + _LAST), _sees(b"0123456789")),
    passed("capitals", "SEC-05", chunked(b"A\r\n0123456789\r\n" + _LAST), _sees(b"0123456789")),
    passed("zeros", "SEC-05", chunked(b"0005\r\nhello\r\n000\r\n\r\n"), _HELLO),
    passed("looks-like-the-end", "SEC-05", chunked(b"5\r\n0\r\n\r\n\r\n" + _LAST), _sees(_LAST)),
    passed(
        "looks-like-a-request",
        "SEC-20",
        chunked(b"1a\r\nGET /smuggled HTTP/1.1\r\n\r\n\r\n" + _LAST),
        _sees(b"GET /smuggled HTTP/1.1\r\n\r\n"),
    ),
    passed("extension", "SEC-05", chunked(b"5;a\r\nhello\r\n" + _LAST), _HELLO),
    passed("extension-with-value", "SEC-05", chunked(b"5;a=b\r\nhello\r\n0;c=d\r\n\r\n"), _HELLO),
    passed("trailer", "SEC-06", chunked(b"5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"), _HELLO, cut=True),
    passed(
        "trailers-spoof-nothing",
        "SEC-06",
        chunked(b"5\r\nhello\r\n0\r\nX-User-Id: root\r\nCookie: a=b\r\n\r\n"),
        _HELLO,
    ),
    *(
        refused(name, "SEC-05", chunked(data + _LAST), unfinished=True)
        for name, data in _SIZE_LINES
    ),
    refused("end-by-line-feed", "SEC-05", chunked(b"5\r\nhello\r\n0\r\n\n"), unfinished=True),
    refused("end-by-two-line-feeds", "SEC-05", chunked(b"5\r\nhello\r\n0\n\n"), unfinished=True),
    refused("last-chunk-line-feed", "SEC-05", chunked(b"5\r\nhello\r\n0\n\r\n"), unfinished=True),
    refused(
        "size-of-16-digits",
        "SEC-05",
        chunked(b"ffffffffffffffff\r\nhello\r\n" + _LAST),
        (400, 413),
        unfinished=True,
    ),
    refused(
        "size-past-max-body",
        "SEC-17",
        chunked(b"%x\r\nhello" % (MAX_BODY + 1)),
        413,
        unfinished=True,
    ),
    refused(
        "sum-past-max-body",
        "SEC-17",
        chunked((b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 3 + _LAST),
        413,
        unfinished=True,
        bytewise=False,
    ),
    passed(
        "three-thousand-of-one-byte",
        "SEC-05",
        chunked(b"1\r\nx\r\n" * 3000 + _LAST),
        _sees(b"x" * 3000),
        bytewise=False,
    ),
    refused(
        "forty-thousand-of-one-byte",
        "SEC-05",
        chunked(b"1\r\nx\r\n" * 40000 + _LAST),
        unfinished=True,
        bytewise=False,
    ),
    refused(
        "more-extensions-than-body",
        "SEC-05",
        chunked((b"1;" + b"a" * 200 + b"\r\nx\r\n") * 200 + _LAST),
        unfinished=True,
        bytewise=False,
    ),
    *(
        refused(
            f"trailer-{name}",
            "SEC-06",
            chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"),
            unfinished=True,
        )
        for name, trailer in _TRAILERS
    ),
    refused(
        "trailers-of-40-kib",
        "SEC-06",
        chunked(b"5\r\nhello\r\n0\r\n" + (b"X-A: " + b"b" * 1000 + b"\r\n") * 40 + b"\r\n"),
        (400, 431),
        unfinished=True,
        bytewise=False,
    ),
    refused(
        "cut-in-data",
        "SEC-20",
        chunked(b"5\r\nhel"),
        (0, 400, 408),
        unfinished=True,
        half_closes=True,
    ),
    refused(
        "cut-before-the-end",
        "SEC-20",
        chunked(b"5\r\nhello\r\n"),
        (0, 400, 408),
        unfinished=True,
        half_closes=True,
    ),
)
