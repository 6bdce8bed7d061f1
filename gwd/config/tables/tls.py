"""`[server.tls]`: certificates, and what listeners with TLS ask of clients."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from gwd.config.tables.base import FieldValue, FileName, IdentityName, Table, key
from gwd.config.units import NotAllowed

ClientFact = Literal["subject", "issuer", "serial", "san", "fingerprint"]
"""What of a client certificate can be told to upstreams."""

_MAX_AGE = re.compile(
    r'(?:^|;) *max-age *= *(?:[0-9]{1,18}|"[0-9]{1,18}") *(?:;|$)', re.IGNORECASE | re.ASCII
)


def _hsts(text: str) -> str:
    """RFC 6797 §6.1: directives between semicolons, each once, max-age among them."""
    if _MAX_AGE.search(text) is None:
        raise NotAllowed('has no max-age in seconds; use "max-age=31536000"')
    names = [part.partition("=")[0].strip(" ").lower() for part in text.split(";")]
    if len(set(names)) < len(names):
        raise NotAllowed("says one thing twice; leave one out")
    return text


class CertificateTable(Table):
    """A certificate for other names: clients that ask for one of them get it."""

    cert_file: FileName = key(
        alias="cert",
        description="PEM file: the certificate, then those that lead to its root.",
    )
    key_file: FileName = key(
        alias="key", description="PEM file of its private key, not readable by everybody."
    )


class TlsTable(Table):
    """TLS for listeners: TLS 1.2 or newer, ECDHE and AEAD ciphers, HTTP/1.1 by ALPN. A client
    gets the certificate that has the name it asks for (SNI), exactly or as `*.x.y`, which is one
    label more; else the first. Changed files are taken within seconds, without a reload, as soon
    as certificate and key belong together.
    """

    cert_file: FileName | None = key(
        default=None,
        alias="cert",
        description="PEM file: the certificate, then those that lead to its root.",
    )
    key_file: FileName | None = key(
        default=None,
        alias="key",
        description="PEM file of its private key, not readable by everybody.",
    )
    certificates: list[CertificateTable] = key(
        default=[], description="More certificates, for other names."
    )
    min_version: Literal["1.2", "1.3"] = key(
        default="1.2", description="The oldest version of TLS that is spoken."
    )
    client_ca: FileName | None = key(
        default=None,
        description="PEM file of the authorities whose client certificates are believed, for "
        "items of bind with client_auth.",
    )
    client_fields: dict[ClientFact, IdentityName] = key(
        default={},
        description="What of a verified client certificate upstreams are told, and in which "
        "header; every spelling a client sends of it is removed, on every route.",
    )
    hsts: Annotated[FieldValue, AfterValidator(_hsts)] | None = key(
        default=None,
        description='Strict-Transport-Security of every answer over TLS: "max-age=31536000".',
    )
