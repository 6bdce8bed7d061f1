from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gwd.policies.compact import encode_base64url
from gwd.policies.keys import BadVerifier, BoundKey, KeySet, load_keys


def number(value: int) -> str:
    return encode_base64url(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


def refusal(issuer: Any, **changes: Any) -> BadVerifier:
    with pytest.raises(BadVerifier) as caught:
        load_keys(issuer.config(**changes))
    return caught.value


def refusal_of(issuer: Any, *jwks: dict[str, Any], **changes: Any) -> str:
    error = refusal(issuer, jwks=issuer.key_set(*jwks), **changes)
    assert error.key == "jwks_file"
    return error.message


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


# which key


def test_a_key_is_found_by_kid_and_algorithm(issuer: Any) -> None:
    keys, allowed = load_keys(issuer.config())
    assert allowed == {"RS256", "PS256", "ES256", "EdDSA"}
    assert isinstance(keys.find("rsa", "RS256"), rsa.RSAPublicKey)
    assert isinstance(keys.find("rsa", "PS256"), rsa.RSAPublicKey)
    assert isinstance(keys.find("ec", "ES256"), ec.EllipticCurvePublicKey)
    assert isinstance(keys.find("ed", "EdDSA"), ed25519.Ed25519PublicKey)
    assert keys.find("rsa", "ES256") is None
    assert keys.find("ec", "RS256") is None
    assert keys.find("rsa", "RS512") is None
    assert keys.find("../../ed", "EdDSA") is None


def test_a_token_without_kid_gets_the_only_key_there_is(issuer: Any) -> None:
    keys, _ = load_keys(issuer.config())
    assert keys.find(None, "ES256") is keys.find("ec", "ES256")
    second = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)
    second |= {"kid": "second"}
    del second["key_ops"]
    keys, _ = load_keys(issuer.config(jwks=issuer.key_set(issuer.jwk("rsa"), second)))
    assert keys.find("second", "RS256") is not keys.find("rsa", "RS256")
    assert keys.find(None, "RS256") is None


def test_an_unknown_kid_falls_back_to_a_key_without_name_only() -> None:
    keys = KeySet([BoundKey("a", ("HS256",), b"a"), BoundKey(None, ("HS256",), b"nameless")])
    assert keys.find("a", "HS256") == b"a"
    assert keys.find("b", "HS256") == b"nameless"
    assert keys.find(None, "HS256") is None
    assert KeySet([BoundKey("a", ("HS256",), b"a")]).find("b", "HS256") is None


def test_a_jwk_that_names_an_algorithm_takes_only_that(issuer: Any) -> None:
    jwks = issuer.key_set(issuer.jwk("rsa", alg="PS256"))
    keys, _ = load_keys(issuer.config(jwks=jwks))
    assert keys.find("rsa", "PS256") is not None
    assert keys.find("rsa", "RS256") is None


def test_the_fully_specified_name_of_eddsa_is_the_same_thing(issuer: Any) -> None:
    jwks = issuer.key_set(issuer.jwk("ed", alg="Ed25519"))
    for algorithm in ("EdDSA", "Ed25519"):
        keys, allowed = load_keys(issuer.config(jwks=jwks, algorithms=(algorithm,)))
        assert allowed == {"EdDSA"}
        assert keys.find("ed", "EdDSA") is not None


# what is skipped


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"use": "enc"}, "not for signatures"),
        ({"use": 1}, "not for signatures"),
        ({"key_ops": ["encrypt"]}, "not for verifying"),
        ({"key_ops": "verify"}, "not for verifying"),
        ({"alg": "RSA-OAEP"}, "is for 'RSA-OAEP'"),
        ({"alg": "RS512"}, "not among the algorithms"),
    ],
)
def test_a_key_for_something_else_is_skipped_and_said(
    issuer: Any, members: dict[str, Any], said: str
) -> None:
    keys, _ = load_keys(
        issuer.config(jwks=issuer.key_set(issuer.jwk("rsa", **members), issuer.jwk("ed")))
    )
    assert keys.find("rsa", "RS256") is None
    assert keys.find("ed", "EdDSA") is not None
    assert len(keys.skipped) == 1
    assert "kid 'rsa'" in keys.skipped[0]
    assert said in keys.skipped[0]


def test_kinds_of_keys_that_are_not_known_are_skipped(issuer: Any) -> None:
    strangers = [
        OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True),
        ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True),
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": "EC", "crv": ["P-256"], "x": "", "y": ""},
    ]
    keys, _ = load_keys(issuer.config(jwks=issuer.key_set(*strangers, issuer.jwk("ed"))))
    assert len(keys.skipped) == len(strangers)
    message = refusal_of(issuer, *strangers)
    assert "holds no key" in message
    assert "Ed448" in message


