"""An issuer with a key of each kind, whose tokens can be made as wrong as a test needs."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from gwd.config.snapshot import Verifier
from gwd.http.addresses import canonical, limit_key
from gwd.http.head import RequestHead
from gwd.policies import JwtVerifier, Request, Visitor
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import WORKER, ProcessTable

NOW = 1_800_000_000.0
ISSUER = "https://issuer.example"


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Issuer:
    """Keys "rsa", "ec", "ed" under these kids, in one key set."""

    issuer = ISSUER
    now = NOW

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.keys: dict[str, Any] = {"rsa": self.rsa, "ec": self.ec, "ed": self.ed}
        self.kids = {"RS": "rsa", "PS": "rsa", "ES": "ec", "Ed": "ed"}

    def jwk(self, kid: str, /, **members: Any) -> dict[str, Any]:
        """The public JWK of one key; a member given as None is left out."""
        makers: dict[str, Any] = {"rsa": RSAAlgorithm, "ec": ECAlgorithm, "ed": OKPAlgorithm}
        jwk = makers[kid].to_jwk(self.keys[kid].public_key(), as_dict=True)
        jwk.pop("key_ops", None)
        jwk |= {"kid": kid} | members
        return {name: value for name, value in jwk.items() if value is not None}

    def key_set(self, *jwks: Mapping[str, Any]) -> bytes:
        return json.dumps({"keys": list(jwks)}).encode()

    def pem(self, kid: str) -> bytes:
        public: bytes = (
            self.keys[kid]
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return public

    def config(self, **changes: Any) -> Verifier:
        """A verifier for all three keys."""
        whole = Verifier(
            name="main",
            type="jwt",
            issuer=ISSUER,
            audience=("api",),
            algorithms=("RS256", "PS256", "ES256", "EdDSA"),
            jwks=self.key_set(self.jwk("rsa"), self.jwk("ec"), self.jwk("ed")),
            public_key=b"",
            secret=b"",
            leeway=30.0,
            require_exp=True,
            forward_claims=(("sub", "X-User-Id"),),
        )
        if "secret" in changes:
            changes = {"jwks": b"", "algorithms": ("HS256",)} | changes
        return dataclasses.replace(whole, **changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims; one given as None is left out."""
        claims = {
            "iss": ISSUER,
            "aud": "api",
            "sub": "ada",
            "iat": int(NOW) - 10,
            "exp": int(NOW) + 3600,
            "scope": "orders:read cart:read",
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def forge(
        self, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, key: Any = None
    ) -> bytes:
        """A token of just these parts, signed by what the header's alg says, or by `key`: a
        private key, a secret, or a function from the signing input to a signature."""
        head = header if isinstance(header, bytes) else json.dumps(header).encode()
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        signing_input = b64(head) + b"." + b64(body)
        if callable(key):
            return signing_input + b"." + b64(key(signing_input))
        alg = header["alg"] if isinstance(header, Mapping) else "EdDSA"
        if key is None:
            key = self.keys[self.kids[alg[:2]]]
        signature = get_default_algorithms()[alg].sign(signing_input, key)
        return signing_input + b"." + b64(signature)

    def token(
        self, alg: str = "EdDSA", header: Mapping[str, Any] | None = None, **claims: Any
    ) -> bytes:
        """A good token but for what is given; a header parameter of None is left out."""
        parameters = {"alg": alg, "typ": "JWT", "kid": self.kids[alg[:2]]} | (header or {})
        parameters = {name: value for name, value in parameters.items() if value is not None}
        return self.forge(parameters, self.claims(**claims))


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def verifier(issuer: Issuer) -> JwtVerifier:
    return JwtVerifier(issuer.config())


def visitor(ip: str = "192.0.2.1", *, exempt: bool = False, trusted: bool = False) -> Visitor:
    """Who comes from `ip`, as a worker's tables judge it."""
    try:
        ip, key = canonical(ip), limit_key(ip, 64)
    except ValueError:
        key = b""
    return Visitor(ip, key, exempt=exempt, trusted=trusted, refusal=None)


@pytest.fixture
def visitor_from() -> Callable[..., Visitor]:
    return visitor


@pytest.fixture
def request_with() -> Callable[..., Request]:
    """Makes a request with that Authorization field value and these other field lines, from that
    address."""

    def make(
        authorization: bytes | None = None,
        client_ip: str = "192.0.2.1",
        *,
        lines: bytes = b"",
        exempt: bool = False,
    ) -> Request:
        head = RequestHead()
        head.authorization = authorization
        head.lines = lines
        return Request(head, visitor(client_ip, exempt=exempt), "orders")

    return make


@pytest.fixture
def segment() -> Iterator[Segment]:
    """A small segment with three columns given out."""
    made = Segment.create(Sizes(max_workers=4, max_ips=512, max_endpoints=4, max_routes=4))
    table = ProcessTable(made)
    for slot in range(3):
        table.claim(WORKER, slot, os.getpid())
    yield made
    made.close()
