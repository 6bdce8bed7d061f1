"""Certificates for tests, good and bad, signed by an authority made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KINDS = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "koblitz": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
}
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, PEM."""

    cert: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> str:
        """Put both under `directory`; the [server.tls] lines that name them."""
        cert, key = directory / f"{name}.pem", directory / f"{name}.key"
        for path, content in ((cert, self.cert), (key, self.key)):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.chmod(0o600)
            new.rename(path)
        return f'cert = "{cert}"\nkey = "{key}"\n'


class Authority:
    """Signs. `pem` is its own certificate."""

    def __init__(
        self, name: str = "an authority", parent: Authority | None = None, kind: str = "ec"
    ) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = KINDS[kind]()
        signer = parent or self
        builder = _builder(self.name, signer.name, self.key, -1, 3650)
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        self.pem = _pem(builder.sign(signer.key, hashes.SHA256()))

    def issue(
        self,
        *names: str,
        kind: str = "ec",
        begins: float = -1,
        days: float = 90,
        usage: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.SERVER_AUTH,
    ) -> Issued:
        """A certificate for `names`, from `begins` to `days`, both in days from now."""
        key = KINDS[kind]()
        title = names[0] if names else "nobody"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        builder = _builder(subject, self.name, key, begins, days)
        if names:
            alternative = x509.SubjectAlternativeName([_name(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return Issued(_pem(builder.sign(self.key, hashes.SHA256())), private_pem(key))

    def client(self, name: str = "a client") -> Issued:
        """A certificate for a client."""
        return self.issue(name, usage=ExtendedKeyUsageOID.CLIENT_AUTH)


def private_pem(key, passphrase: bytes = b"") -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def _builder(subject, issuer, key, begins: float, days: float) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * DAY)
        .not_valid_after(now + days * DAY)
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
