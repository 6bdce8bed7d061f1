from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwd.policies import BadVerifier, JwtVerifier
from gwd.policies.compact import Rejected
from gwd.policies.jwt import UNKNOWN_SIGNER, _algorithms
from gwd.policies.token_cache import Verified

NOW = 1_800_000_000.0


def verify(verifier: JwtVerifier, token: bytes, now: float = NOW) -> Verified:
    return verifier.verify(b"Bearer " + token, token, now)


def rejection(verifier: JwtVerifier, token: bytes, now: float = NOW) -> str:
    with pytest.raises(Rejected) as caught:
        verify(verifier, token, now)
    return caught.value.description


# what passes


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_good_token_passes(issuer: Any, verifier: JwtVerifier, alg: str) -> None:
    verified = verify(verifier, issuer.token(alg))
    assert verified.subject == "ada"
    assert verified.scopes == {"orders:read", "cart:read"}
    assert verified.lines == b"X-User-Id: ada\r\n"
    assert verified.claims["iss"] == issuer.issuer
    assert verified.since <= NOW < verified.until


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_token_by_a_shared_secret_passes(issuer: Any, alg: str) -> None:
    secret = bytes(range(200, 256)) + bytes(8)
    verifier = JwtVerifier(issuer.config(secret=secret, algorithms=(alg,)))
    good = issuer.forge({"alg": alg}, issuer.claims(), secret)
    assert verify(verifier, good).subject == "ada"
    assert rejection(verifier, issuer.forge({"alg": alg}, issuer.claims(), secret[1:]))


