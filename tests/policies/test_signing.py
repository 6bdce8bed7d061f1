from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from gwd.policies import JwtVerifier
from gwd.policies.signing import BadKey, default_algorithm, key_id, key_set, make_key_set, sign

NOW = 1_800_000_000.0


def pem(key: Any, encryption: Any = None) -> bytes:
    written: bytes = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    )
    return written


def test_a_fresh_key_set_verifies_what_its_key_signs(issuer: Any) -> None:
    private_pem, jwks = make_key_set()
    verifier = JwtVerifier(issuer.config(jwks=jwks, algorithms=("EdDSA",)))
    token = sign(private_pem, issuer.claims(), "EdDSA", key_id(private_pem))
    assert token == sign(private_pem, issuer.claims())
    assert verifier.judge(token.encode(), NOW).subject == "ada"
    assert verifier.skipped_keys == ()


def test_a_key_set_holds_no_private_part() -> None:
    private_pem, jwks = make_key_set()
    (jwk,) = json.loads(jwks)["keys"]
    assert jwk.keys() == {"kty", "crv", "x", "kid", "use", "alg"}
    assert make_key_set()[0] != private_pem


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
    ],
)
def test_every_kind_of_key_signs_by_its_usual_algorithm(
    issuer: Any, make: Any, algorithm: str
) -> None:
    private_pem = pem(make())
    assert default_algorithm(private_pem) == algorithm
    verifier = JwtVerifier(issuer.config(jwks=key_set(private_pem), algorithms=(algorithm,)))
    assert verifier.judge(sign(private_pem, issuer.claims()).encode(), NOW).subject == "ada"


def test_a_secret_signs_by_hmac(issuer: Any) -> None:
    secret = b"\xff" * 32
    verifier = JwtVerifier(issuer.config(secret=secret))
    assert verifier.judge(sign(secret, issuer.claims(), "HS256").encode(), NOW).subject == "ada"


def test_a_kid_is_the_thumbprint_of_rfc_7638() -> None:
    """The example of RFC 8037 appendix A."""
    d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
    raw = base64.urlsafe_b64decode(d + "=")
    private_pem = pem(ed25519.Ed25519PrivateKey.from_private_bytes(raw))
    assert key_id(private_pem) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_key_that_cannot_sign_is_refused_and_not_shown() -> None:
    ed = pem(ed25519.Ed25519PrivateKey.generate())
    secret = b"correct horse battery"
    for key, algorithm in (
        (b"junk", None),
        (ed, "RS256"),
        (ed, "ES256"),
        (ed, "HS256"),
        (ed, "none"),
        (ed, "XX"),
        (secret, "HS256"),
        (pem(rsa.generate_private_key(65537, 1024)), "RS256"),
        (pem(ec.generate_private_key(ec.SECP256K1())), None),
        (pem(ec.generate_private_key(ec.SECP384R1())), "ES256"),
        (pem(dsa.generate_private_key(1024)), None),
        (pem(ed25519.Ed25519PrivateKey.generate(), BestAvailableEncryption(b"pw")), None),
    ):
        with pytest.raises(BadKey) as caught:
            sign(key, {"sub": "ada"}, algorithm)
        assert "horse" not in str(caught.value)
        assert "MC4" not in str(caught.value)
