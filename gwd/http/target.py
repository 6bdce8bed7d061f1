"""The request line: method, target in its four forms, version; and authorities, as Host has them.

Strategy: syntax first (400), then the version (505), then methods that are never served (501,
405), then the target's length (414) and form (RFC 9112 §3; SEC-10, SEC-11). A target comes down to
the one path that is matched and forwarded (SEC-12), the query as it stands, and the authority, if
it names one, which must agree with Host (`gwd.http.request`).
"""

from __future__ import annotations

import re
import socket

from gwd.http.paths import check_hidden_dots, normalise
from gwd.http.problem import Refusal
from gwd.http.scan import malformed

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++) ([!-~]++) HTTP/([0-9])\.([0-9])")
_PLAIN = (
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) "
    rb"((?=/)(?:/[A-Za-z0-9_~!$&'()*+,:=@-][A-Za-z0-9_~!$&'()*+,:=@.-]*+)*+/?)"
    rb"(\?[!$-;=?-\[\]_a-z~]*+)? HTTP/1\."
)
match_plain = re.compile(_PLAIN + rb"([01])").fullmatch
"""Of request lines with nothing to decode, to remove or to refuse but their length (the path as in
`paths`, the methods those served): method, path, query or None, and minor version."""
match_plain_1_1 = re.compile(rb"(" + _PLAIN + rb"1\r\n)").match
"""Of those of HTTP/1.1, with their end, at the beginning of what has come: the whole, method, path,
query or None."""
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}+")
"""All registered methods look so. Others, `get` above all, would reach upstreams that fold case."""
_ILLEGAL_SIGNS = re.compile(r'[#"<>^{}\\|`]')
_ABSOLUTE = re.compile(r"https?://([^/?]*+)(.*+)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}+(?:\.[A-Za-z0-9_-]{1,63}+)*+\.?")
_PORT = re.compile(r"[0-9]{1,5}")
MOST_NAME = 254
"""Characters of a host name, the final dot included (RFC 1035 §2.3.4)."""

ASTERISK = "*"
SERVED = (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)
"""What the gateway as a whole serves, as a field of an answer."""


class RequestLine:
    """A request line that may be served. `path` is in normal form, or "*"; `query` is "" or begins
    with "?"; `host` and `authority` are "" and b"" unless the target is absolute."""

    __slots__ = ("authority", "encoded_slash", "host", "method", "minor", "path", "query")

    def __init__(self, method: str, minor: int, path: str, query: str, encoded_slash: bool) -> None:
        self.method = method
        self.minor = minor
        self.path = path
        self.query = query
        self.encoded_slash = encoded_slash
        self.host = ""
        self.authority = b""


def parse_request_line(line: bytes, max_target: int) -> RequestLine:
    """`line`, without its end. Raises Refusal: 400, 405, 414, 501, 505."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise malformed("The request line is malformed.")
    method_bytes, target_bytes, major, minor = match.groups()
    if major != b"1" or minor not in (b"0", b"1"):
        raise Refusal(505, "version", "Only HTTP/1.1 and HTTP/1.0 are spoken here.", close=True)
    method = method_bytes.decode("ascii")
    if method == "CONNECT" or not _METHOD.fullmatch(method):
        raise Refusal(501, "method", "This method is not served here.", close=True)
    if method == "TRACE":
        raise Refusal(405, "method_not_allowed", "TRACE is not served here.", SERVED, close=True)
    if len(target_bytes) > max_target:
        raise target_too_long()
    return _aim(method, target_bytes.decode("ascii"), minor == b"1")


def target_too_long() -> Refusal:
    return Refusal(414, "target_too_long", "The request target is too long.", close=True)


def _aim(method: str, target: str, minor: bool) -> RequestLine:
    if _ILLEGAL_SIGNS.search(target):
        raise malformed("The target holds a character that must be percent-encoded.")
    host, authority = "", b""
    if target[0] != "/":
        if target == ASTERISK and method == "OPTIONS":
            return RequestLine(method, int(minor), ASTERISK, "", False)
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise malformed("The target is neither a path nor an http URL.")
        host, authority = parse_authority(absolute.group(1))
        target = absolute.group(2)
        if not target and method == "OPTIONS":
            target = ASTERISK  # RFC 9112 §3.2.4: this is how a client of a proxy says it
        elif not target.startswith("/"):
            target = "/" + target
    if target == ASTERISK:
        line = RequestLine(method, int(minor), ASTERISK, "", False)
    else:
        path, mark, query = target.partition("?")
        normal, encoded_slash = normalise(path)
        if encoded_slash:
            check_hidden_dots(normal)
        line = RequestLine(method, int(minor), normal, mark + query, encoded_slash)
    line.host, line.authority = host, authority
    return line


def parse_authority(text: str) -> tuple[str, bytes]:
    """The host of `host[:port]`, lower-case and without a final dot, and the canonical whole.

    A name or an IP literal, no user, port 1 to 65535 (SEC-09). Raises Refusal 400.
    """
    if text.startswith("["):
        literal, bracket, port = text[1:].partition("]")
        try:
            packed = socket.inet_pton(socket.AF_INET6, literal)
        except (OSError, ValueError):
            packed = b""
        if not packed or not bracket or (port and port[0] != ":"):
            raise malformed("The host is neither a name nor an address.")
        host = f"[{socket.inet_ntop(socket.AF_INET6, packed)}]"
        colon, port = port[:1], port[1:]
    else:
        name, colon, port = text.partition(":")
        if len(name) > MOST_NAME or not _NAME.fullmatch(name):
            raise malformed("The host is neither a name nor an address.")
        host = name.lower().removesuffix(".")
    if not colon:
        return host, host.encode("ascii")
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise malformed("The port of the host is no number from 1 to 65535.")
    return host, b"%b:%d" % (host.encode("ascii"), int(port))