def test_a_set_without_a_usable_key_is_refused(issuer: Any) -> None:
    assert "holds no key that EdDSA can use" in refusal_of(
        issuer, issuer.jwk("rsa"), algorithms=("EdDSA",)
    )
    assert "holds no key" in refusal_of(issuer)


# what is refused


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
def test_a_private_key_in_a_key_set_is_refused_and_not_shown(issuer: Any, kid: str) -> None:
    maker = {"rsa": RSAAlgorithm, "ec": ECAlgorithm, "ed": OKPAlgorithm}[kid]
    jwk = maker.to_jwk(issuer.keys[kid], as_dict=True)
    for use in ("sig", "enc"):
        message = refusal_of(issuer, issuer.jwk("ed"), jwk | {"use": use, "kid": "p"})
        assert "key 2 (kid 'p') holds private parts" in message
        assert jwk["d"] not in message


def test_a_symmetric_key_in_a_key_set_is_refused_and_not_shown(issuer: Any) -> None:
    message = refusal_of(issuer, {"kty": "oct", "k": "c2VjcmV0c2VjcmV0", "kid": "s"})
    assert "symmetric" in message
    assert "c2VjcmV0" not in message


def test_rsa_keys_have_2048_to_8192_bits(issuer: Any) -> None:
    small = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n
    for modulus in (3, small, (1 << 2046) | 1, (1 << 8192) | 1):
        bits = modulus.bit_length()
        message = refusal_of(issuer, {"kty": "RSA", "n": number(modulus), "e": "AQAB", "kid": "r"})
        assert f"RSA of {bits} bits" in message
    assert "no valid n" in refusal_of(
        issuer, {"kty": "RSA", "n": number((1 << 16384) | 1), "e": "AQAB"}
    )


def test_rsa_moduli_and_exponents_are_odd_and_in_range(issuer: Any) -> None:
    modulus = issuer.rsa.public_key().public_numbers().n
    assert "even modulus" in refusal_of(
        issuer, {"kty": "RSA", "n": number(modulus - 1), "e": "AQAB"}
    )
    for exponent in (1, 2, 65536, (1 << 33) + 1):
        refusal_of(issuer, {"kty": "RSA", "n": number(modulus), "e": number(exponent)})


@pytest.mark.parametrize(
    "members",
    [
        {"n": None},
        {"n": 5},
        {"n": ""},
        {"n": "A" * 5000},
        {"e": None},
        {"e": "AQAB="},
        {"e": "AQ AB"},
        {"e": "é"},
        {"kty": None},
        {"kty": 1},
        {"alg": 1},
        {"alg": "ES256"},
        {"alg": "HS256"},
    ],
)
def test_a_broken_rsa_jwk_is_refused(issuer: Any, members: dict[str, Any]) -> None:
    assert "key 1 (kid 'rsa') " in refusal_of(issuer, issuer.jwk("rsa", **members))


@pytest.mark.parametrize(
    "members",
    [
        {"x": "A" * 42},
        {"x": "A" * 44},
        {"x": "A" * 43},
        {"y": None},
        {"y": "A" * 43},
        {"crv": "P-384"},
        {"alg": "ES384"},
        {"alg": "EdDSA"},
    ],
)
def test_a_point_off_its_curve_is_refused(issuer: Any, members: dict[str, Any]) -> None:
    refusal_of(issuer, issuer.jwk("ec", **members), algorithms=("ES256", "ES384", "EdDSA"))


@pytest.mark.parametrize("x", [None, "", "A" * 42, "A" * 44, 1, "A" * 42 + "B"])
def test_a_broken_ed25519_jwk_is_refused(issuer: Any, x: Any) -> None:
    refusal_of(issuer, issuer.jwk("ed", x=x))


@pytest.mark.parametrize("kid", ["", "k" * 257, "a\nb", "é", None, 1, ["a"]])
def test_an_odd_kid_in_a_key_set_is_refused(issuer: Any, kid: Any) -> None:
    assert "key 1 has a kid" in refusal_of(issuer, issuer.jwk("ed") | {"kid": kid})


