"""The keys of a verifier, judged when they are loaded and chosen by (kid, algorithm).

Strategy: the allow-list of the config comes first, never what a token says. At load every key is
bound to the algorithms it may be used with: its type must fit (RFC 7518 section 3.1), its size
must be sound, and a JWK that names an algorithm takes only that one. At run time a key is found by
one dictionary look-up on what the token's header says; a token can thus pick among bound pairs
and invent none, which is all there is to algorithm confusion (SEC-29, SEC-31).

A verifier is either symmetric (one secret, HS*) or asymmetric, never both. Private and symmetric
keys in a key set are errors: they are where they must not be. Keys for other purposes and of kinds
that gwd does not know are skipped, as RFC 7517 section 5 asks, but said in `KeySet.skipped`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

from gwd.config.snapshot import Verifier
from gwd.policies.compact import decode_base64url, is_kid, strict_json

MAX_KEY_SET = 256 * 1024
MAX_KEYS = 64
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
_MAX_EXPONENT = 2**33
_MAX_MEMBER = 2048
"""Characters of one number of a key; RSA of 8192 bits takes 1366."""

_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least length of a secret: that of the hash (RFC 7518 section 3.2)."""
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_KINDS: Mapping[str, tuple[str, ...]] = {
    "RSA": _RSA,
    "EC P-256": ("ES256",),
    "EC P-384": ("ES384",),
    "EC P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}
"""What each kind of public key can verify."""
_CURVES: Mapping[str, tuple[type[ec.EllipticCurve], int]] = {
    "P-256": (ec.SECP256R1, 32),
    "P-384": (ec.SECP384R1, 48),
    "P-521": (ec.SECP521R1, 66),
}
_CURVE_NAMES = {"secp256r1": "EC P-256", "secp384r1": "EC P-384", "secp521r1": "EC P-521"}
ALGORITHMS = (*_SECRET_BYTES, *(name for names in _KINDS.values() for name in names))

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
Key = PublicKey | bytes


class BadVerifier(ValueError):
    """A verifier of the config cannot work. `name` is the verifier's, `key` that of the config
    ("jwks_file"), `message` what was found and what is allowed; no secret is in any of them."""

    def __init__(self, name: str, key: str, message: str) -> None:
        super().__init__(f"auth.{name}.{key}: {message}")
        self.name = name
        self.key = key
        self.message = message


class _Bad(Exception):
    """What is wrong with a key, before it is known whose it is."""


class _Skip(Exception):
    """Why a key of a set is not for us."""


@dataclass(frozen=True, slots=True)
class BoundKey:
    """A key and the allowed algorithms that may use it."""

    kid: str | None
    algorithms: tuple[str, ...]
    key: Key


class KeySet:
    """The usable keys of a verifier. `skipped` says which were left out, and why."""

    __slots__ = ("_by_kid", "_only", "_unnamed", "skipped")

    def __init__(self, keys: Iterable[BoundKey], skipped: tuple[str, ...] = ()) -> None:
        self._by_kid: dict[tuple[str, str], Key] = {}
        self._unnamed: dict[str, Key] = {}
        candidates: dict[str, list[Key]] = {}
        for bound in keys:
            for algorithm in bound.algorithms:
                candidates.setdefault(algorithm, []).append(bound.key)
                if bound.kid is None:
                    self._unnamed[algorithm] = bound.key
                else:
                    self._by_kid[bound.kid, algorithm] = bound.key
        self._only = {name: keys[0] for name, keys in candidates.items() if len(keys) == 1}
        self.skipped = skipped

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key that a token with this header must be signed with.

        A token that names none gets the only key there is for the algorithm, never a guess among
        several; one that names an unknown kid gets the key that has no name, if there is one.
        """
        if kid is None:
            return self._only.get(algorithm)
        return self._by_kid.get((kid, algorithm)) or self._unnamed.get(algorithm)


def plain_algorithm(name: str) -> str:
    """RFC 9864 gives EdDSA over Ed25519 a name of its own; it is the same thing here."""
    return "EdDSA" if name == "Ed25519" else name


def load_keys(verifier: Verifier) -> tuple[KeySet, frozenset[str]]:
    """The keys of `verifier` and the algorithms it allows. Raises BadVerifier."""

    def bad(key: str, message: str) -> BadVerifier:
        return BadVerifier(verifier.name, key, message)

    allowed = frozenset(map(plain_algorithm, verifier.algorithms))
    if not allowed or not allowed <= set(ALGORITHMS):
        unknown = ", ".join(sorted(allowed - set(ALGORITHMS))) or "nothing"
        raise bad("algorithms", f"{unknown[:80]!r}; allowed are {', '.join(ALGORITHMS)}")
    symmetric = allowed & set(_SECRET_BYTES)
    if symmetric and symmetric != allowed:
        raise bad(
            "algorithms",
            "HS* beside public-key algorithms; whoever knows the public key could sign with it: "
            "write two verifiers",
        )
    sources = [
        name
        for name, value in (
            ("secret", verifier.secret),
            ("jwks_file", verifier.jwks),
            ("public_key_file", verifier.public_key),
        )
        if value
    ]
    if symmetric:
        if sources != ["secret"]:
            raise bad("algorithms", "HS* needs secret_env or secret_file, and no other key")
        try:
            return KeySet([_secret(verifier.secret, allowed)]), allowed
        except _Bad as error:
            raise bad("secret", str(error)) from None
    if sources not in (["jwks_file"], ["public_key_file"]):
        raise bad(
            "algorithms",
            f"{', '.join(sorted(allowed))} need jwks_file or public_key_file, one of them; "
            f"found {' and '.join(sources) or 'neither'}",
        )
    try:
        if verifier.jwks:
            return _key_set(verifier.jwks, allowed), allowed
        return KeySet([_pem(verifier.public_key, allowed)]), allowed
    except _Bad as error:
        raise bad(sources[0], str(error)) from None


def _secret(secret: bytes, allowed: frozenset[str]) -> BoundKey:
    least = max(_SECRET_BYTES[name] for name in allowed)
    if len(secret) < least:
        raise _Bad(
            f"{len(secret)} bytes; {', '.join(sorted(allowed))} needs at least {least} "
            "(RFC 7518 section 3.2)"
        )
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        raise _Bad("is a public or private key or a JWK, not the bytes of a secret") from None
    return BoundKey(None, tuple(sorted(allowed)), secret)


def _pem(data: bytes, allowed: frozenset[str]) -> BoundKey:
    if b"PRIVATE KEY-----" in data:
        raise _Bad(
            "holds a private key, which the gateway must not have; "
            "make the public one with: openssl pkey -pubout"
        )
    if b"BEGIN CERTIFICATE-----" in data:
        raise _Bad("holds a certificate; make its public key with: openssl x509 -noout -pubkey")
    if data.count(b"-----BEGIN ") != 1:
        raise _Bad('is not one public key in PEM ("-----BEGIN PUBLIC KEY-----")')
    try:
        key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _Bad("cannot be read as a public key in PEM") from None
    kind = _kind(key)
    if kind is None:
        raise _Bad(f"is of a kind that cannot be used; usable are {', '.join(_KINDS)}")
    usable = tuple(name for name in _KINDS[kind] if name in allowed)
    if not usable:
        raise _Bad(f"is an {kind} key, which none of {', '.join(sorted(allowed))} can use")
    assert isinstance(key, PublicKey)
    return BoundKey(None, usable, _sound(key))


def _kind(key: object) -> str | None:
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVE_NAMES.get(key.curve.name)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    return None


def _sound(key: PublicKey) -> PublicKey:
    """`key`, if it is as strong and well-formed as its kind must be. Raises _Bad."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        if not MIN_RSA_BITS <= numbers.n.bit_length() <= MAX_RSA_BITS:
            raise _Bad(
                f"is RSA of {numbers.n.bit_length()} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} "
                "are allowed"
            )
        if numbers.n % 2 == 0:
            raise _Bad("is RSA with an even modulus")
        if not (3 <= numbers.e < _MAX_EXPONENT and numbers.e % 2):
            raise _Bad("is RSA with a public exponent that is even or out of range")
    return key


def _key_set(data: bytes, allowed: frozenset[str]) -> KeySet:
    if len(data) > MAX_KEY_SET:
        raise _Bad(f"is {len(data)} bytes; at most {MAX_KEY_SET} are allowed")
    try:
        document = strict_json(data)
    except (ValueError, RecursionError) as error:
        # UnicodeDecodeError shows bytes of the file in its text; JSON's errors only places.
        said = "not UTF-8" if isinstance(error, UnicodeError) else str(error) or "too deep"
        raise _Bad(f"is not a JSON key set (RFC 7517): {said}") from None
    if isinstance(document, dict) and "kty" in document and "keys" not in document:
        raise _Bad('is a single key; a key set is {"keys": [ … ]}')
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list) or not all(isinstance(m, dict) for m in members):
        raise _Bad('is not a JSON key set (RFC 7517): {"keys": [ … ]}')
    if len(members) > MAX_KEYS:
        raise _Bad(f"holds {len(members)} keys; at most {MAX_KEYS} are allowed")
    skipped: list[str] = []
    keys = list(_usable(members, allowed, skipped))
    if not keys:
        raise _Bad(
            f"holds no key that {', '.join(sorted(allowed))} can use"
            + (f" ({'; '.join(skipped[:4])})" if skipped else "")
        )
    _no_twins(keys)
    return KeySet(keys, tuple(skipped))


