"""Certificates and keys as servers may use them: judged before anything is built of them.

Strategy: bytes in, a verdict out. `cryptography` parses, OpenSSL alone would only say that
something does not fit. What makes a handshake fail for every client is an error (unreadable,
another key, a weak one, no names); what only some clients mind, or what time brings, is a warning:
an expired certificate is better than no gateway.

Verdicts continue a sentence that begins with the file, as those of `units.NotAllowed` do, and
hold nothing of a key.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID

from gwd.config.units import NotAllowed

SOON = timedelta(days=30)
"""So long before its end a certificate is warned of."""
LEAST_RSA = 2048
CURVES = ("secp256r1", "secp384r1", "secp521r1")

_KEY = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL
)
_NOT_PARSED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises at a malformed certificate or key (held by a property test)."""
_BROKEN = "holds a broken certificate; name the right file"
_NEW_ONE = "have it issued anew"


class Unusable(NotAllowed):
    """Certificate and key cannot be used together; `of_key` tells which of the files to blame."""

    def __init__(self, why: str, *, of_key: bool = False) -> None:
        super().__init__(why)
        self.of_key = of_key


@dataclass(frozen=True, slots=True)
class Verdict:
    """`names`: the DNS names of the certificate, in lower case. `expires`: Unix seconds."""

    names: tuple[str, ...]
    expires: int
    warnings: tuple[str, ...]


def judge_pair(cert: bytes, key: bytes, now: datetime | None = None) -> Verdict:
    """Whether a server can use the PEM `cert`, leaf first, with the PEM `key`.

    Raises Unusable.
    """
    now = now or datetime.now(UTC)
    try:
        with _quiet():
            return _judge(parse(cert), key, now)
    except Unusable:
        raise
    except NotAllowed as why:
        raise Unusable(str(why)) from None
    except _NOT_PARSED:  # parts of it are parsed when they are asked for
        raise Unusable(_BROKEN) from None


def _judge(chain: list[x509.Certificate], key: bytes, now: datetime) -> Verdict:
    try:
        public = _public_half(key)
    except NotAllowed as why:
        raise Unusable(str(why), of_key=True) from None
    leaf = chain[0]
    if _spki(leaf) != public:
        if any(_spki(other) == public for other in chain[1:]):
            raise Unusable("has the certificate of its key not in the first place; put it there")
        raise Unusable("does not belong to this certificate; name its own key", of_key=True)
    _strong(leaf)
    names = _names(leaf)
    expires = int(leaf.not_valid_after_utc.timestamp())
    return Verdict(names, expires, tuple(_warnings(chain, now)))


def judge_authorities(pem: bytes, now: datetime | None = None) -> tuple[str, ...]:
    """The warnings about the authorities in `pem`. Raises NotAllowed."""
    now = now or datetime.now(UTC)
    try:
        with _quiet():
            return tuple(_judge_authorities(parse(pem), now))
    except NotAllowed:
        raise
    except _NOT_PARSED:
        raise NotAllowed(_BROKEN) from None


def _judge_authorities(found: list[x509.Certificate], now: datetime) -> Iterator[str]:
    for certificate in found:
        name = _subject(certificate)
        if not _is_authority(certificate):
            raise NotAllowed(f"holds {name}, which is no authority; leave it out")
        if certificate.not_valid_after_utc <= now:
            yield f"holds {name}, which has expired {_day(certificate)}; leave it out"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what `cryptography` would print about odd certificates: it is in no form of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def parse(pem: bytes) -> list[x509.Certificate]:
    """The certificates in `pem`, at least one. Raises NotAllowed."""
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise NotAllowed("holds no certificate in PEM; it must have -----BEGIN CERTIFICATE-----")
    try:
        return x509.load_pem_x509_certificates(pem)
    except _NOT_PARSED:
        raise NotAllowed(_BROKEN) from None


def _public_half(pem: bytes) -> bytes:
    """The SubjectPublicKeyInfo of the private key in `pem`."""
    found = _KEY.search(pem)
    if found is None:
        raise NotAllowed("holds no private key in PEM; it must have -----BEGIN PRIVATE KEY-----")
    if found[1] == b"ENCRYPTED " or b"Proc-Type: 4,ENCRYPTED" in found[0]:
        raise NotAllowed("holds a key with a passphrase; decrypt it (openssl pkey)")
    try:
        key = serialization.load_pem_private_key(found[0], None)
        public = key.public_key()
    except _NOT_PARSED:
        raise NotAllowed("holds a broken private key; name the right file") from None
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _spki(certificate: x509.Certificate) -> bytes:
    try:
        public = certificate.public_key()
    except UnsupportedAlgorithm:
        return b""
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _strong(leaf: x509.Certificate) -> None:
    key = leaf.public_key()
    match key:
        case rsa.RSAPublicKey():
            if key.key_size < LEAST_RSA:
                raise Unusable(
                    f"has a weak key, RSA of {key.key_size} bits; use EC P-256 or RSA of 2048"
                )
        case ec.EllipticCurvePublicKey():
            if key.curve.name not in CURVES:
                raise Unusable(f"has a key on the curve {key.curve.name}; use P-256 or P-384")
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            pass
        case _:
            raise Unusable("has a key that TLS does not use; use EC P-256 or RSA of 2048")
    try:
        signed_with = leaf.signature_hash_algorithm
    except UnsupportedAlgorithm:
        raise Unusable(f"is signed in a way that TLS does not use; {_NEW_ONE}") from None
    if isinstance(signed_with, hashes.SHA1 | hashes.MD5):
        name = signed_with.name.upper()
        raise Unusable(f"is signed with {name}, which no client believes; {_NEW_ONE}")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = names.get_values_for_type(x509.DNSName)
        addresses = names.get_values_for_type(x509.IPAddress)
    except x509.ExtensionNotFound:
        hosts, addresses = [], []
    if not hosts and not addresses:
        raise Unusable(
            "has no subjectAltName, and clients look at nothing else for the host's name "
            f"(RFC 9525); {_NEW_ONE}"
        )
    return tuple(dict.fromkeys(name.lower().rstrip(".") for name in hosts))


def _warnings(chain: list[x509.Certificate], now: datetime) -> Iterator[str]:
    for position, certificate in enumerate(chain):
        what = "" if position == 0 else f"holds {_subject(certificate)}, which "
        if certificate.not_valid_after_utc <= now:
            yield f"{what}has expired {_day(certificate)}; renew it"
        elif certificate.not_valid_before_utc > now:
            begins = certificate.not_valid_before_utc
            yield f"{what}is not valid before {begins:%Y-%m-%d %H:%M} UTC; look at the clock"
        elif certificate.not_valid_after_utc - now < SOON:
            days = (certificate.not_valid_after_utc - now).days
            yield f"{what}expires in {days} day{'s' * (days != 1)}, {_day(certificate)}; renew it"
    for one, next_ in itertools.pairwise(chain):
        if one.issuer != next_.subject:
            yield (
                f"holds {_subject(next_)} behind {_subject(one)}, which another has signed; put "
                "each one's signer behind it"
            )
            break
    try:
        usage = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*usage}:
        yield f"is not meant for servers (extendedKeyUsage), clients refuse it; {_NEW_ONE}"


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return certificate.issuer == certificate.subject  # X.509 v1 roots
    return basic.value.ca


def _subject(certificate: x509.Certificate) -> str:
    text = certificate.subject.rfc4514_string()[:80]
    return '"' + "".join(c if c.isprintable() else "?" for c in text) + '"'


def _day(certificate: x509.Certificate) -> str:
    return f"on {certificate.not_valid_after_utc:%Y-%m-%d}"
