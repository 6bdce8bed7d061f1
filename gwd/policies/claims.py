"""What the claims of a verified token must say, and what of them goes upstream.

Strategy: pure functions over the payload of a token whose signature is good; time comes in as an
argument. RFC 7519 calls every claim optional and leaves types to the reader; here issuer and
audience are mandatory and exact (RFC 8725 sections 3.8, 3.9), instants are JSON numbers and
nothing that merely converts to one, and a claim that becomes a field value is printable ASCII, or
the token is refused: a request that a gateway authenticated must not reach an upstream without
the identity it was promised, nor with a spelling that the upstream reads as another one (SEC-24).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gwd.policies.compact import Rejected

MAX_FORWARDED = 1024
"""Bytes of one claim's field value."""
_MAX_INSTANT = 2**53
"""Seconds; past it JSON numbers lose their units digit."""
_FIELD_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_ITEM = re.compile(r"[!-+\--~](?:[ -+\--~]*[!-+\--~])?")
"""A field value without a comma, which parts the items of a list."""

_ABSENT: Any = object()


class ClaimRules:
    """The rules of one verifier for the registered claims (RFC 7519 section 4.1)."""

    __slots__ = ("audience", "issuer", "leeway", "require_exp")

    def __init__(
        self, issuer: str, audience: Iterable[str], leeway: float, require_exp: bool
    ) -> None:
        self.issuer = issuer
        self.audience = frozenset(audience)
        self.leeway = leeway
        self.require_exp = require_exp

    def judge(self, claims: Mapping[str, Any], now: float) -> tuple[float, float]:
        """From when and until when the claims hold, in seconds since 1970, leeway included:
        `since <= now < until`, else they would not hold now. Raises Rejected if they do not.
        """
        if claims.get("iss") != self.issuer:
            raise Rejected("the token is from another issuer")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if not all(isinstance(name, str) for name in named):
            raise Rejected("the token has no valid audience")
        if self.audience.isdisjoint(named):
            raise Rejected("the token is for another audience")
        if not all(isinstance(claims.get(name, ""), str) for name in ("sub", "jti")):
            raise Rejected("the token has a claim of the wrong type")
        expires = _instant(claims, "exp")
        starts = _instant(claims, "nbf")
        issued = _instant(claims, "iat")
        if expires is None:
            if self.require_exp:
                raise Rejected("the token does not say when it expires")
            until = float("inf")
        else:
            until = expires + self.leeway
        since = max(starts or 0, issued or 0) - self.leeway
        if now >= until:
            raise Rejected("the token has expired")
        if now < since:
            raise Rejected("the token is not valid yet")
        return since, until


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate. `type` and not isinstance: true and false are ints to Python."""
    value = claims.get(name, _ABSENT)
    if value is _ABSENT:
        return None
    if type(value) not in (int, float) or not 0 <= value < _MAX_INSTANT:
        raise Rejected("the token has a claim of the wrong type")
    return value  # type: ignore[no-any-return]


def find_claim(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name or, if there is none, what the dotted path leads to
    ("realm_access.roles"); None if neither exists. Names are looked at first because they may
    hold dots themselves ("https://example.com/roles")."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value


def scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes granted: `scope` (RFC 8693 section 4.2), else `scp`; words parted by blanks, or
    a list of words. Anything else grants nothing."""
    granted = claims.get("scope", claims.get("scp"))
    if isinstance(granted, str):
        return frozenset(word for word in granted.split(" ") if word)
    if isinstance(granted, list):
        return frozenset(word for word in granted if isinstance(word, str))
    return frozenset()


class Forward:
    """The claims that become fields of the upstream request."""

    __slots__ = ("_fields",)

    def __init__(self, forward_claims: Iterable[tuple[str, str]]) -> None:
        self._fields = tuple((claim, header) for claim, header in forward_claims)

    def lines(self, claims: Mapping[str, Any]) -> bytes:
        """One "Name: value\\r\\n" for each claim that is there, in the order of the config.

        Raises Rejected for a claim that no field can hold.
        """
        return b"".join(
            f"{header}: {_field_value(value)}\r\n".encode("ascii")
            for claim, header in self._fields
            if (value := find_claim(claims, claim)) is not None
        )


def _field_value(value: Any) -> str:
    """Text as it is, numbers and booleans as in JSON, a list of texts parted by ", "."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int | float):
        text = str(value)
    elif isinstance(value, list) and all(
        isinstance(item, str) and _ITEM.fullmatch(item) for item in value
    ):
        text = ", ".join(value)
    else:
        raise _unfit()
    if len(text) > MAX_FORWARDED or _FIELD_VALUE.fullmatch(text) is None:
        raise _unfit()
    return text


def _unfit() -> Rejected:
    return Rejected("the token has a claim that cannot be passed on")
