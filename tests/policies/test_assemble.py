from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gwd.config.snapshot import Rate, Route
from gwd.policies import (
    Access,
    BadVerifier,
    RateLimit,
    build_authenticators,
    identity_headers,
    route_policies,
)
from gwd.policies.bearer import Authenticate, Authorise

ROUTE = Route(
    name="orders",
    host=None,
    path="/orders/*",
    methods=(),
    auth=("main",),
    auth_optional=False,
    scopes=("orders:read",),
    timeout=None,
    max_body=None,
    encoded_slash="reject",
    upstream="orders",
    rewrite=None,
    parts=(),
    respond=None,
    line=3,
)


def test_a_route_is_authenticated_then_authorised(issuer: Any) -> None:
    verifiers = build_authenticators([issuer.config()])
    policies = route_policies(ROUTE, verifiers)
    assert [type(policy) for policy in policies] == [Authenticate, Authorise]
    assert [str(policy) for policy in policies] == ['jwt "main"', "scope orders:read"]


RATED: dict[str, Any] = {"rate": Rate(20.0, 20, "20/s"), "deny": ("192.0.2.0/24",)}


def test_networks_and_rates_come_before_the_token_is_looked_at(issuer: Any) -> None:
    verifiers = build_authenticators([issuer.config()])
    for rate_key, step in (("ip", "20/s"), ("header:X-Key", "20/s by header X-Key")):
        route = dataclasses.replace(ROUTE, **RATED, rate_key=rate_key)
        policies = route_policies(route, verifiers)
        assert [type(policy) for policy in policies] == [
            Access,
            RateLimit,
            Authenticate,
            Authorise,
        ]
        assert [str(policy) for policy in policies[:2]] == ["deny", step]


def test_a_rate_by_claim_comes_after_the_token_was_verified(issuer: Any) -> None:
    route = dataclasses.replace(ROUTE, **RATED, rate_key="claim:sub")
    policies = route_policies(route, build_authenticators([issuer.config()]))
    assert [str(policy) for policy in policies] == [
        "deny",
        'jwt "main"',
        "scope orders:read",
        "20/s by claim sub",
    ]


def test_a_route_pays_only_for_what_it_uses(issuer: Any) -> None:
    verifiers = build_authenticators([issuer.config()])
    assert route_policies(dataclasses.replace(ROUTE, auth=(), scopes=()), verifiers) == ()


def test_a_route_that_wants_scopes_of_nobody_lets_nobody_in(request_with: Any) -> None:
    policies = route_policies(dataclasses.replace(ROUTE, auth=()), {})
    assert [policy(request_with()) is None for policy in policies] == [False]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"auth": ("other",)}, "no \\[auth.other\\]"),
        ({"scopes": ('a"b',)}, "not a scope"),
        ({"scopes": ("a b",)}, "not a scope"),
        ({"scopes": ("a\r\nb",)}, "not a scope"),
        ({"scopes": ("",)}, "not a scope"),
        ({**RATED, "auth": (), "rate_key": "claim:sub"}, "needs a token; add auth"),
        ({**RATED, "rate_key": "cookie:x"}, "rate_key: 'cookie:x' is not"),
        ({"allow": ("example.com",)}, "not a network"),
    ],
)
def test_a_route_that_cannot_be_guarded_is_an_error(
    issuer: Any, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        route_policies(
            dataclasses.replace(ROUTE, **changes), build_authenticators([issuer.config()])
        )


def test_identity_headers_are_those_of_every_verifier_in_lower_case(issuer: Any) -> None:
    one = issuer.config(forward_claims=(("sub", "X-User-Id"), ("email", "X-Email")))
    two = issuer.config(name="two", forward_claims=(("sub", "X-USER-ID"), ("org", "X-Org")))
    assert identity_headers([one, two]) == {b"x-user-id", b"x-email", b"x-org"}
    assert identity_headers([]) == frozenset()


@pytest.mark.parametrize(
    "header",
    [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Authorization",
        "Cookie",
        "X-Forwarded-For",
        "Forwarded",
        "X-Request-Id",
        "X_User_Id",
        "X User",
        "X-User:",
        "X-Usér",
        "",
        "X-User\r\nX",
    ],
)
def test_a_claim_cannot_go_into_a_field_with_a_meaning_of_its_own(issuer: Any, header: str) -> None:
    with pytest.raises(BadVerifier) as caught:
        build_authenticators([issuer.config(forward_claims=(("sub", header),))])
    assert caught.value.key == "forward_claims.sub"


def test_two_claims_cannot_share_a_field(issuer: Any) -> None:
    forward = (("sub", "X-User"), ("email", "x-user"))
    with pytest.raises(BadVerifier, match="twice"):
        build_authenticators([issuer.config(forward_claims=forward)])


def test_a_verifier_that_cannot_work_is_an_error_that_says_where(issuer: Any) -> None:
    with pytest.raises(BadVerifier, match=r"auth\.main\.jwks_file: is not a JSON key set"):
        build_authenticators([issuer.config(jwks=b"junk")])
