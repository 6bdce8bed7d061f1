"""From the plain config to policies: what is checked here is checked once, and before any request.

`gwd check`, the trial build before a reload and the children's prepare step all call these, so
they judge alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gwd.config.snapshot import Route, Verifier
from gwd.policies.access import Access
from gwd.policies.bearer import Authenticate, Authorise
from gwd.policies.interface import Policy
from gwd.policies.jwt import JwtVerifier
from gwd.policies.keys import BadVerifier
from gwd.policies.rate import RateLimit
from gwd.segment.memory import Segment

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
"""Names that no server reads as another one (SEC-08)."""
_RESERVED = re.compile(
    "host|connection|keep-alive|te|trailer|upgrade|expect|via|date|range|origin|referer|cookie"
    "|authorization|forwarded|traceparent|tracestate|x-request-id|x-real-ip|http2-settings"
    "|(?:transfer|content|proxy|x-forwarded|if|accept|sec|set)(?:-.*)?"
)
"""Fields with a meaning of their own; a claim in one of them would reframe or reroute requests."""
_SCOPE = re.compile(r"[!#-\[\]-~]+")
"""RFC 6749 section 3.3."""


def build_authenticators(auth: Sequence[Verifier]) -> dict[str, JwtVerifier]:
    """The verifiers by name. Raises BadVerifier, a ValueError, for one that cannot work."""
    for config in auth:
        _check_headers(config)
    return {config.name: JwtVerifier(config) for config in auth}


def route_policies(
    route: Route,
    verifiers: Mapping[str, JwtVerifier],
    segment: Segment | None = None,
    column: int = 0,
    ipv6_prefix: int = 64,
) -> tuple[Policy, ...]:
    """What stands before `route`, in order: its networks, its rate by address or header,
    authenticate, authorise, its rate by claim.

    Rates are counted in `segment`, for the process that owns `column`; without one, nowhere.
    Raises ValueError for a verifier that is not there, for what is no network, rate or scope, and
    for a rate by the claim of a token that nobody asks for.
    """
    unknown = [name for name in route.auth if name not in verifiers]
    if unknown:
        raise ValueError(f"auth: {unknown[0]!r} is not a verifier; there is no [auth.{unknown[0]}]")
    for scope in route.scopes:
        if _SCOPE.fullmatch(scope) is None:
            raise ValueError(f"require.scope: {scope!r} is not a scope (RFC 6749 section 3.3)")
    before: list[Policy] = []
    after: list[Policy] = []
    if route.allow or route.deny:
        before.append(Access(route.allow, route.deny))
    if route.rate is not None:
        by_claim = route.rate_key.startswith("claim:")
        if by_claim and not route.auth:
            raise ValueError(f"rate_key: {route.rate_key!r} needs a token; add auth")
        limit = RateLimit(
            route.name,
            route.rate,
            route.rate_key,
            issuers=len(route.auth),
            segment=segment,
            column=column,
            ipv6_prefix=ipv6_prefix,
        )
        (after if by_claim else before).append(limit)
    if route.auth:
        chosen = [verifiers[name] for name in route.auth]
        before.append(Authenticate(chosen, route.auth_optional))
    if route.scopes:
        before.append(Authorise(route.scopes))
    return (*before, *after)


def identity_headers(auth: Sequence[Verifier]) -> frozenset[bytes]:
    """The names, in lower case, that only the gateway may write (SEC-14)."""
    return frozenset(
        header.lower().encode("ascii") for config in auth for _, header in config.forward_claims
    )


def _check_headers(config: Verifier) -> None:
    seen: set[str] = set()
    for claim, header in config.forward_claims:
        name = header.lower()
        if _NAME.fullmatch(header) is None:
            said = "is not a field name of letters, digits and hyphens"
        elif _RESERVED.fullmatch(name):
            said = "has a meaning of its own in HTTP"
        elif name in seen:
            said = "is there twice"
        else:
            seen.add(name)
            continue
        raise BadVerifier(config.name, f"forward_claims.{claim}", f"{header!r} {said}")
