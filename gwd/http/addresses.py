"""IP addresses as the gateway tells them apart: one spelling, one key, membership in networks.

Strategy: an address is what `inet_pton` reads, as 4 or 16 bytes in network order. An IPv4 address
wrapped in IPv6 (IPv4-mapped ::ffff:0:0/96, NAT64 64:ff9b::/96) *is* that IPv4 address, so a host
never has two names here and all users of one NAT64 never share one /64 (SEC-39). Zones
("fe80::1%eth0") name a link of this machine, not a peer, and are dropped.

Byte strings of one length sort like the numbers they spell, so a set of networks is two sorted,
merged lists of byte ranges, and a look-up is one bisection. Nothing is cached: the peers choose
the addresses, and a table they fill would have to be bounded.
"""

from __future__ import annotations

import socket
from bisect import bisect_right
from collections.abc import Iterable
from itertools import chain

_MAPPED = bytes(10) + b"\xff\xff"
"""::ffff:0:0/96, RFC 4291 section 2.5.5.2."""
_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)
"""64:ff9b::/96, the well-known prefix of RFC 6052 section 2.1."""


def pack(ip: str) -> bytes:
    """`ip` as 4 bytes (IPv4, also mapped or NAT64) or 16 bytes (IPv6), network order.

    Raises ValueError for anything but one address: no port, no brackets, no leading zeros.
    """
    try:
        if ":" not in ip:
            return socket.inet_pton(socket.AF_INET, ip)
        packed = socket.inet_pton(socket.AF_INET6, ip.partition("%")[0])
    except OSError:
        raise ValueError(f"{ip!r} is not an IP address") from None
    if packed[:12] == _MAPPED or packed[:12] == _NAT64:
        return packed[12:]
    return packed


def unpack(packed: bytes) -> str:
    """The canonical text (RFC 5952) of 4 or 16 bytes that `pack` made."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def canonical(ip: str) -> str:
    """The one spelling of `ip`. Raises ValueError if it is not an address."""
    return unpack(pack(ip))


def limit_key(ip: str, ipv6_prefix: int) -> bytes:
    """What `ip` is counted under: 4 bytes, or 16 of which all past `ipv6_prefix` bits are zero.

    Raises ValueError if `ip` is not an address.
    """
    packed = pack(ip)
    if len(packed) == 4 or ipv6_prefix >= 128:
        return packed
    host_bits = 128 - ipv6_prefix
    return (int.from_bytes(packed, "big") >> host_bits << host_bits).to_bytes(16, "big")


def network(cidr: str) -> tuple[bytes, bytes]:
    """The first and the last address of `cidr`, packed; a bare address is a network of one.

    Raises ValueError, with a text fit for a config error, if it is none or has bits set past its
    prefix: "10.1.2.3/8" is as likely a slip of the finger for /32 as for 10.0.0.0/8.
    """
    address, slash, length_text = cidr.partition("/")
    if "%" in address:
        raise ValueError(f"{cidr!r} has a zone; networks have none")
    try:
        packed = pack(address)
    except ValueError:
        raise ValueError(
            f'{cidr!r} is not a network; write "10.0.0.0/8", "192.0.2.7" or "2001:db8::/32"'
        ) from None
    bits = 8 * len(packed)
    if not slash:
        return packed, packed
    written = 128 if ":" in address else 32
    if not (length_text.isascii() and length_text.isdigit() and len(length_text) <= 3):
        raise ValueError(f"{cidr!r} has no prefix length from 0 to {written} after the slash")
    length = int(length_text)
    if length > written:
        raise ValueError(f"{cidr!r} has a prefix length past {written}")
    if written != bits:
        # Mapped or NAT64. Such a /96 would be the whole IPv4 internet, which nobody who writes
        # it means, and a shorter one would silently leave out all of it.
        length -= 96
        if length <= 0:
            raise ValueError(
                f"{cidr!r} covers addresses that count as IPv4; write the IPv4 network instead"
            )
    first = int.from_bytes(packed, "big")
    host = (1 << (bits - length)) - 1
    if first & host:
        proper = unpack((first & ~host).to_bytes(len(packed), "big"))
        raise ValueError(
            f'{cidr!r} has bits set past its prefix; write "{proper}/{length}" '
            f'for the network or "{unpack(packed)}" for the one address'
        )
    return packed, (first | host).to_bytes(len(packed), "big")


class Networks:
    """A set of IP networks. IPv4 networks hold IPv4 addresses in every spelling, IPv6 ones never:
    "::/0" does not hold 192.0.2.1 or ::ffff:192.0.2.1.

    Raises ValueError, as `network`, for an item that is none.
    """

    __slots__ = ("_firsts4", "_firsts6", "_lasts4", "_lasts6")

    def __init__(self, cidrs: Iterable[str]) -> None:
        ranges = sorted(map(network, cidrs))
        self._firsts4, self._lasts4 = _merged(r for r in ranges if len(r[0]) == 4)
        self._firsts6, self._lasts6 = _merged(r for r in ranges if len(r[0]) == 16)

    def __bool__(self) -> bool:
        return bool(self._firsts4 or self._firsts6)

    def __repr__(self) -> str:
        pairs = chain(
            zip(self._firsts4, self._lasts4, strict=True),
            zip(self._firsts6, self._lasts6, strict=True),
        )
        return f"<Networks {' '.join(f'{unpack(a)}-{unpack(b)}' for a, b in pairs)}>"

    def contains(self, ip: str) -> bool:
        """Whether `ip` lies in one of the networks. What is not an IP address lies in none."""
        try:
            return self.contains_packed(pack(ip))
        except ValueError:
            return False

    def contains_packed(self, packed: bytes) -> bool:
        """`contains` for an address that `pack` has read."""
        if len(packed) == 4:
            place = bisect_right(self._firsts4, packed)
            return place > 0 and packed <= self._lasts4[place - 1]
        place = bisect_right(self._firsts6, packed)
        return place > 0 and packed <= self._lasts6[place - 1]

    def overlap(self, first: bytes, last: bytes) -> bool:
        """Whether any address from `first` to `last`, both packed, lies in one of the networks."""
        firsts, lasts = (
            (self._firsts4, self._lasts4) if len(first) == 4 else (self._firsts6, self._lasts6)
        )
        place = bisect_right(firsts, last)
        return place > 0 and first <= lasts[place - 1]


def _merged(ranges: Iterable[tuple[bytes, bytes]]) -> tuple[list[bytes], list[bytes]]:
    """Sorted `ranges` as firsts and lasts without overlaps: CIDRs nest or are disjoint, so a range
    that does not reach past the last one lies within it."""
    firsts: list[bytes] = []
    lasts: list[bytes] = []
    for first, last in ranges:
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts
