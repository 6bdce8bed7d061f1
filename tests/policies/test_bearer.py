from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import OKPAlgorithm

from gwd.http.problem import Refusal
from gwd.policies import JwtVerifier, Request
from gwd.policies.bearer import Authenticate, Authorise, bearer_token
from gwd.policies.compact import Rejected

NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticate(verifier: JwtVerifier, clock: Clock) -> Authenticate:
    return Authenticate([verifier], optional=False, clock=clock)


@pytest.fixture
def optional(verifier: JwtVerifier, clock: Clock) -> Authenticate:
    return Authenticate([verifier], optional=True, clock=clock)


def challenge(refusal: Refusal | None) -> str:
    assert refusal is not None
    return dict(refusal.headers)["WWW-Authenticate"]


def test_a_good_token_says_who_asks(
    issuer: Any, authenticate: Authenticate, request_with: Callable[..., Request]
) -> None:
    request = request_with(b"Bearer " + issuer.token())
    assert authenticate(request) is None
    assert request.subject == "ada"
    assert request.claims is not None
    assert request.claims["aud"] == "api"
    assert request.scopes == {"orders:read", "cart:read"}
    assert request.added == [b"X-User-Id: ada\r\n"]


@pytest.mark.parametrize(
    "scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"bEaReR ", b"Bearer    ", b" Bearer "]
)
def test_the_scheme_is_free_in_case_and_in_blanks_after_it(
    issuer: Any, authenticate: Authenticate, request_with: Callable[..., Request], scheme: bytes
) -> None:
    for _ in range(2):
        request = request_with(scheme + issuer.token())
        assert authenticate(request) is None
        assert request.subject == "ada"


def test_a_missing_token_is_401_without_an_error_code(
    authenticate: Authenticate, request_with: Callable[..., Request]
) -> None:
    for authorization in (None, b"", b"Basic YTpi", b"Token x", b"BearerX y", b"Digest a=b"):
        refusal = authenticate(request_with(authorization))
        assert refusal is not None
        assert (refusal.status, refusal.reason) == (401, "missing_token")
        assert challenge(refusal) == 'Bearer realm="gwd"'


@pytest.mark.parametrize(
    "authorization",
    [b"Bearer", b"Bearer ", b"bearer   ", b"Bearer x", b"Bearer a.b.c", b"Bearer a b"],
)
def test_a_broken_token_is_401_invalid_token(
    authenticate: Authenticate, request_with: Callable[..., Request], authorization: bytes
) -> None:
    refusal = authenticate(request_with(authorization))
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (401, "invalid_token")
    assert challenge(refusal) == (
        'Bearer realm="gwd", error="invalid_token", error_description="the token is malformed"'
    )
    assert refusal.detail == "The token is malformed."


def test_a_token_after_blanks_or_with_company_is_refused(
    issuer: Any, authenticate: Authenticate, request_with: Callable[..., Request]
) -> None:
    token = issuer.token()
    for authorization in (
        b"Bearer\t" + token,
        b"Bearer " + token + b" " + token,
        b"Bearer " + token + b", Basic YTpi",
        b"Bearer " + token + b"=",
        b'Bearer "' + token + b'"',
        b"Bearer Bearer " + token,
        token,
    ):
        refusal = authenticate(request_with(authorization))
        assert refusal is not None
        assert refusal.status == 401


def test_the_answer_says_why_and_nothing_of_the_token(
    issuer: Any, authenticate: Authenticate, request_with: Callable[..., Request]
) -> None:
    token = issuer.token(exp=NOW - 100, sub="very secret")
    refusal = authenticate(request_with(b"Bearer " + token))
    assert refusal is not None
    assert challenge(refusal).endswith('error_description="the token has expired"')
    assert "secret" not in refusal.detail + challenge(refusal)


def test_optional_lets_the_anonymous_pass_never_the_invalid(
    issuer: Any, optional: Authenticate, request_with: Callable[..., Request]
) -> None:
    anonymous = request_with(None)
    assert optional(anonymous) is None
    assert anonymous.claims is None
    assert anonymous.added == []
    known = request_with(b"Bearer " + issuer.token())
    assert optional(known) is None
    assert known.subject == "ada"
    for authorization in (
        b"",
        b"Bearer",
        b"Bearer x",
        b"Bearer " + issuer.token(exp=NOW - 100),
        b"Bearer\t" + issuer.token(),
        b"Token " + issuer.token(),
        b"Basic YTpi",
    ):
        refusal = optional(request_with(authorization))
        assert refusal is not None
        assert refusal.status == 401


