"""Keys and tokens for trying out: what an issuer does, in a few lines.

The gateway never signs anything. `gwd token`, `gwd demo` and tests do, through these functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gwd.policies.compact import encode_base64url

_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
"""What a thumbprint is taken over (RFC 7638 section 3.2, RFC 8037 section 2)."""
_EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class BadKey(ValueError):
    """A private key cannot be read or used; the message shows nothing of it."""


PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def make_key_set() -> tuple[bytes, bytes]:
    """A fresh Ed25519 key: the private half as PKCS #8 PEM, and a JWKS that holds the public one.

    `sign` gives tokens the `kid` under which the key set lists it.
    """
    private_pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return private_pem, key_set(private_pem)


def key_set(private_pem: bytes) -> bytes:
    """A JWKS (RFC 7517) that holds the public half of `private_pem`. Raises BadKey."""
    key = _load(private_pem)
    jwk = _public_jwk(key)
    jwk |= {"kid": _thumbprint(jwk), "use": "sig", "alg": _algorithm(key)}
    return json.dumps({"keys": [jwk]}, indent=2).encode() + b"\n"


def key_id(private_pem: bytes) -> str:
    """The `kid` that `key_set` gives the key: its SHA-256 thumbprint (RFC 7638). Raises BadKey."""
    return _thumbprint(_public_jwk(_load(private_pem)))


def default_algorithm(private_pem: bytes) -> str:
    """What such a key usually signs by: EdDSA, RS256, ES256 … Raises BadKey."""
    return _algorithm(_load(private_pem))


def sign(
    key: bytes, claims: Mapping[str, Any], algorithm: str | None = None, kid: str | None = None
) -> str:
    """A token in compact form. `key` is a private key in PEM or, for HS*, the secret's bytes.

    Without `algorithm` and `kid` they follow from the key, as `key_set` lists it; with HS* a
    token has no `kid` unless it is given. Raises BadKey.
    """
    signing_key: PrivateKey | bytes
    if algorithm is not None and algorithm.startswith("HS"):
        signing_key = key
    else:
        signing_key = _load(key)
        algorithm = algorithm or _algorithm(signing_key)
        kid = _thumbprint(_public_jwk(signing_key)) if kid is None else kid
    signer = jwt.PyJWT(options={"enforce_minimum_key_length": True})
    try:
        return signer.encode(
            dict(claims), signing_key, algorithm, headers=None if kid is None else {"kid": kid}
        )
    except (jwt.PyJWTError, TypeError, NotImplementedError, AttributeError) as error:
        reason = f": {error}" if isinstance(error, jwt.InvalidKeyError) else ""
        raise BadKey(f"the key cannot sign by {algorithm}{reason}") from None


def _load(private_pem: bytes) -> PrivateKey:
    try:
        key = load_pem_private_key(private_pem, password=None)
    except TypeError:
        raise BadKey("the private key is encrypted; decrypt it with: openssl pkey") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("cannot be read as a private key in PEM") from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _EC_ALGORITHMS:
        raise BadKey(f"the private key is on the curve {key.curve.name}, which JWTs do not use")
    if not isinstance(key, PrivateKey):
        raise BadKey("the private key is none of RSA, EC and Ed25519")
    return key


def _algorithm(key: PrivateKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _EC_ALGORITHMS[key.curve.name]
    return "EdDSA"


def _public_jwk(key: PrivateKey) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        return _public_members(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _public_members(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True))
    return _public_members(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True))


def _public_members(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}


def _thumbprint(jwk: dict[str, Any]) -> str:
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    return encode_base64url(hashlib.sha256(canonical).digest()).decode()