@pytest.mark.parametrize(
    ("alg", "curve"), [("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1()), ("RS512", None)]
)
def test_larger_keys_and_hashes_pass(issuer: Any, alg: str, curve: Any) -> None:
    key = ec.generate_private_key(curve) if curve else issuer.rsa
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    verifier = JwtVerifier(issuer.config(jwks=b"", public_key=pem, algorithms=(alg,)))
    assert verify(verifier, issuer.forge({"alg": alg}, issuer.claims(), key)).subject == "ada"


def test_the_fully_specified_name_of_eddsa_passes(issuer: Any, verifier: JwtVerifier) -> None:
    token = issuer.forge({"alg": "Ed25519", "kid": "ed"}, issuer.claims(), issuer.ed.sign)
    assert verify(verifier, token).subject == "ada"


def test_a_token_without_kid_passes_if_one_key_fits(issuer: Any, verifier: JwtVerifier) -> None:
    assert verify(verifier, issuer.token("ES256", {"kid": None})).subject == "ada"


def test_where_a_header_says_keys_are_is_ignored(issuer: Any, verifier: JwtVerifier) -> None:
    pointers = {
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
        "x5c": ["MIIB"],
        "x5t": "AAAA",
        "x5t#S256": "AAAA",
        "jwk": issuer.jwk("ed"),
    }
    assert verify(verifier, issuer.token(header=pointers)).subject == "ada"


# what does not: the signature


def evil_tokens(issuer: Any) -> dict[str, bytes]:
    """The attacks of RFC 8725 section 2 and of JWT libraries' past, by name."""
    claims = issuer.claims()
    evil = rsa.generate_private_key(65537, 2048)
    evil_ec = ec.generate_private_key(ec.SECP256R1())
    pem = issuer.pem("rsa")
    der = issuer.rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw_ed = issuer.ed.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    jwk = json.dumps(issuer.jwk("rsa")).encode()

    def hs(secret: bytes, kid: str) -> bytes:
        return issuer.forge(  # type: ignore[no-any-return]
            {"alg": "HS256", "kid": kid},
            claims,
            lambda text: hmac.new(secret, text, hashlib.sha256).digest(),
        )

    def es(r: int, s: int) -> Any:
        return lambda _: r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def es_signature(text: bytes) -> bytes:
        r, s = utils.decode_dss_signature(issuer.ec.sign(text, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    es256 = {"alg": "ES256", "kid": "ec"}
    eddsa = {"alg": "EdDSA", "kid": "ed"}
    good = issuer.token()
    head, body, signature = good.split(b".")
    other_body = issuer.token(sub="eve").split(b".")[1]
    nothing = base64.urlsafe_b64encode(b"x").rstrip(b"=")
    tokens = {
        f"alg {alg!r}": issuer.forge({"alg": alg, "kid": "ed"}, claims, lambda _: b"x")
        for alg in ("none", "None", "NONE", "nOnE", "", " EdDSA", "eddsa", "EDDSA", "ES256\0")
    }
    tokens |= {
        "alg none, signed well": issuer.forge({"alg": "none", "kid": "ed"}, claims, issuer.ed.sign),
        "HS256 by the RSA key as PEM": hs(pem, "rsa"),
        "HS256 by the RSA key as PEM without a line end": hs(pem.strip(), "rsa"),
        "HS256 by the RSA key as DER": hs(der, "rsa"),
        "HS256 by the RSA key as JWK": hs(jwk, "rsa"),
        "HS256 by the raw Ed25519 key": hs(raw_ed, "ed"),
        "HS256 by nothing": hs(b"", "ed"),
        "the wrong RSA key": issuer.forge({"alg": "RS256", "kid": "rsa"}, claims, evil),
        "the wrong EC key": issuer.forge(es256, claims, evil_ec),
        "its own key in jwk": issuer.forge(
            {"alg": "RS256", "kid": "rsa", "jwk": {"kty": "RSA", "n": "AA", "e": "AQAB"}},
            claims,
            evil,
        ),
        "RS256 with the EC key's kid": issuer.token("RS256", {"kid": "ec"}),
        "ES256 with the RSA key's kid": issuer.token("ES256", {"kid": "rsa"}),
        "an algorithm not allowed": issuer.token("RS512", {"kid": "rsa"}),
        "PS256 said, RS256 done": issuer.forge(
            {"alg": "PS256", "kid": "rsa"},
            claims,
            lambda text: pyjwt.get_algorithm_by_name("RS256").sign(text, issuer.rsa),
        ),
        "a path as kid": issuer.token(header={"kid": "../../../../dev/null"}),
        "SQL as kid": issuer.token(header={"kid": "' OR 1=1 --"}),
        "another case of the kid": issuer.token(header={"kid": "ED"}),
        "a kid of 100 KB": issuer.token(header={"kid": "k" * 100_000}),
        "a kid with NUL": issuer.token(header={"kid": "ed\x00"}),
        "ES256 of zeros": issuer.forge(es256, claims, es(0, 0)),
        "ES256 of the order": issuer.forge(es256, claims, es(order, order)),
        "ES256 of 63 bytes": issuer.forge(es256, claims, lambda text: es_signature(text)[:-1]),
        "ES256 of 65 bytes": issuer.forge(es256, claims, lambda text: es_signature(text) + b"\0"),
        "ES256 in DER": issuer.forge(
            es256, claims, lambda text: issuer.ec.sign(text, ec.ECDSA(SHA256()))
        ),
        "Ed448": issuer.forge(eddsa, claims, ed448.Ed448PrivateKey.generate().sign),
        "EdDSA of 63 bytes": issuer.forge(eddsa, claims, lambda t: issuer.ed.sign(t)[:-1]),
        "EdDSA of 65 bytes": issuer.forge(eddsa, claims, lambda t: issuer.ed.sign(t) + b"\0"),
        "EdDSA of zeros": issuer.forge(eddsa, claims, lambda _: bytes(64)),
        "another payload": b".".join((head, other_body, signature)),
        "no signature": head + b"." + body + b".",
        "no signature, no dot": head + b"." + body,
        "hardly a signature": b".".join((head, body, nothing)),
        "padding": good + b"=" * (-len(signature) % 4),
        "padded header": head + b"=" + good[len(head) :],
        "five parts": good + b".a.b",
        "JSON serialization": json.dumps(
            {
                "protected": head.decode(),
                "payload": body.decode(),
                "signature": signature.decode(),
            }
        ).encode(),
        "crit": issuer.token(header={"crit": ["exp"], "exp": 1}),
        "b64 false": issuer.token(header={"b64": False, "crit": ["b64"]}),
        "b64 0": issuer.token(header={"b64": 0}),
        "zip": issuer.token(header={"zip": "DEF"}),
        "cty": issuer.token(header={"cty": "JWT"}),
        "alg twice": issuer.forge(
            b'{"alg":"none","alg":"EdDSA","kid":"ed"}', claims, issuer.ed.sign
        ),
        "header in UTF-16": issuer.forge(
            json.dumps(eddsa).encode("utf-16"), claims, issuer.ed.sign
        ),
    }
    return tokens


def test_no_attack_on_the_signature_passes(issuer: Any, verifier: JwtVerifier) -> None:
    for name, token in evil_tokens(issuer).items():
        try:
            verify(verifier, token)
        except Rejected:
            continue
        pytest.fail(f"passed: {name}")


def test_no_attack_on_the_signature_passes_a_verifier_with_one_key(issuer: Any) -> None:
    """Without a choice by kid, and with a secret that is public knowledge elsewhere."""
    raw_ed = issuer.ed.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    verifiers = [
        JwtVerifier(issuer.config(jwks=b"", public_key=issuer.pem(kid), algorithms=(alg,)))
        for kid, alg in (("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA"))
    ]
    # A lone key in PEM has no name, so the name that a token uses is no attack on it.
    harmless = {
        "RS256 with the EC key's kid",
        "ES256 with the RSA key's kid",
        "a path as kid",
        "SQL as kid",
        "another case of the kid",
    }
    for verifier in verifiers:
        for name, token in evil_tokens(issuer).items():
            with contextlib.suppress(Rejected):
                verify(verifier, token)
                assert name in harmless
    shared = JwtVerifier(issuer.config(secret=raw_ed, algorithms=("HS256",)))
    assert rejection(shared, issuer.token()) == UNKNOWN_SIGNER


def test_who_signed_is_answered_alike_for_every_cause(issuer: Any, verifier: JwtVerifier) -> None:
    tokens = evil_tokens(issuer)
    causes = ("alg 'none'", "the wrong RSA key", "a path as kid", "ES256 of zeros")
    assert {rejection(verifier, tokens[cause]) for cause in causes} == {UNKNOWN_SIGNER}


# what does not: the claims


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exp": NOW - 31}, "expired"),
        ({"exp": None}, "does not say when it expires"),
        ({"exp": " 12 "}, "wrong type"),
        ({"exp": "1_0"}, "wrong type"),
        ({"exp": 1e308}, "wrong type"),
        ({"exp": 10**4000}, "wrong type"),
        ({"nbf": NOW + 31}, "not valid yet"),
        ({"iat": NOW + 31}, "not valid yet"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "web"}, "another audience"),
        ({"aud": None}, "no valid audience"),
        ({"sub": "a\r\nX: y"}, "cannot be passed on"),
        ({"sub": "\ud800"}, "cannot be passed on"),
        ({"sub": 7}, "wrong type"),
    ],
)
def test_a_well_signed_token_with_wrong_claims_is_refused(
    issuer: Any, verifier: JwtVerifier, changes: dict[str, Any], said: str
) -> None:
    assert said in rejection(verifier, issuer.token(**changes))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"ada"',
        b'{"exp":1800003600,"exp":1}',
        b'{"exp":Infinity}',
        b'{"exp":1e999}',
        b"\xff\xfe",
        b"[" * 3000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        '{"iss":"https://issuer.example"}'.encode("utf-16"),
        '{"iss":"https://issuer.example"}'.encode("utf-32"),
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_well_signed_payload_that_is_odd_is_refused(
    issuer: Any, verifier: JwtVerifier, payload: bytes
) -> None:
    token = issuer.forge({"alg": "EdDSA", "kid": "ed"}, payload, issuer.ed.sign)
    assert rejection(verifier, token)


def test_a_surrogate_in_a_subject_that_is_not_forwarded_can_be_logged(issuer: Any) -> None:
    verifier = JwtVerifier(issuer.config(forward_claims=()))
    verified = verify(verifier, issuer.token(sub="a\ud800\r\n"))
    assert verified.subject.encode() == b"a\\ud800\r\n"
    assert verified.lines == b""


def test_a_token_past_8_kib_is_refused(issuer: Any, verifier: JwtVerifier) -> None:
    assert "too long" in rejection(verifier, issuer.token(extra="x" * 6200))
    verify(verifier, issuer.token(extra="x" * 5000))


# memory


def test_a_verified_token_is_recalled_by_its_exact_field_value(
    issuer: Any, verifier: JwtVerifier
) -> None:
    token = issuer.token()
    verified = verify(verifier, token)
    assert verifier.recall(b"Bearer " + token) is verified
    assert verifier.recent[b"Bearer " + token] is verified
    for other in (b"bearer " + token, token, b"Bearer " + token + b"A", b"Bearer " + token[:-1]):
        assert verifier.recall(other) is None


def test_a_verified_token_is_believed_for_min_of_exp_and_five_minutes(
    issuer: Any, verifier: JwtVerifier
) -> None:
    assert verify(verifier, issuer.token(exp=NOW + 3600)).until == NOW + 300
    assert verify(verifier, issuer.token(exp=NOW + 60)).until == NOW + 90


def test_a_verified_token_is_not_believed_before_its_time_or_a_clock_set_back(
    issuer: Any, verifier: JwtVerifier
) -> None:
    assert verify(verifier, issuer.token(nbf=NOW + 30)).since == NOW
    assert verify(verifier, issuer.token()).since == NOW - 1


def test_one_token_in_many_dresses_is_stored_in_two_at_most(
    issuer: Any, verifier: JwtVerifier
) -> None:
    token = issuer.token()
    for prefix in (b"Bearer ", b"bearer ", b"BEARER ", b"bEARER ", b"Bearer  ", b"bearer   "):
        verifier.verify(prefix + token, token, NOW)
    assert set(verifier.recent) == {b"Bearer " + token, b"bearer " + token}


def test_rejections_are_remembered_for_a_second_at_most(issuer: Any, verifier: JwtVerifier) -> None:
    early = issuer.token(nbf=NOW + 31)
    assert "not valid yet" in rejection(verifier, early, NOW)
    assert "not valid yet" in rejection(verifier, early, NOW + 0.99)
    verify(verifier, early, NOW + 1)


def test_junk_pushes_out_no_good_token_and_is_bounded(issuer: Any, verifier: JwtVerifier) -> None:
    token = issuer.token()
    verify(verifier, token)
    for number in range(2000):
        rejection(verifier, b"a.b.c%d" % number)
    rejection(verifier, b"x" * 100_000)
    assert verifier.recall(b"Bearer " + token) is not None
    assert len(verifier._rejected) <= 256
    assert max(map(len, verifier._rejected)) < 100


# faults


class Panic(BaseException):
    """As cryptography's Rust raises them."""


@pytest.mark.parametrize("fault", [TypeError("secret"), UnicodeEncodeError, MemoryError, Panic])
def test_any_exception_of_the_verifier_is_a_rejection(
    issuer: Any,
    verifier: JwtVerifier,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Any,
) -> None:
    class Faulty:
        def verify(self, *_: object) -> bool:
            raise fault if isinstance(fault, BaseException) else fault.__new__(fault)

    monkeypatch.setitem(_algorithms, "EdDSA", Faulty())
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            assert "malformed" in rejection(verifier, issuer.token(sub=str(number)))
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"type": "basic"}, "type"),
        ({"issuer": ""}, "issuer"),
        ({"audience": ()}, "audience"),
        ({"audience": ("api", "")}, "audience"),
        ({"leeway": 301.0}, "leeway"),
        ({"leeway": -1.0}, "leeway"),
        ({"jwks": b"{}"}, "jwks_file"),
    ],
)
def test_a_verifier_that_would_let_others_in_is_refused(
    issuer: Any, changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(BadVerifier) as caught:
        JwtVerifier(issuer.config(**changes))
    assert caught.value.key == key
    assert caught.value.name == "main"


# against PyJWT


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_pyjwt_accepts_whatever_is_accepted_here(
    issuer: Any, verifier: JwtVerifier, data: st.DataObject
) -> None:
    alg = data.draw(st.sampled_from(["RS256", "ES256", "EdDSA", "Ed25519", "none"]))
    header = {"alg": alg} | data.draw(
        st.dictionaries(
            st.sampled_from(["kid", "typ", "crit", "b64", "jku", "zip"]),
            st.sampled_from(["rsa", "ec", "ed", "JWT", 0, False, None, ["b64"]]),
            max_size=2,
        )
    )
    claims = issuer.claims() | data.draw(
        st.dictionaries(
            st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti"]),
            st.sampled_from(
                ["api", ["api"], issuer.issuer, "x", 1, NOW + 5, NOW - 5.5, None, True]
            ),
            max_size=2,
        )
    )
    key = issuer.keys[issuer.kids.get(alg[:2], "ed")]
    signer = issuer.ed.sign if alg in ("Ed25519", "none") else None
    token = bytearray(issuer.forge(header, claims, signer or key))
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(token) - 1))
        token[place] = data.draw(st.sampled_from(b"A_.=-9z"))
    try:
        verified = verifier.judge(bytes(token), NOW)
    except Rejected:
        return
    if alg == "Ed25519":
        return  # PyJWT does not know the name
    kid = header.get("kid") or issuer.kids[alg[:2]]
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    theirs = pyjwt.decode(
        bytes(token),
        issuer.keys[kid].public_key(),
        [alg],
        audience="api",
        issuer=issuer.issuer,
        options=options,
    )
    assert theirs == verified.claims
