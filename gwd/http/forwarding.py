"""What the gateway tells the upstream about the client, and whom it believes about that itself.

From a peer that is no trusted proxy nothing is believed: its X-Forwarded-* are gone with its head
(`gwd.http.fields`), and the new ones name it. A trusted proxy's are kept and extended.
"""

from __future__ import annotations

import re

from gwd.http.addresses import Networks, canonical
from gwd.http.head import RequestHead

MOST_HOPS = 32
VIA = b"Via: 1.1 gwd\r\n"

_PROTO = re.compile(rb"https?", re.IGNORECASE)
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")


def client_address(peer_ip: str, head: RequestHead, trusted: Networks) -> str:
    """The client's address, as far as trusted proxies tell it (SEC-38).

    X-Forwarded-For is read from the right: trusted hops are skipped, the first other one is the
    client. What is no address ends the walk at the last good hop.
    """
    address = canonical(peer_ip)
    if head.forwarded_for is None or not trusted.contains(address):
        return address
    hops = head.forwarded_for.decode("ascii").split(",")
    for hop in hops[: -MOST_HOPS - 1 : -1]:
        found = _hop(hop.strip(" \t"))
        if found is None:
            return address
        address = found
        if not trusted.contains(address):
            return address
    return address


def _hop(text: str) -> str | None:
    """The address of one hop, whose port and brackets are dropped; None if it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return canonical(text)
    except ValueError:
        return None


def forwarding_lines(
    peer_ip: str, trusted: bool, scheme: str, head: RequestHead, forwarded: bool
) -> bytes:
    """X-Forwarded-For, -Proto, -Host and Via for the upstream; with `forwarded` also Forwarded
    (RFC 7239). `trusted`: the peer is a proxy whose own are believed."""
    chain, proto, host = peer_ip.encode(), scheme.encode(), head.authority
    if trusted:
        if head.forwarded_for is not None:
            chain = b"%b, %b" % (head.forwarded_for, chain)
        if head.forwarded_proto is not None and _PROTO.fullmatch(head.forwarded_proto):
            proto = head.forwarded_proto.lower()
        if head.forwarded_host is not None and _HOST.fullmatch(head.forwarded_host):
            host = head.forwarded_host
    lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (chain, proto)
    if host:
        lines += b"X-Forwarded-Host: %b\r\n" % host
    if forwarded:
        node = f'"[{peer_ip}]"' if ":" in peer_ip else peer_ip
        lines += b"Forwarded: for=%b;proto=%b" % (node.encode(), proto)
        lines += b';host="%b"\r\n' % host if host else b"\r\n"
    return lines + VIA