def _usable(
    members: list[dict[str, Any]], allowed: frozenset[str], skipped: list[str]
) -> Iterator[BoundKey]:
    for place, jwk in enumerate(members, 1):
        kid = jwk.get("kid")
        if "kid" in jwk and not is_kid(kid):
            raise _Bad(f"key {place} has a kid that is not 1 to 256 printable ASCII characters")
        called = f"key {place}" if kid is None else f"key {place} (kid {kid[:60]!r})"
        try:
            yield _bind(jwk, kid, allowed)
        except _Bad as error:
            raise _Bad(f"{called} {error}") from None
        except _Skip as error:
            skipped.append(f"{called} {error}")


def _bind(jwk: dict[str, Any], kid: str | None, allowed: frozenset[str]) -> BoundKey:
    """One JWK with the algorithms it may be used with. Raises _Bad or _Skip."""
    kty = jwk.get("kty")
    if not isinstance(kty, str):
        raise _Bad("has no kty")
    if kty == "oct":
        raise _Bad("is a symmetric key; a key set holds public keys, secrets go into secret_file")
    if any(name in jwk for name in _PRIVATE):
        raise _Bad("holds private parts, which the gateway must not have")
    if jwk.get("use", "sig") != "sig":
        raise _Skip("is not for signatures")
    operations = jwk.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        raise _Skip("is not for verifying")
    key = _public_key(kty, jwk)
    kind = _kind(key)
    assert kind is not None
    fitting = _KINDS[kind]
    if "alg" in jwk:
        named = jwk["alg"]
        if not isinstance(named, str):
            raise _Bad("has an alg that is not text")
        named = plain_algorithm(named)
        if named not in fitting:
            if named in ALGORITHMS:
                raise _Bad(f"is an {kind} key but its alg is {named}")
            raise _Skip(f"is for {named[:30]!r}")
        fitting = (named,)
    usable = tuple(name for name in fitting if name in allowed)
    if not usable:
        raise _Skip(f"is {kind} for {', '.join(fitting)}, which is not among the algorithms")
    return BoundKey(kid, usable, key)


