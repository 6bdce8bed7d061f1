"""The strict reading of a token: JWS compact serialization (RFC 7515 section 7.1) and its JSON.

Strategy: PyJWT and the json module forgive much (SECURITY section 3): trailing "=", UTF-16, names
given twice, Infinity, a payload that is not there. Whoever else reads the token may see another
one then. So what is not the one canonical spelling of one JSON object is refused here, before any
key is touched, in time linear in at most `MAX_TOKEN` bytes. Nothing in this module trusts
anything in the token; a `Parsed` is what it *says*, not what is so.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any, NoReturn

MAX_TOKEN = 8192
"""Bytes; a longer token is refused undecoded (SEC-34)."""
MALFORMED = "the token is malformed"

_COMPACT = re.compile(rb"([A-Za-z0-9_-]++)\.([A-Za-z0-9_-]++)\.([A-Za-z0-9_-]++)")
_KID = re.compile(r"[ -~]{1,256}")
_FORBIDDEN = ("crit", "b64", "zip", "cty")
"""Header parameters that change how the rest is to be read. None is supported, and RFC 7515
section 4.1.11 wants what is critical and unknown refused; so is an unsupported `b64` of any value
(RFC 7797), compression (RFC 7516) and a nested token (RFC 7519 section 5.2)."""


class Rejected(Exception):
    """A token is not accepted. `description` is fit for the client: printable ASCII without
    quotes and backslashes (RFC 6750 section 3), and the same for every cause that an attacker
    could learn from."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


def decode_base64url(text: bytes) -> bytes:
    """Base64url without padding (RFC 7515 section 2), in its one spelling.

    Raises ValueError for padding, foreign characters, and set bits past the end.
    """
    decoded = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if encode_base64url(decoded) != text:
        raise ValueError("not canonical base64url")
    return decoded


def encode_base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def strict_json(data: bytes) -> Any:
    """One JSON text: UTF-8 without a mark, no name twice in an object, finite numbers only.

    Raises ValueError, and RecursionError for nesting without end.
    """
    return json.loads(
        data.decode("utf-8"),
        object_pairs_hook=_unique,
        parse_float=_finite,
        parse_constant=_no_constant,
    )


def is_kid(value: object) -> bool:
    """Whether `value` may name a key: 1 to 256 printable ASCII characters, and never anything but
    a name to look up (RFC 8725 section 3.10)."""
    return isinstance(value, str) and _KID.fullmatch(value) is not None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


class Parsed:
    """A token taken apart. `alg` is as written, `kid` printable ASCII or None."""

    __slots__ = ("alg", "header", "kid", "payload", "signature", "signing_input")

    def __init__(self, token: bytes) -> None:
        """Raises Rejected for anything but one signed, compact, canonical token."""
        if len(token) > MAX_TOKEN:
            raise Rejected("the token is too long")
        match = _COMPACT.fullmatch(token)
        if match is None:
            raise Rejected(MALFORMED)
        try:
            self.header = _object(decode_base64url(match[1]))
            self.payload = decode_base64url(match[2])
            self.signature = decode_base64url(match[3])
        except (ValueError, RecursionError, binascii.Error):
            raise Rejected(MALFORMED) from None
        self.signing_input = token[: match.end(2)]
        if any(name in self.header for name in _FORBIDDEN):
            raise Rejected("the token has a header parameter that is not supported here")
        alg = self.header.get("alg")
        kid = self.header.get("kid")
        if not isinstance(alg, str):
            raise Rejected(MALFORMED)
        if "kid" in self.header and not is_kid(kid):
            raise Rejected(MALFORMED)
        self.alg = alg
        self.kid: str | None = kid

    def claims(self) -> dict[str, Any]:
        """What the token says. Raises Rejected if it is no JSON object."""
        try:
            return _object(self.payload)
        except (ValueError, RecursionError):
            raise Rejected(MALFORMED) from None


def _object(data: bytes) -> dict[str, Any]:
    value = strict_json(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
