"""An issuer of our own: a key, its JWKS file, the config's table, and tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER = "https://issuer.test"
AUDIENCE = "api"
LATER = 4102444800
"""The first second of the year 2100."""


class Issuer:
    def __init__(self, directory: Path) -> None:
        self._key = Ed25519PrivateKey.generate()
        public: Any = jwt.algorithms.OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self._jwks = directory / "jwks.json"
        self._jwks.write_text(
            json.dumps({"keys": [{**public, "kid": "k", "use": "sig", "alg": "EdDSA"}]})
        )

    @property
    def table(self) -> str:
        """`[auth.main]`, which forwards the subject as X-User-Id."""
        return f"""
[auth.main]
type = "jwt"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
algorithms = ["EdDSA"]
jwks_file = "{self._jwks}"
forward_claims = {{ sub = "X-User-Id" }}
"""

    def token(self, **claims: object) -> str:
        """A good token for ada, changed by `claims`; a claim of None is left out."""
        all_ = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "exp": LATER} | claims
        kept = {name: value for name, value in all_.items() if value is not None}
        return jwt.encode(kept, self._key, algorithm="EdDSA", headers={"kid": "k"})

    def bearer(self, **claims: object) -> str:
        """The field line that carries such a token."""
        return f"Authorization: Bearer {self.token(**claims)}"