def test_keys_that_a_token_cannot_tell_apart_are_refused(issuer: Any) -> None:
    other = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True)
    assert "two keys with the kid 'ed'" in refusal_of(
        issuer, issuer.jwk("ed"), other | {"kid": "ed"}
    )
    assert "two keys with the kid 'x'" in refusal_of(
        issuer, issuer.jwk("ed", kid="x"), issuer.jwk("rsa", kid="x")
    )
    assert "two keys for EdDSA without a kid" in refusal_of(
        issuer, issuer.jwk("ed", kid=None), other
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"not json", "is not a JSON key set"),
        (b'{"keys": [], "keys": []}', "stands twice"),
        (b"[]", '{"keys": '),
        (b"null", '{"keys": '),
        (b'{"keys": {}}', '{"keys": '),
        (b'{"keys": [1]}', '{"keys": '),
        (b'{"keys": null}', '{"keys": '),
        (b'\xef\xbb\xbf{"keys": []}', "is not a JSON key set"),
        ('{"keys": []}'.encode("utf-16"), "not UTF-8"),
        (b'{"kty": "OKP"}', "is a single key"),
        (b"[" * 100_000, "is not a JSON key set"),
        (b" " * (256 * 1024 + 1), "at most 262144"),
        (json.dumps({"keys": [{}] * 65}).encode(), "holds 65 keys; at most 64"),
    ],
)
def test_what_is_no_key_set_is_refused(issuer: Any, text: bytes, said: str) -> None:
    error = refusal(issuer, jwks=text)
    assert said in error.message
    assert str(error) == f"auth.main.jwks_file: {error.message}"


# one public key in PEM


@pytest.mark.parametrize(
    ("kid", "algorithm"), [("rsa", "RS256"), ("rsa", "PS256"), ("ec", "ES256"), ("ed", "EdDSA")]
)
def test_a_public_key_in_pem_takes_any_kid(issuer: Any, kid: str, algorithm: str) -> None:
    keys, _ = load_keys(issuer.config(jwks=b"", public_key=issuer.pem(kid)))
    assert keys.find(None, algorithm) is keys.find("whatever", algorithm) is not None


def test_a_pem_that_is_not_one_fit_public_key_is_refused(issuer: Any) -> None:
    small = rsa.generate_private_key(65537, 1024).public_key()
    cases = [
        (private_pem(issuer.ed), "private key"),
        (issuer.pem("rsa") + private_pem(issuer.rsa), "private key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate"),
        (issuer.pem("ed") * 2, "not one public key"),
        (b"junk", "not one public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        (public_pem(small), "RSA of 1024 bits"),
        (public_pem(x25519.X25519PrivateKey.generate().public_key()), "of a kind"),
        (public_pem(ed448.Ed448PrivateKey.generate().public_key()), "of a kind"),
        (public_pem(ec.generate_private_key(ec.SECP256K1()).public_key()), "of a kind"),
        (public_pem(ec.generate_private_key(ec.SECP384R1()).public_key()), "none of"),
    ]
    for pem, said in cases:
        error = refusal(issuer, jwks=b"", public_key=pem)
        assert error.key == "public_key_file"
        assert said in error.message


# one kind per verifier


def test_symmetric_and_public_key_algorithms_never_meet_in_one_verifier(issuer: Any) -> None:
    raw = issuer.ed.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    for algorithms in (("HS256", "EdDSA"), ("RS256", "HS512")):
        error = refusal(issuer, algorithms=algorithms, secret=raw)
        assert error.key == "algorithms"
        assert "two verifiers" in error.message


def test_the_algorithms_and_the_kind_of_key_agree(issuer: Any) -> None:
    secret = b"s" * 32
    for changes in (
        {"algorithms": ("HS256",), "secret": b""},
        {"algorithms": ("HS256",), "secret": secret, "jwks": issuer.config().jwks},
        {"algorithms": ("HS256",), "jwks": b"", "secret": b"", "public_key": issuer.pem("rsa")},
        {"algorithms": ("EdDSA",), "secret": secret},
        {"jwks": b""},
        {"public_key": issuer.pem("ed")},
    ):
        error = refusal(issuer, **changes)
        assert error.key == "algorithms"
        assert secret.decode() not in str(error)


@pytest.mark.parametrize(
    "algorithms", [(), ("none",), ("NONE",), ("EdDSA", "none"), ("ES256K",), ("rs256",), ("",)]
)
def test_an_algorithm_that_is_not_known_is_refused(issuer: Any, algorithms: Any) -> None:
    assert refusal(issuer, algorithms=algorithms).key == "algorithms"


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_its_hash(issuer: Any, algorithm: str, least: int) -> None:
    keys, _ = load_keys(issuer.config(secret=b"\xff" * least, algorithms=(algorithm,)))
    assert keys.find(None, algorithm) == b"\xff" * least
    error = refusal(issuer, secret=b"hush" * (least // 4 - 1), algorithms=("HS256", algorithm))
    assert error.key == "secret"
    assert f"at least {least}" in error.message
    assert "hush" not in str(error)


def test_a_secret_that_is_really_a_key_is_refused_and_not_shown(issuer: Any) -> None:
    for secret in (
        issuer.pem("rsa"),
        private_pem(issuer.rsa),
        json.dumps(issuer.jwk("rsa")).encode(),
        issuer.rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        issuer.rsa.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    ):
        assert "not the bytes of a secret" in refusal(issuer, secret=secret).message
