"""A verifier of JSON Web Tokens: RFC 7519, with the narrow readings of RFC 8725.

Strategy: each step takes only what the step before it let through.

    bytes → Parsed (canonical, no key touched) → key by (kid, allowed alg) → signature
    → claims rules → Verified (fields for the upstream, scopes, subject) → cached

PyJWT and cryptography do the arithmetic: their `verify` for the one algorithm that key and token
agree on. PyJWT's own reading of the token is laxer in a dozen places (SECURITY section 3), so it
is not on this path; a test holds that it accepts whatever is accepted here.

Invariants: any exception on the way is a rejection, whatever raised it (SEC-30). A verified token
is believed for at most five minutes and never past its `exp`; a rejected one is remembered for at
most a second, apart from the verified, so that junk pushes out nothing but junk.
"""

from __future__ import annotations

import logging
from typing import Any

from jwt.algorithms import get_default_algorithms

from gwd.config.snapshot import Verifier
from gwd.policies.claims import ClaimRules, Forward, scopes
from gwd.policies.compact import MALFORMED, MAX_TOKEN, Parsed, Rejected
from gwd.policies.keys import BadVerifier, load_keys, plain_algorithm
from gwd.policies.token_cache import Verified, VerifiedTokens

VERIFIED_LIFE = 300.0
"""Seconds that a verified token may be believed without another look at its signature."""
REJECTED_LIFE = 1.0
MAX_LEEWAY = 300.0
_MAX_REJECTED = 256
"""Entries, of at most MAX_TOKEN bytes each. Full means empty."""
_CLOCK_SLACK = 1.0
"""Seconds. A clock set back farther than this makes the cache verify anew."""
_MAX_SUBJECT = 1024

UNKNOWN_SIGNER = "the token is not signed by a key that is known here"

_log = logging.getLogger("gwd.policies")
_algorithms: dict[str, Any] = get_default_algorithms()


class JwtVerifier:
    """One `[auth.NAME]` of type "jwt" in one process. Raises BadVerifier if it cannot work."""

    __slots__ = (
        "_algorithms",
        "_faults",
        "_forward",
        "_keys",
        "_rejected",
        "_rules",
        "_tokens",
        "issuer",
        "name",
        "recall",
        "recent",
        "skipped_keys",
    )

    def __init__(self, config: Verifier) -> None:
        if config.type != "jwt":
            raise BadVerifier(config.name, "type", f"{config.type!r}; allowed is 'jwt'")
        if not config.issuer:
            raise BadVerifier(config.name, "issuer", "is empty; tokens of any issuer would pass")
        if not config.audience or not all(config.audience):
            raise BadVerifier(config.name, "audience", "is empty; tokens for others would pass")
        if not 0 <= config.leeway <= MAX_LEEWAY:
            raise BadVerifier(config.name, "leeway", f"is {config.leeway:g} s; 0 to 300 s")
        self.name = config.name
        self.issuer = config.issuer
        self._keys, self._algorithms = load_keys(config)
        self.skipped_keys = self._keys.skipped
        self._rules = ClaimRules(config.issuer, config.audience, config.leeway, config.require_exp)
        self._forward = Forward(config.forward_claims)
        self._tokens = VerifiedTokens()
        self.recall = self._tokens.get
        """`recall(authorization)`: the Verified stored for that very field value, or None. It
        counts only while its `since <= now < until`."""
        self.recent = self._tokens.young
        """The part of it that the hot path looks into by itself."""
        self._rejected: dict[bytes, tuple[float, str]] = {}
        self._faults: set[type[BaseException]] = set()

    def verify(self, authorization: bytes, token: bytes, now: float) -> Verified:
        """Judge `token`, which came in the field value `authorization`, at `now` (seconds since
        1970). Raises Rejected, and nothing else.
        """
        known = self._rejected.get(token)
        if known is not None and known[0] <= now < known[0] + REJECTED_LIFE:
            raise Rejected(known[1])
        try:
            verified = self.judge(token, now)
        except Rejected as rejection:
            self._remember_rejected(token, rejection.description, now)
            raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as fault:  # a panic in cryptography's Rust is no Exception
            self._note(fault)
            self._remember_rejected(token, MALFORMED, now)
            raise Rejected(MALFORMED) from None
        # The scheme may be spelt in 64 ways and be followed by any number of blanks. Two ways are
        # enough; others pass, but one token in many dresses must not push out the rest.
        if authorization[:7] in (b"Bearer ", b"bearer ") and len(authorization) == 7 + len(token):
            self._tokens.put(authorization, verified)
        return verified

    def judge(self, token: bytes, now: float) -> Verified:
        """`verify` without any memory. Raises Rejected; other exceptions mean the same."""
        parsed = Parsed(token)
        algorithm = plain_algorithm(parsed.alg)
        if algorithm not in self._algorithms:
            raise Rejected(UNKNOWN_SIGNER)
        key = self._keys.find(parsed.kid, algorithm)
        if key is None or not _algorithms[algorithm].verify(
            parsed.signing_input, key, parsed.signature
        ):
            raise Rejected(UNKNOWN_SIGNER)
        claims = parsed.claims()
        since, until = self._rules.judge(claims, now)
        return Verified(
            max(since, now - _CLOCK_SLACK),
            min(until, now + VERIFIED_LIFE),
            claims,
            _subject(claims),
            scopes(claims),
            self._forward.lines(claims),
        )

    def _remember_rejected(self, token: bytes, description: str, now: float) -> None:
        if len(token) > MAX_TOKEN:
            return
        if len(self._rejected) >= _MAX_REJECTED:
            self._rejected.clear()
        self._rejected[token] = (now, description)

    def _note(self, fault: BaseException) -> None:
        """Say once per kind of exception that something raised which should not have. Its text
        may hold parts of the token and is not said."""
        if type(fault) not in self._faults:
            self._faults.add(type(fault))
            _log.warning(
                "auth.%s: a token made the verifier raise %s", self.name, type(fault).__name__
            )


def _subject(claims: dict[str, Any]) -> str:
    """`sub` for logs: a lone surrogate, which JSON can spell, could not be written anywhere."""
    subject = str(claims.get("sub", ""))[:_MAX_SUBJECT]
    return subject.encode("utf-8", "backslashreplace").decode("utf-8")
