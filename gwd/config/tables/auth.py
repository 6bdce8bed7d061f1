"""`[auth.NAME]`: who a request comes from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gwd.config.tables.base import (
    DurationOrZero,
    FileName,
    IdentityName,
    OneOrMany,
    Table,
    Truth,
    key,
)

Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "HS256",
    "HS384",
    "HS512",
]

KEY_SOURCES = ("jwks_file", "public_key_file", "secret_env", "secret_file")
SECRET_SOURCES = ("secret_env", "secret_file")

Text = Annotated[str, Field(min_length=1, max_length=1024)]


class VerifierTable(Table):
    """A verifier of JSON Web Tokens. Exactly one of the keys for its key must be there."""

    type: Literal["jwt"] = key(description='"jwt": a JSON Web Token as bearer token.')
    issuer: Text = key(description="What the claim iss must be, exactly.")
    audience: Annotated[list[Text], OneOrMany, Field(min_length=1)] = key(
        description="One or a list; the claim aud must hold one of them."
    )
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = key(
        description="Signature algorithms to accept; HS* never together with others."
    )
    jwks_file: FileName | None = key(
        default=None, description="File with a key set (RFC 7517): public keys only."
    )
    public_key_file: FileName | None = key(
        default=None, description="File with one public key, in PEM."
    )
    secret_env: Annotated[str, Field(min_length=1)] | None = key(
        default=None, description="Environment variable that holds the secret, for HS*."
    )
    secret_file: FileName | None = key(
        default=None, description="File that holds the secret, for HS*; not readable by others."
    )
    leeway: DurationOrZero = key(
        default="30s", description="Tolerance for exp, nbf and iat, at most 300 s."
    )
    require_exp: Truth = key(default=True, description="Refuse tokens that never expire.")
    forward_claims: dict[Text, IdentityName] = key(
        default={},
        description="Claims sent to upstreams and the headers that carry them, such as "
        '`{ sub = "X-User-Id" }`. Whatever a client sends under these names, in any spelling, is '
        "removed on every route.",
    )
