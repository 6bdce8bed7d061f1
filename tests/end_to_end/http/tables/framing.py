"""Where a request's body ends: Content-Length and Transfer-Encoding (SEC-03, SEC-04)."""

from __future__ import annotations

from tables.case import CHUNKED, HOST, MAX_BODY, Seen, get, passed, post, raw, refused

_CHUNK = b"5\r\nhello\r\n0\r\n\r\n"
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n"


def _length(value: str, body: bytes = b"abc") -> bytes:
    return post(f"Content-Length: {value}", body=body)


def _coding(*values: str, body: bytes = _CHUNK) -> bytes:
    return post(*(f"Transfer-Encoding: {value}" for value in values), body=body)


_POSTED = Seen(method="POST", body=b"abc", framing=3)
_CODED = Seen(method="POST", body=b"hello", framing=CHUNKED)

CASES = (
    passed("content-length", "SEC-03", _length("3"), _POSTED, cut=True),
    passed("content-length-in-blanks", "SEC-03", _length(" \t3 "), _POSTED),
    passed("content-length-with-zeros-becomes-canonical", "SEC-03", _length("003"), _POSTED),
    passed(
        "content-length-zero",
        "SEC-03",
        _length("0", b""),
        Seen(method="POST", framing=0),
    ),
    passed("no-length-is-no-body", "SEC-03", post(), Seen(method="POST")),
    refused("length-and-coding", "SEC-03", _coding("chunked\r\nContent-Length: 5"), cut=True),
    refused(
        "coding-and-length",
        "SEC-03",
        post("Content-Length: 4", "Transfer-Encoding: chunked", body=_CHUNK),
    ),
    refused(
        "coding-and-length-zero",
        "SEC-03",
        post("Content-Length: 0", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + _SMUGGLED),
    ),
    refused("length-twice-equal", "SEC-03", _length("3\r\nContent-Length: 3"), cut=True),
    refused("length-twice-different", "SEC-03", _length("3\r\nContent-Length: 4")),
    refused("length-twice-apart", "SEC-03", _length("3\r\nX-A: b\r\ncontent-length: 3")),
    *(
        refused(f"length-{name}", "SEC-03", _length(value))
        for name, value in (
            ("list-equal", "3, 3"),
            ("list-different", "3, 4"),
            ("list-ends-empty", "3,"),
            ("list-begins-empty", ",3"),
            ("with-plus", "+3"),
            ("minus-zero", "-0"),
            ("negative", "-3"),
            ("hexadecimal", "0x3"),
            ("with-underscore", "3_0"),
            ("two-numbers", "1 2"),
            ("with-tab-inside", "1\t2"),
            ("empty", ""),
            ("fraction", "3.0"),
            ("exponent", "1e1"),
            ("with-parameter", "3;a=b"),
            ("quoted", '"3"'),
            ("arabic-digit", "\xd9\xa3"),
            ("superscript-digit", "\xb3"),
            ("19-digits", "1000000000000000000"),
            ("with-nul", "3\x00"),
            ("with-vertical-tab", "3\x0b"),
            ("two-to-the-64", "18446744073709551619"),
            ("33-zeros-and-a-3", "0" * 33 + "3"),
        )
    ),
    refused("length-18-digits", "SEC-17", _length("9" * 18), 413),
    refused("length-one-too-many", "SEC-17", _length(str(MAX_BODY + 1)), 413),
    refused("length-folded", "SEC-07", _length("\r\n 3")),
    refused("length-folded-behind", "SEC-07", _length("3\r\n ")),
    refused("length-blank-before-colon", "SEC-07", post("Content-Length : 3", body=b"abc")),
    passed(
        "length-with-underscore-is-no-length",
        "SEC-08",
        post("Content_Length: 43"),
        Seen(method="POST"),
    ),
    # Transfer-Encoding: chunked, once, in any case; nothing else.
    passed("chunked", "SEC-04", _coding("chunked"), _CODED, cut=True),
    passed("chunked-in-capitals", "SEC-04", _coding("CHUNKED"), _CODED),
    passed("chunked-in-blanks", "SEC-04", _coding("\t chunked \t"), _CODED),
    *(
        refused(f"coding-{name}", "SEC-04", _coding(value), 501)
        for name, value in (
            ("xchunked", "xchunked"),
            ("identity", "identity"),
            ("gzip", "gzip"),
            ("gzip-chunked", "gzip, chunked"),
            ("chunked-gzip", "chunked, gzip"),
            ("chunked-identity", "chunked, identity"),
            ("chunked-chunked", "chunked, chunked"),
            ("list-ends-empty", "chunked,"),
            ("list-begins-empty", ",chunked"),
            ("quoted", '"chunked"'),
            ("with-parameter", "chunked;q=1"),
            ("with-semicolon", "chunked;"),
            ("empty", ""),
            ("cow", "cow"),
            ("chunk", "chunk"),
            ("two-words", "chunked x"),
        )
    ),
    refused("coding-with-non-breaking-space", "SEC-07", _coding("chunked\xa0")),
    refused("coding-twice", "SEC-04", _coding("chunked", "chunked"), 501),
    refused("coding-twice-different", "SEC-04", _coding("chunked", "identity"), 501),
    refused("coding-twice-cow-last", "SEC-04", _coding("chunked", "cow"), 501),
    refused("coding-twice-empty-first", "SEC-04", _coding("", "chunked"), 501),
    *(
        refused(f"coding-with-{name}", "SEC-07", _coding(value))
        for name, value in (
            ("vertical-tab", "\x0bchunked"),
            ("form-feed", "chunked\x0c"),
            ("nul", "chunked\x00"),
            ("carriage-return", "chunked\r"),
            ("escape", "\x1bchunked"),
            ("delete", "chunked\x7f"),
            ("fold", "\r\n chunked"),
            ("fold-and-tab", "\r\n\tchunked"),
        )
    ),
    refused(
        "coding-blank-before-colon", "SEC-07", post("Transfer-Encoding : chunked", body=_CHUNK)
    ),
    refused("coding-tab-before-colon", "SEC-07", post("Transfer-Encoding\t: chunked", body=_CHUNK)),
    refused(
        "coding-behind-a-blank",
        "SEC-07",
        post("X-A: b", " Transfer-Encoding: chunked", body=_CHUNK),
    ),
    refused(
        "coding-behind-a-line-feed",
        "SEC-07",
        post("X-A: b\nTransfer-Encoding: chunked", body=_CHUNK),
    ),
    refused(
        "coding-behind-a-carriage-return",
        "SEC-07",
        post("X-A: b\rTransfer-Encoding: chunked", body=_CHUNK),
    ),
    passed(
        "coding-with-underscore-is-no-coding",
        "SEC-08",
        post("Transfer_Encoding: chunked", "Content-Length: 3", body=b"abc"),
        _POSTED,
    ),
    refused(
        "coding-in-1.0",
        "SEC-04",
        raw("POST /x HTTP/1.0", HOST, "Transfer-Encoding: chunked", body=_CHUNK),
    ),
    refused(
        "coding-in-1.0-keep-alive",
        "SEC-04",
        raw(
            "POST /x HTTP/1.0",
            HOST,
            "Connection: keep-alive",
            "Transfer-Encoding: chunked",
            body=_CHUNK,
        ),
    ),
    # A body is framed whatever the method says.
    *(
        passed(
            f"length-on-{method.lower()}",
            "SEC-19",
            raw(f"{method} /x HTTP/1.1", HOST, f"Content-Length: {len(_SMUGGLED)}", body=_SMUGGLED),
            Seen(method=method, body=_SMUGGLED, framing=len(_SMUGGLED)),
            cut=method == "GET",
        )
        for method in ("GET", "DELETE", "OPTIONS", "PUT", "PATCH")
    ),
    passed(
        "chunked-on-get",
        "SEC-19",
        get("Transfer-Encoding: chunked")[:-2] + b"\r\n" + _CHUNK,
        Seen(body=b"hello", framing=CHUNKED),
    ),
)