def test_a_token_seen_before_is_not_verified_again(
    issuer: Any,
    authenticate: Authenticate,
    verifier: JwtVerifier,
    request_with: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authorization = b"Bearer " + issuer.token()
    assert authenticate(request_with(authorization)) is None
    monkeypatch.setattr("gwd.policies.jwt._algorithms", {})
    again = request_with(authorization)
    assert authenticate(again) is None
    assert again.added == [b"X-User-Id: ada\r\n"]


def test_a_token_seen_before_is_refused_once_it_has_expired(
    issuer: Any, authenticate: Authenticate, clock: Clock, request_with: Callable[..., Request]
) -> None:
    authorization = b"Bearer " + issuer.token(exp=NOW + 10)
    assert authenticate(request_with(authorization)) is None
    clock.now = NOW + 39.9
    assert authenticate(request_with(authorization)) is None
    clock.now = NOW + 40
    assert "expired" in challenge(authenticate(request_with(authorization)))


def test_a_token_seen_before_is_verified_anew_after_five_minutes_and_when_the_clock_goes_back(
    issuer: Any,
    authenticate: Authenticate,
    clock: Clock,
    request_with: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authorization = b"Bearer " + issuer.token()
    assert authenticate(request_with(authorization)) is None
    monkeypatch.setattr("gwd.policies.jwt._algorithms", {})
    for clock.now in (NOW - 5, NOW + 300):
        assert authenticate(request_with(authorization)) is not None
    clock.now = NOW + 299
    assert authenticate(request_with(authorization)) is None


@pytest.fixture
def pair(issuer: Any, clock: Clock) -> tuple[Authenticate, ed25519.Ed25519PrivateKey]:
    """Two issuers behind one route, and the key of the second."""
    key = ed25519.Ed25519PrivateKey.generate()
    jwk = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "ed"}
    second = issuer.config(
        name="second",
        issuer="https://second.example",
        jwks=issuer.key_set(jwk),
        algorithms=("EdDSA",),
        forward_claims=(("sub", "X-Second"),),
    )
    verifiers = [JwtVerifier(issuer.config()), JwtVerifier(second)]
    return Authenticate(verifiers, optional=False, clock=clock), key


def test_of_several_verifiers_the_issuer_picks(
    issuer: Any, pair: Any, request_with: Callable[..., Request]
) -> None:
    authenticate, key = pair
    second = issuer.forge(
        {"alg": "EdDSA", "kid": "ed"}, issuer.claims(iss="https://second.example"), key
    )
    for _ in range(2):
        for token, line in (
            (issuer.token(), b"X-User-Id: ada\r\n"),
            (second, b"X-Second: ada\r\n"),
        ):
            request = request_with(b"Bearer " + token)
            assert authenticate(request) is None
            assert request.added == [line]


def test_no_verifier_takes_a_token_that_names_the_issuer_of_another(
    issuer: Any, pair: Any, request_with: Callable[..., Request]
) -> None:
    authenticate, key = pair
    header = {"alg": "EdDSA", "kid": "ed"}
    for token, said in (
        (issuer.forge(header, issuer.claims(), key), "not signed by a key"),
        (issuer.token(iss="https://second.example"), "not signed by a key"),
        (issuer.token(iss="https://third.example"), "another issuer"),
        (issuer.token(iss=None), "another issuer"),
        (issuer.token(iss=["https://second.example"]), "another issuer"),
        (b"a.b.c", "malformed"),
        (issuer.forge(header, b"[" * 3000), "malformed"),
    ):
        assert said in challenge(authenticate(request_with(b"Bearer " + token)))


def test_two_verifiers_of_one_issuer_are_both_asked(
    issuer: Any, clock: Clock, request_with: Callable[..., Request]
) -> None:
    verifiers = [JwtVerifier(issuer.config(name=name, audience=(name,))) for name in ("web", "api")]
    authenticate = Authenticate(verifiers, optional=False, clock=clock)
    assert authenticate(request_with(b"Bearer " + issuer.token())) is None
    assert "another audience" in challenge(
        authenticate(request_with(b"Bearer " + issuer.token(aud="x")))
    )


def test_every_required_scope_must_be_granted(
    issuer: Any, authenticate: Authenticate, request_with: Callable[..., Request]
) -> None:
    request = request_with(b"Bearer " + issuer.token())
    authenticate(request)
    assert Authorise(["orders:read"])(request) is None
    assert Authorise(["cart:read", "orders:read"])(request) is None
    refusal = Authorise(["orders:read", "orders:write"])(request)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (403, "insufficient_scope")
    assert challenge(refusal).startswith('Bearer realm="gwd", error="insufficient_scope", ')
    assert challenge(refusal).endswith('scope="orders:read orders:write"')


def test_a_scope_is_not_granted_to_the_anonymous(request_with: Callable[..., Request]) -> None:
    refusal = Authorise(["orders:read"])(request_with(None))
    assert refusal is not None
    assert refusal.status == 401
    assert challenge(refusal) == 'Bearer realm="gwd"'


def test_the_steps_read_as_explain_prints_them(verifier: JwtVerifier) -> None:
    assert str(Authenticate([verifier], optional=False)) == 'jwt "main"'
    assert str(Authenticate([verifier], optional=True)) == 'jwt "main" if there is a token'
    assert str(Authenticate([verifier, verifier], optional=False)) == 'jwt "main" or "main"'
    assert str(Authorise(["b", "a"])) == "scope a b"


@given(st.binary(max_size=40) | st.binary(max_size=20).map(b"bearer".__add__))
def test_any_field_value_has_a_token_none_or_is_rejected(authorization: bytes) -> None:
    try:
        token = bearer_token(authorization)
    except Rejected:
        return
    assert token is None or (token and token in authorization)
