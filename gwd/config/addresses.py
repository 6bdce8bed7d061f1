"""Addresses, networks and host names as the file may write them.

Strategy: each function takes the text, returns its one normal form and raises `NotAllowed` with
words that follow the value. Nothing here asks a resolver.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from gwd.config.units import NotAllowed

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A host (IP literal in its shortest form, or a lower-case name) and a port."""

    host: str
    port: int

    @property
    def is_name(self) -> bool:
        """Whether a resolver is needed."""
        return not _is_ip(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def address(text: str, *, lowest_port: int = 1) -> Address:
    """`text` as "127.0.0.1:80", "[::1]:80" or "name:80". Raises NotAllowed."""
    use = 'use "127.0.0.1:8080", "[::1]:8080" or "name:8080"'
    host, colon, port = text.rpartition(":")
    if not colon:
        raise NotAllowed(f"has no port; {use}")
    if not host:
        raise NotAllowed('has no host; use "0.0.0.0" or "[::]" in front of the port for all')
    if _PORT.fullmatch(port) is None or not lowest_port <= int(port) <= 65535:
        raise NotAllowed(f"has no valid port; use {lowest_port} to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Address(str(ipaddress.IPv6Address(host[1:-1].partition("%")[0])), int(port))
        except ValueError:
            raise NotAllowed(f"holds no IPv6 address in its brackets; {use}") from None
    if ":" in host:
        raise NotAllowed(f"is not an address; put IPv6 into brackets: {use}")
    try:
        return Address(str(ipaddress.IPv4Address(host)), int(port))
    except ValueError:
        return Address(host_name(host), int(port))


def host_name(text: str) -> str:
    """`text` as a DNS name: lower case, without the final dot. Raises NotAllowed.

    A name whose last label is a number is refused: resolvers read "10.1" as 10.0.0.1.
    """
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise NotAllowed("is not a host name; use letters, digits, hyphens and dots")
    if labels[-1].isdigit():
        raise NotAllowed("is neither an IPv4 address nor a host name")
    return name


def host_pattern(text: str) -> str:
    """`text` as a route's host: a name, an IP literal, or "*." and a name. Raises NotAllowed."""
    use = 'use "api.example.com" or "*.example.com"'
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _is_ip(bare):
        ip = ipaddress.ip_address(bare)
        return f"[{ip}]" if ip.version == 6 else str(ip)
    if ":" in text or "/" in text:
        raise NotAllowed(f"is not a host: it has a port or a path; {use}")
    star = "*." if text.startswith("*.") else ""
    if "*" in text[len(star) :]:
        raise NotAllowed(f"has a * in another place than its first label; {use}")
    return star + host_name(text[len(star) :])


def network(text: str) -> str:
    """`text` as a CIDR in normal form; one address stands for itself. Raises NotAllowed."""
    use = 'use "10.0.0.0/8", "2001:db8::/32" or one address'
    if "%" in text:
        raise NotAllowed(f"has a zone; {use}")
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise NotAllowed(f"is not a network; {use}") from None
    raise NotAllowed(f'has bits set behind its prefix; use "{loose}"')
