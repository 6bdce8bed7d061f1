"""What upstreams send, and what a client gets of it (SEC-18, SEC-19, SEC-22, SEC-23)."""

from __future__ import annotations

from dataclasses import dataclass, field

from rig.upstream import Close, Pause, Reset, Step, response

ENDS = "ends"
"""The answer is whole and the client's connection goes on."""
CLOSES = "closes"
"""The answer is whole, and its end is the end of the connection."""
BREAKS = "breaks"
"""The head came, but the end of the body must not look like one."""


@dataclass(frozen=True)
class Answer:
    name: str
    sec: str
    script: tuple[Step, ...]
    """What the upstream sends."""
    status: int = 200
    body: bytes | None = b"ok"
    """What the client must get; None: it does not matter (problems)."""
    end: str = ENDS
    reused: bool = False
    """Whether the connection to the upstream carries the next request too."""
    method: str = "GET"
    version: str = "HTTP/1.1"
    sends: bytes = b""
    """The client's request, if it is not a plain one by `method` and `version`."""
    pause: float = 0.0
    """Seconds that the client waits before its next request."""
    fields: dict[str, str | None] = field(default_factory=dict)
    """Fields of the answer, by lower-case name; None: there is none."""


def good(name: str, sec: str, *script: Step, reused: bool = True, **rest: object) -> Answer:
    return Answer(name, sec, script, reused=reused, **rest)  # type: ignore[arg-type]


def bad(name: str, sec: str, *script: Step) -> Answer:
    """One that must become a 502; its connection is not used again."""
    return Answer(name, sec, script, status=502, body=None)


def broken(name: str, sec: str, *script: Step, version: str = "HTTP/1.1") -> Answer:
    """One that is cut after its head."""
    return Answer(name, sec, script, body=None, end=BREAKS, version=version)


def head(*lines: str, body: bytes = b"", status: str = "HTTP/1.1 200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (status, *lines)).encode("latin-1") + b"\r\n" + body


_CHUNKED = "Transfer-Encoding: chunked"
_OK_CHUNKS = b"2\r\nok\r\n0\r\n\r\n"
_EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
_UPLOAD = b"POST /case HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 60000\r\n\r\nfirst part"

CASES = (
    # Framing that is right.
    good("length", "SEC-01", response(b"ok")),
    good("chunked", "SEC-01", head(_CHUNKED, body=_OK_CHUNKS)),
    good("chunks-with-extension", "SEC-05", head(_CHUNKED, body=b"2;a=b\r\nok\r\n0\r\n\r\n")),
    good(
        "chunks-with-trailer",
        "SEC-06",
        head(_CHUNKED, "Trailer: X-A", body=b"2\r\nok\r\n0\r\nX-A: b\r\n\r\n"),
        fields={"x-a": None, "trailer": None},
    ),
    good("length-zero", "SEC-01", response(b""), body=b""),
    good(
        "length-with-zeros",
        "SEC-01",
        head("Content-Length: 002", body=b"ok"),
        fields={"content-length": "2"},
    ),
    good(
        "in-pieces",
        "SEC-01",
        b"HTTP/1.1 200",
        Pause(0.01),
        b" OK\r\nContent-Le",
        Pause(0.01),
        b"ngth: 2\r\n\r",
        Pause(0.01),
        b"\no",
        Pause(0.01),
        b"k",
    ),
    good("no-reason", "SEC-01", head("Content-Length: 2", status="HTTP/1.1 200 ", body=b"ok")),
    good(
        "unknown-status",
        "SEC-01",
        head("Content-Length: 2", status="HTTP/1.1 299 Odd", body=b"ok"),
        status=299,
    ),
    good(
        "204",
        "SEC-18",
        head(status="HTTP/1.1 204 No Content"),
        status=204,
        body=b"",
        fields={"content-length": None, "transfer-encoding": None},
    ),
    good(
        "304-with-length",
        "SEC-18",
        head("Content-Length: 5", 'ETag: "a"', status="HTTP/1.1 304 Not Modified"),
        status=304,
        body=b"",
        fields={"etag": '"a"'},
    ),
    good(
        "head-with-length",
        "SEC-18",
        head("Content-Length: 5"),
        method="HEAD",
        body=b"",
        fields={"content-length": "5"},
    ),
    good("head-chunked", "SEC-18", head(_CHUNKED), method="HEAD", body=b""),
    good(
        "two-cookies",
        "SEC-01",
        response(b"ok", "Set-Cookie: a=1", "Set-Cookie: b=2"),
        fields={"set-cookie": "a=1|b=2"},
    ),
    good(
        "eight-bit-value",
        "SEC-01",
        head("Content-Length: 2", "X-A: \xe9", body=b"ok"),
        fields={"x-a": "\xe9"},
    ),
    # Until the connection closes.
    good(
        "until-close",
        "SEC-22",
        head(body=b"ok"),
        Close(),
        reused=False,
        fields={"transfer-encoding": "chunked"},
    ),
    good(
        "until-close-to-1.0",
        "SEC-22",
        head(body=b"ok"),
        Close(),
        reused=False,
        end=CLOSES,
        version="HTTP/1.0",
        fields={"transfer-encoding": None},
    ),
    good("from-1.0", "SEC-19", head(status="HTTP/1.0 200 OK", body=b"ok"), Close(), reused=False),
    good(
        "from-1.0-with-length",
        "SEC-19",
        head("Content-Length: 2", status="HTTP/1.0 200 OK", body=b"ok"),
        reused=False,
    ),
    good(
        "chunked-to-1.0",
        "SEC-01",
        head(_CHUNKED, body=_OK_CHUNKS),
        version="HTTP/1.0",
        end=CLOSES,
        fields={"transfer-encoding": None},
    ),
    good(
        "connection-close",
        "SEC-19",
        response(b"ok", "Connection: close"),
        reused=False,
        fields={"connection": None},
    ),
    # Hop-by-hop fields end here.
    good(
        "hop-by-hop-fields",
        "SEC-01",
        response(
            b"ok",
            "Connection: X-A",
            "X-A: b",
            "Keep-Alive: timeout=5",
            "Proxy-Authenticate: Basic",
            "Upgrade: h2c",
            "X-B: c",
        ),
        fields={
            "x-a": None,
            "keep-alive": None,
            "proxy-authenticate": None,
            "upgrade": None,
            "x-b": "c",
        },
    ),
    # Framing that is not.
    bad("length-and-coding", "SEC-18", head("Content-Length: 2", _CHUNKED, body=_OK_CHUNKS)),
    bad("length-twice", "SEC-18", head("Content-Length: 2", "Content-Length: 3", body=b"ok")),
    bad("length-twice-equal", "SEC-18", head("Content-Length: 2", "Content-Length: 2", body=b"ok")),
    bad("length-list", "SEC-18", head("Content-Length: 2, 2", body=b"ok")),
    bad("length-negative", "SEC-18", head("Content-Length: -2", body=b"ok")),
    bad("length-with-plus", "SEC-18", head("Content-Length: +2", body=b"ok")),
    bad("length-of-20-digits", "SEC-18", head("Content-Length: " + "9" * 20, body=b"ok")),
    bad("coding-gzip", "SEC-18", head("Transfer-Encoding: gzip", body=b"ok")),
    bad("coding-twice", "SEC-18", head(_CHUNKED, _CHUNKED, body=_OK_CHUNKS)),
    bad("coding-gzip-chunked", "SEC-18", head("Transfer-Encoding: gzip, chunked", body=_OK_CHUNKS)),
    bad("coding-in-1.0", "SEC-18", head(_CHUNKED, status="HTTP/1.0 200 OK", body=_OK_CHUNKS)),
    *(
        bad(f"status-line-{name}", "SEC-18", head("Content-Length: 2", status=line, body=b"ok"))
        for name, line in (
            ("status-600", "HTTP/1.1 600 OK"),
            ("status-99", "HTTP/1.1 99 OK"),
            ("status-099", "HTTP/1.1 099 OK"),
            ("status-2000", "HTTP/1.1 2000 OK"),
            ("status-word", "HTTP/1.1 OK"),
            ("version-0.9", "HTTP/0.9 200 OK"),
            ("version-2.0", "HTTP/2.0 200 OK"),
            ("version-small", "http/1.1 200 OK"),
            ("other-protocol", "ICY 200 OK"),
            ("control-in-reason", "HTTP/1.1 200 O\x01K"),
            ("two-blanks", "HTTP/1.1  200 OK"),
        )
    ),
    bad("line-feeds", "SEC-18", response(b"ok").replace(b"\r\n", b"\n")),
    bad("line-feed-in-value", "SEC-18", response(b"ok", "X-A: b\nX-B: c")),
    bad("carriage-return-in-value", "SEC-18", response(b"ok", "X-A: b\rc")),
    bad("control-in-value", "SEC-18", response(b"ok", "X-A: b\x01")),
    bad("nul-in-value", "SEC-18", response(b"ok", "X-A: b\x00")),
    bad("blank-before-colon", "SEC-18", response(b"ok", "X-A : b")),
    bad("no-colon", "SEC-18", response(b"ok", "X-A")),
    bad("head-of-100-kib", "SEC-27", response(b"ok", "X-A: " + "b" * 100_000)),
    bad("300-fields", "SEC-27", response(b"ok", *(f"X-{n}: b" for n in range(300)))),
    bad("garbage", "SEC-18", b"\x00\x01\x02 no http at all\r\n\r\n"),
    bad("greeting-of-another-protocol", "SEC-18", b"220 mail.test ESMTP\r\n\r\n"),
    bad(
        "unasked-101",
        "SEC-23",
        head(
            "Upgrade: websocket", "Connection: Upgrade", status="HTTP/1.1 101 Switching Protocols"
        ),
    ),
    bad("bad-chunk-size", "SEC-18", head(_CHUNKED, body=b"xx\r\nok\r\n0\r\n\r\n")),
    # Interim responses.
    good("after-103", "SEC-23", head(status="HTTP/1.1 103 Early Hints") + response(b"ok")),
    good(
        "after-an-unasked-100",
        "SEC-23",
        head(status="HTTP/1.1 100 Continue"),
        Pause(0.01),
        response(b"ok"),
    ),
    good("after-8-interim", "SEC-23", head(status="HTTP/1.1 102 Processing") * 8 + response(b"ok")),
    bad("after-9-interim", "SEC-23", head(status="HTTP/1.1 102 Processing") * 9 + response(b"ok")),
    # Bytes past the end.
    good("surplus", "SEC-18", response(b"ok") + _EVIL, reused=False),
    good("surplus-byte", "SEC-18", response(b"ok") + b"x", reused=False),
    good("surplus-after-chunks", "SEC-18", head(_CHUNKED, body=_OK_CHUNKS) + _EVIL, reused=False),
    good(
        "surplus-after-204",
        "SEC-18",
        head(status="HTTP/1.1 204 No Content") + _EVIL,
        reused=False,
        status=204,
        body=b"",
    ),
    good(
        "surplus-after-304",
        "SEC-18",
        head(status="HTTP/1.1 304 Not Modified") + _EVIL,
        reused=False,
        status=304,
        body=b"",
    ),
    good("body-after-head", "SEC-18", response(b"evil"), method="HEAD", body=b"", reused=False),
    good("surplus-later", "SEC-18", response(b"ok"), Pause(0.02), _EVIL, reused=False, pause=0.08),
    good(
        "closed-while-idle",
        "SEC-18",
        response(b"ok"),
        Pause(0.02),
        Close(),
        reused=False,
        pause=0.08,
    ),
    good(
        "reset-while-idle",
        "SEC-18",
        response(b"ok"),
        Pause(0.02),
        Reset(),
        reused=False,
        pause=0.08,
    ),
    # Bodies that do not come whole.
    broken("truncated-length", "SEC-22", head("Content-Length: 9", body=b"ok"), Close()),
    broken(
        "truncated-later",
        "SEC-22",
        head("Content-Length: 9", body=b"ok"),
        Pause(0.05),
        b"ok",
        Close(),
    ),
    broken("truncated-chunks", "SEC-22", head(_CHUNKED, body=b"2\r\nok\r\n"), Pause(0.05), Close()),
    broken("truncated-chunk", "SEC-22", head(_CHUNKED, body=b"9\r\nok"), Pause(0.05), Close()),
    broken("reset-in-body", "SEC-22", head("Content-Length: 9", body=b"ok"), Pause(0.05), Reset()),
    broken("reset-until-close", "SEC-22", head(body=b"ok"), Pause(0.05), Reset()),
    broken(
        "truncated-to-1.0",
        "SEC-22",
        head(_CHUNKED, body=b"2\r\nok\r\n"),
        Pause(0.05),
        Close(),
        version="HTTP/1.0",
    ),
    broken(
        "bad-chunk-later", "SEC-22", head(_CHUNKED, body=b"2\r\nok\r\n"), Pause(0.05), b"zz\r\n"
    ),
    # Early answers.
    Answer("early-answer", "SEC-19", (response(b"ok"),), sends=_UPLOAD, method="POST", end=CLOSES),
    Answer(
        "early-413",
        "SEC-19",
        (response(b"no", "Connection: close", status="413 Content Too Large"), Close()),
        sends=_UPLOAD,
        method="POST",
        status=413,
        body=b"no",
        end=CLOSES,
    ),
)
