"""An issuer for one run: an RSA key, its public half in two forms, and the tokens of many users.

RS256 because it is what most issuers sign by, all peers that read tokens know it, and its
signatures are the cheapest to verify: a peer that verifies anew every time is treated best by it.
Every run has a key of its own, and the private half is kept nowhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gwd.policies.signing import key_set, sign

ISSUER = "https://issuer.example"
AUDIENCE = "compare"
USERS = 200
LIFE = 24 * 3600
"""Seconds for which a token is valid: longer than any run."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What verifies (`pem`, `jwks`) and what is verified: `valid` tokens, and bad ones by name."""

    pem: str
    jwks: str
    valid: tuple[str, ...]
    bad: dict[str, str]


def make_keys(users: int = USERS) -> Keys:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    valid = tuple(sign(pem, _claims(f"user-{number}")) for number in range(users))
    return Keys(
        public.decode(),
        key_set(pem).decode(),
        valid,
        {
            "expired": sign(pem, _claims("late", life=-3600)),
            "tampered": tampered(valid[0]),
            "of another issuer": sign(pem, _claims("guest") | {"iss": "https://other.example"}),
        },
    )


def _claims(user: str, life: int = LIFE) -> dict[str, object]:
    return claims(ISSUER, AUDIENCE, user, life)


def claims(issuer: str, audience: str, user: str, life: int) -> dict[str, object]:
    """What a token of `user` says that is good for `life` seconds from now on."""
    now = int(time.time())
    return {
        "iss": issuer,
        "aud": audience,
        "sub": user,
        "scope": "orders:read",
        "iat": now - 7200,
        "exp": now + life,
    }


def tampered(token: str) -> str:
    """`token` with one letter in the middle of its signature exchanged for another."""
    head, _, signature = token.rpartition(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return f"{head}.{signature[:middle]}{other}{signature[middle + 1 :]}"