def _public_key(kty: str, jwk: dict[str, Any]) -> PublicKey:
    curve = jwk.get("crv")
    try:
        if kty == "RSA":
            numbers = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
            if not MIN_RSA_BITS <= numbers.n.bit_length() <= MAX_RSA_BITS or numbers.n % 2 == 0:
                # Judged before OpenSSL sees it: it takes its time over absurd ones.
                raise _Bad(
                    f"is RSA of {numbers.n.bit_length()} bits"
                    f"{' with an even modulus' if numbers.n % 2 == 0 else ''}; "
                    f"{MIN_RSA_BITS} to {MAX_RSA_BITS}, odd, are allowed"
                )
            return _sound(numbers.public_key())
        if kty == "EC" and isinstance(curve, str) and curve in _CURVES:
            make, size = _CURVES[curve]
            x, y = (int.from_bytes(_octets(jwk, name, size), "big") for name in "xy")
            return ec.EllipticCurvePublicNumbers(x, y, make()).public_key()
        if kty == "OKP" and curve == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(_octets(jwk, "x", 32))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _Bad(f"is not a valid {kty} key") from None
    raise _Skip(f"is of a kind that is not known here ({kty[:20]!r}, {str(curve)[:20]!r})")


def _octets(jwk: dict[str, Any], name: str, size: int | None = None) -> bytes:
    """A member in base64url, of `size` bytes if that is given. Raises ValueError, _Bad."""
    text = jwk.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= _MAX_MEMBER:
        raise _Bad(f"has no valid {name}")
    octets = decode_base64url(text.encode("ascii"))
    if size is not None and len(octets) != size:
        raise _Bad(f"has a {name} of {len(octets)} bytes instead of {size}")
    return octets


def _number(jwk: dict[str, Any], name: str) -> int:
    """A Base64urlUInt (RFC 7518 section 2)."""
    return int.from_bytes(_octets(jwk, name), "big")


def _no_twins(keys: list[BoundKey]) -> None:
    """Two keys that a token could not tell apart. Raises _Bad."""
    kids: set[str] = set()
    nameless: set[str] = set()
    for bound in keys:
        if bound.kid is None:
            if twice := nameless.intersection(bound.algorithms):
                raise _Bad(f"holds two keys for {min(twice)} without a kid")
            nameless.update(bound.algorithms)
        elif bound.kid in kids:
            raise _Bad(f"holds two keys with the kid {bound.kid[:60]!r}")
        else:
            kids.add(bound.kid)
