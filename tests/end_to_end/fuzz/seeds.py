"""What mutation starts from: messages of our own, good and bad, and the public corpora.

`{id}` stands for what makes a request unique; whoever sends one puts it in.
"""

from __future__ import annotations

import json
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def _lines(*lines: str, body: str = "") -> bytes:
    return ("".join(f"{line}\r\n" for line in lines) + "\r\n" + body).encode("latin-1")


_HOST = "Host: gw.test"
_CODED = "Transfer-Encoding: chunked"

OWN_REQUESTS = (
    _lines("GET /r/{id} HTTP/1.1", _HOST),
    _lines("GET /r/{id}?a=b&c=%20 HTTP/1.1", _HOST, "Accept: */*", "User-Agent: fuzz", "X-A: b"),
    _lines("HEAD /r/{id} HTTP/1.1", _HOST),
    _lines("OPTIONS /r/{id} HTTP/1.1", _HOST, "Origin: http://a.test"),
    _lines("DELETE /r/{id} HTTP/1.1", _HOST, "Connection: close"),
    _lines("GET /r/{id} HTTP/1.0", "Connection: keep-alive"),
    _lines("GET http://gw.test/r/{id} HTTP/1.1", _HOST),
    _lines("GET /r/{id}/%7euser/./a//b/../c;x HTTP/1.1", "Host: GW.test.:80"),
    _lines("POST /r/{id} HTTP/1.1", _HOST, "Content-Length: 5", body="hello"),
    _lines("POST /r/{id} HTTP/1.1", _HOST, "Content-Length: 0"),
    _lines("PUT /r/{id} HTTP/1.1", _HOST, "Expect: 100-continue", "Content-Length: 3", body="abc"),
    _lines("GET /r/{id} HTTP/1.1", _HOST, "Content-Length: 3", body="abc"),
    _lines("POST /r/{id} HTTP/1.1", _HOST, _CODED, body="5\r\nhello\r\n0\r\n\r\n"),
    _lines(
        "POST /r/{id} HTTP/1.1",
        _HOST,
        _CODED,
        "Trailer: X-T",
        body="5;a=b;c\r\nhello\r\n0001\r\nx\r\n00\r\nX-T: y\r\n\r\n",
    ),
    _lines(
        "POST /r/{id} HTTP/1.1",
        _HOST,
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: 5",
        "TE: trailers",
        "X-Forwarded-For: 10.1.1.1",
        "X-Forwarded-Host: evil.test",
        "Forwarded: for=10.1.1.1",
        "X-Real-IP: 10.1.1.1",
        "Cookie: a=b",
        "Content-Length: 33",
        body="GET /stolen HTTP/1.1\r\nHost: x\r\n\r\n",
    ),
    _lines("GET /r/{id} HTTP/1.1", _HOST, "Upgrade: websocket", "Connection: Upgrade"),
    _lines(
        "GET /r/{id} HTTP/1.1",
        _HOST,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ),
    _lines("GET /r/{id} HTTP/1.1", _HOST, *(f"X-{n}: {'v' * n}" for n in range(40))),
    _lines(
        "POST /r/{id} HTTP/1.1",
        _HOST,
        "Content-Length: 6",
        _CODED,
        body="0\r\n\r\nGET /stolen HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    ),
    _lines("POST /r/{id} HTTP/1.1", _HOST, "Content-Length: 20000", body="x" * 20000),
    _lines("GET /own/{id} HTTP/1.1", _HOST),
    _lines("POST /keep/{id}/a%2Fb HTTP/1.1", _HOST, "Content-Length: 1", body="x"),
)

_OK = "HTTP/1.1 200 OK"
RESPONSES = (
    _lines(_OK, "Content-Length: 24", "X-Token: {id}", body="{id} 567"),
    _lines(_OK, "Content-Length: 0", "Set-Cookie: a=b", "Set-Cookie: c=d"),
    _lines(_OK, _CODED, "X-Token: {id}", body="5\r\nhello\r\n14\r\n{id}\r\n0\r\n\r\n"),
    _lines(_OK, _CODED, body="5;a=b\r\nhello\r\n0\r\nX-T: y\r\n\r\n"),
    _lines(_OK, "X-Token: {id}", body="{id} until close"),
    _lines(_OK, "Connection: close", "Content-Length: 5", body="hello"),
    _lines("HTTP/1.0 200 OK", "X-Token: {id}", "Content-Length: 5", body="hello"),
    _lines("HTTP/1.0 200 OK", "Connection: keep-alive", body="until close"),
    _lines("HTTP/1.1 204 No Content", "X-Token: {id}"),
    _lines("HTTP/1.1 304 Not Modified", 'ETag: "a"', "Content-Length: 5"),
    _lines("HTTP/1.1 404 Not Found", "Content-Type: text/plain", "Content-Length: 2", body="no"),
    _lines("HTTP/1.1 500", "Content-Length: 1", body="x"),
    _lines("HTTP/1.1 100 Continue") + _lines(_OK, "Content-Length: 2", body="ok"),
    _lines("HTTP/1.1 103 Early Hints", "Link: </a>") * 3
    + _lines(_OK, "Content-Length: 2", body="ok"),
    _lines("HTTP/1.1 101 Switching Protocols", "Upgrade: x", "Connection: Upgrade"),
    _lines(
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ),
    _lines(_OK, "Content-Length: 2", body="ok")
    + _lines(_OK, "Content-Length: 20", "X-Token: {id}", body="{id}"),
    _lines(_OK, "Content-Length: 5", _CODED, body="0\r\n\r\n"),
    _lines(_OK, "Content-Length: 3000", "X-Pad: " + "y" * 900, body="z" * 3000),
)
"""What a hostile upstream's answers are made from. `{id}` is 20 bytes once it is put in."""


def public() -> list[bytes]:
    """The raw inputs of the public corpora, each with an end of its head."""
    found = []
    for path in sorted(CORPUS.glob("*.json")):
        inputs: dict[str, str] = json.loads(path.read_text())["inputs"]
        for text in inputs.values():
            raw = text.encode("latin-1")
            found.append(raw if b"\r\n\r\n" in raw else raw.rstrip(b"\r\n") + b"\r\n\r\n")
    return found
