"""What upstreams are told of a client's certificate, which the handshake has verified.

Strategy: pure functions over what the `ssl` module says of it, called once per connection. A value
becomes part of a head, so it is printable ASCII without a way to end its line (SEC-24), and no two
certificates of the authority's can be spelt alike: in names whatever has a meaning is escaped, as
RFC 4514 has it for the subject and with "%" for alternative names, so that nobody who may choose
his own name can look like several, or like another. A value that is too long is left out, and its
header with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MOST_VALUE = 1024
"""Bytes of one field's value, as for claims."""
_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""RFC 4514 section 3. Other attributes have the name that OpenSSL gives them."""
_SPECIAL = re.compile(r'[^ -~]|["+,;<>\\=]|^[ #]| $')
_ITEM_SPECIAL = re.compile(r"[^!-~]|[%,\"\\]")
_SHOWN = re.compile(rb"[!-~](?:[ -~]*[!-~])?")


def certificate_headers(fields: Iterable[tuple[str, str]]) -> frozenset[bytes]:
    """The names, in lower case, that only the gateway may write (SEC-14)."""
    return frozenset(header.lower().encode("ascii") for _, header in fields)


def certificate_lines(
    fields: Iterable[tuple[str, str]], told: Mapping[str, Any] | None, der: bytes | None
) -> bytes:
    """The field lines ("Name: value\\r\\n") for `fields`, pairs of a fact and a header.

    `told` and `der` are the verified certificate as `SSLObject.getpeercert` gives it, as a
    dictionary and encoded; without one, b"". A fact the certificate does not have gives no line.
    """
    if not told or not der:
        return b""
    lines = []
    for fact, header in fields:
        value = _FACTS[fact](told, der).encode("ascii", "backslashreplace")
        if len(value) <= MOST_VALUE and _SHOWN.fullmatch(value):
            lines.append(b"%b: %b\r\n" % (header.encode("ascii"), value))
    return b"".join(lines)


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A distinguished name as RFC 4514 writes it: the last part first."""
    return ",".join(
        "+".join(f"{_SHORT.get(key, key)}={_SPECIAL.sub(_escaped, value)}" for key, value in part)
        for part in reversed(list(parts))
    )


def _escaped(match: re.Match[str]) -> str:
    sign = match.group()
    if "!" <= sign <= "~":  # a blank at the end of a field's value would be lost
        return "\\" + sign
    return "".join(f"\\{byte:02X}" for byte in sign.encode("utf-8", "surrogatepass"))


def _alternatives(names: Iterable[tuple[str, Any]]) -> str:
    """ "DNS:a.example,URI:spiffe://b"; what is no text (directory names) is left out."""
    return ",".join(
        f"{kind.replace(' ', '')}:{_ITEM_SPECIAL.sub(_encoded, value)}"
        for kind, value in names
        if isinstance(value, str)
    )


def _encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode("utf-8", "surrogatepass"))


_FACTS: dict[str, Callable[[Mapping[str, Any], bytes], str]] = {
    "subject": lambda told, _der: _name(told.get("subject", ())),
    "issuer": lambda told, _der: _name(told.get("issuer", ())),
    "serial": lambda told, _der: str(told.get("serialNumber", "")),
    "san": lambda told, _der: _alternatives(told.get("subjectAltName", ())),
    "fingerprint": lambda _told, der: hashlib.sha256(der).hexdigest(),
}
"""Hexadecimal digits for the last of them, SHA-256 of the whole certificate, in lower case; for
the serial number in upper case, as OpenSSL has it."""
