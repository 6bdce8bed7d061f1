"""What may happen before the upstream: each policy lets a request pass or answers in its place.

interface    what a policy is, and the request it sees
assemble     from the plain config to the policies of a route
shed         a ban, then the limit per address: before anything is asked
quota        how a limit is told to who is over it
access       allow and deny by network
rate         a route's own limit, by address, header or claim
bearer       authenticate and authorise, on the wire
jwt          a verifier: compact (strict reading) → keys → claims → token_cache
signing      keys and tokens for trying out
"""

from __future__ import annotations

from gwd.policies.access import Access
from gwd.policies.assemble import build_authenticators, identity_headers, route_policies
from gwd.policies.interface import Policy, Request
from gwd.policies.jwt import JwtVerifier
from gwd.policies.keys import BadVerifier
from gwd.policies.rate import RateLimit
from gwd.policies.shed import Shed, Visitor

__all__ = [
    "Access",
    "BadVerifier",
    "JwtVerifier",
    "Policy",
    "RateLimit",
    "Request",
    "Shed",
    "Visitor",
    "build_authenticators",
    "identity_headers",
    "route_policies",
]
