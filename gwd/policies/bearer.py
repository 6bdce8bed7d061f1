"""Authenticate by a bearer token, and authorise by its scopes: RFC 6750 on the wire.

Strategy: the common request carries a token that was seen before, so the field value is looked up
*before* it is looked at: what was stored under these bytes was judged when it was stored. A hit
costs a dictionary look-up and two comparisons of time. Everything else goes the long way round
through `JwtVerifier.verify`.

Which answer (RFC 6750 section 3.1): no credentials, 401 without an error code, for the client may
not have known that it needs any; a bad token, 401 "invalid_token"; a good one that may not do
this, 403 "insufficient_scope". `auth_optional` lets the anonymous pass, never the invalid, and
anonymous is who sends no Authorization at all: an upstream may read a scheme unknown here, or a
sloppily spelt one, as a token that the gateway has checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gwd.http.problem import Refusal
from gwd.policies.compact import MALFORMED, Parsed, Rejected
from gwd.policies.interface import Request
from gwd.policies.jwt import JwtVerifier
from gwd.policies.token_cache import Verified

_CHALLENGE = 'Bearer realm="gwd"'
"""RFC 6750 section 3 wants at least one parameter after the scheme."""

MISSING = Refusal(
    401,
    "missing_token",
    "This needs a bearer token in the Authorization field.",
    (("WWW-Authenticate", _CHALLENGE),),
)


def bearer_token(authorization: bytes) -> bytes | None:
    """The token in an Authorization field value; None if the scheme is another one.

    The scheme's case is free (RFC 9110 section 11.1), then come one or more blanks. Raises
    Rejected for a Bearer without a token.
    """
    scheme, _, rest = authorization.strip(b" \t").partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    token = rest.lstrip(b" ")
    if not token:
        raise Rejected(MALFORMED)
    return token


class Authenticate:
    """Who asks? Tries the verifiers whose issuer the token names."""

    __slots__ = ("_clock", "_optional", "_recall", "_verifiers")

    def __init__(
        self,
        verifiers: Sequence[JwtVerifier],
        optional: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`verifiers`: at least one. `clock`: seconds since 1970."""
        self._verifiers = tuple(verifiers)
        self._optional = optional
        self._clock = clock
        self._recall = self._verifiers[0].recent.get

    def __str__(self) -> str:
        names = " or ".join(f'"{verifier.name}"' for verifier in self._verifiers)
        return f"jwt {names}{' if there is a token' if self._optional else ''}"

    def __call__(self, request: Request) -> Refusal | None:
        authorization = request.head.authorization
        if authorization is None:
            return None if self._optional else MISSING
        now = self._clock()
        verified = self._recall(authorization)
        if verified is None or not verified.since <= now < verified.until:
            found = self._long_way(authorization, now)
            if isinstance(found, Refusal):
                return found
            verified = found
        request.claims = verified.claims
        request.scopes = verified.scopes
        request.subject = verified.subject
        if verified.lines:
            request.added.append(verified.lines)
        return None

    def _long_way(self, authorization: bytes, now: float) -> Verified | Refusal:
        for verifier in self._verifiers:
            verified = verifier.recall(authorization)
            if verified is not None and verified.since <= now < verified.until:
                return verified
        try:
            token = bearer_token(authorization)
            if token is None:
                return MISSING
            rejection = Rejected("the token is from another issuer")
            for verifier in self._candidates(token):
                try:
                    return verifier.verify(authorization, token, now)
                except Rejected as error:
                    rejection = error
            raise rejection
        except Rejected as error:
            return invalid_token(error.description)

    def _candidates(self, token: bytes) -> Sequence[JwtVerifier]:
        """Whom to ask: of several, those whose issuer the token claims to be from."""
        if len(self._verifiers) == 1:
            return self._verifiers
        issuer = Parsed(token).claims().get("iss")
        return [verifier for verifier in self._verifiers if verifier.issuer == issuer]


class Authorise:
    """May they? Every one of `required` must be among the scopes of the token."""

    __slots__ = ("_refusal", "_required")

    def __init__(self, required: Sequence[str]) -> None:
        self._required = frozenset(required)
        words = " ".join(required)
        description = "the token does not carry every scope that this needs"
        self._refusal = Refusal(
            403,
            "insufficient_scope",
            f"This needs the scope {words}.",
            (
                (
                    "WWW-Authenticate",
                    f'{_CHALLENGE}, error="insufficient_scope", '
                    f'error_description="{description}", scope="{words}"',
                ),
            ),
        )

    def __str__(self) -> str:
        return f"scope {' '.join(sorted(self._required))}"

    def __call__(self, request: Request) -> Refusal | None:
        if self._required <= request.scopes:
            return None
        return MISSING if request.claims is None else self._refusal


def invalid_token(description: str) -> Refusal:
    return Refusal(
        401,
        "invalid_token",
        f"{description[0].upper()}{description[1:]}.",
        (
            (
                "WWW-Authenticate",
                f'{_CHALLENGE}, error="invalid_token", error_description="{description}"',
            ),
        ),
    )
