"""What the gateway tells the upstream about the client, and whom it believes about that itself.

From a peer that is no trusted proxy nothing is believed: its X-Forwarded-* and Forwarded are gone
with its head (`gwd.http.fields`), and the new ones name it. What a trusted proxy says is kept and
extended, as far as it can be read.
"""

from __future__ import annotations

from gwd.http.addresses import Networks, canonical
from gwd.http.head import RequestHead
from gwd.http.problem import Refusal
from gwd.http.target import parse_authority

MOST_HOPS = 32
_VIA = (b"Via: 1.0 gwd\r\n", b"Via: 1.1 gwd\r\n")
"""RFC 9110 §7.6.3: by which version the message came."""
_SCHEMES = (b"http", b"https")


def client_address(peer_ip: str, head: RequestHead, trusted: Networks) -> str:
    """The client's address, as far as trusted proxies tell it (SEC-38).

    X-Forwarded-For is read from the right: trusted hops are skipped, the first other one is the
    client. What is no address ends the walk at the last good hop, and so do `MOST_HOPS`.
    """
    address = canonical(peer_ip)
    if head.forwarded_for is None or not trusted.contains(address):
        return address
    hops = head.forwarded_for.rsplit(b",", MOST_HOPS)[-MOST_HOPS:]
    for hop in reversed(hops):
        found = _hop(hop)
        if found is None:
            break
        address = found
        if not trusted.contains(address):
            break
    return address


def _hop(hop: bytes) -> str | None:
    """The address of one hop, without brackets, port and zone; None if it is none."""
    text = hop.strip(b" \t").decode("ascii", "replace")
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _is_port(port)):
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
        if not _is_port(colon + port):
            return None
    try:
        return canonical(text)
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text[0] == ":" and len(digits) <= 5 and digits.isascii() and digits.isdigit()


def forwarding_lines(
    peer_ip: str, trusted: bool, scheme: str, head: RequestHead, forwarded: bool
) -> bytes:
    """X-Forwarded-For, -Proto, -Host and Via for the upstream; with `forwarded` also Forwarded
    (RFC 7239). `trusted`: the peer is a proxy whose own fields are believed."""
    chain, proto, host = peer_ip.encode("ascii"), scheme.encode("ascii"), head.authority
    if trusted:
        if head.forwarded_for:
            chain = b"%b, %b" % (head.forwarded_for, chain)
        if head.forwarded_proto is not None and head.forwarded_proto.lower() in _SCHEMES:
            proto = head.forwarded_proto.lower()
        if head.forwarded_host is not None:
            host = _authority(head.forwarded_host) or host
    lines = [b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (chain, proto)]
    if host:
        lines.append(b"X-Forwarded-Host: %b\r\n" % host)
    if forwarded:
        lines.append(_forwarded_line(chain, proto, host))
    lines.append(_VIA[head.minor])
    return b"".join(lines)


def _authority(value: bytes) -> bytes:
    """The canonical form of an X-Forwarded-Host, b"" if it is no host."""
    try:
        return parse_authority(value.decode("ascii"))[1]
    except Refusal:
        return b""


def _forwarded_line(chain: bytes, proto: bytes, host: bytes) -> bytes:
    """Forwarded for the hops of `chain`, of which the last one is known in full. A hop that is no
    address is "unknown" (RFC 7239 §6.2)."""
    hops = [_node(hop) for hop in chain.split(b",")]
    last = b"%b;proto=%b" % (hops.pop(), proto)
    if host:
        last += b';host="%b"' % host
    return b"Forwarded: %b\r\n" % b", ".join((*hops, last))


def _node(hop: bytes) -> bytes:
    address = _hop(hop)
    if address is None:
        return b"for=unknown"
    return (f'for="[{address}]"' if ":" in address else f"for={address}").encode("ascii")
