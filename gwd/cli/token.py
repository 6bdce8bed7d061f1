"""`gwd token`: make and inspect tokens for trying out. The gateway itself never signs anything.

Data goes to stdout, what explains it to stderr, so that `TOKEN=$(gwd token make …)` works.
Whatever a token holds is printed as JSON in ASCII: it cannot move the cursor of a terminal.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gwd.cli import exits

if TYPE_CHECKING:
    from gwd.config.snapshot import Verifier

_INSTANTS = {"iat": "issued", "nbf": "not before", "exp": "expires"}


EPILOG = """\b
Examples:
  gwd token keys
  gwd token make --key gwd-key.pem --claim iss=https://issuer.example --claim aud=api
"""

KEYS_EPILOG = """\b
Examples:
  gwd token keys
  gwd token keys --key /tmp/key.pem --jwks conf/jwks.json
"""

MAKE_EPILOG = """\b
Examples:
  gwd token make --key gwd-key.pem --claim sub=ada --claim scope=orders:read --exp 10m
  gwd token make --key secret.bin --alg HS256 --claim 'roles:=["admin"]'
"""

INSPECT_EPILOG = """\b
Examples:
  gwd token inspect "$TOKEN"
  gwd token inspect - --config conf/gwd.toml < token.txt
"""


@click.group("token", epilog=EPILOG)
def command() -> None:
    """Make and inspect tokens for trying out."""


@command.command("keys", epilog=KEYS_EPILOG, short_help="Make a key and its key set.")
@click.option("--key", "key_path", default="gwd-key.pem", show_default=True, help="Private key.")
@click.option("--jwks", "jwks_path", default="jwks.json", show_default=True, help="Key set.")
def keys(key_path: str, jwks_path: str) -> None:
    """Make a fresh Ed25519 key: the private half for `gwd token make`, the public one as a key
    set for jwks_file. Never overwrites a file.
    """
    from gwd.policies.signing import make_key_set

    private_pem, jwks = make_key_set()
    _create(key_path, private_pem, 0o600)
    try:
        _create(jwks_path, jwks, 0o644)
    except BaseException:
        os.unlink(key_path)
        raise
    click.echo(key_path)
    click.echo(jwks_path)
    click.echo(
        f'\nIn the config:  algorithms = ["EdDSA"]\n                jwks_file = "{jwks_path}"',
        err=True,
    )
    click.echo(f"A token:        gwd token make --key {key_path} --claim sub=ada", err=True)


@command.command("make", epilog=MAKE_EPILOG, short_help="Make a token.")
@click.option("--key", "key_path", required=True, help="Private key in PEM; for HS* the secret.")
@click.option("--alg", "algorithm", help="Signature algorithm; follows from the key unless HS*.")
@click.option("--kid", help="Name of the key; its thumbprint (RFC 7638) unless HS*.")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="NAME=TEXT",
    help="A claim; NAME:=JSON for what is not text. Repeatable.",
)
@click.option("--exp", "life", default="1h", show_default=True, help='Life, or "none".')
def make(
    key_path: str, algorithm: str | None, kid: str | None, claims: tuple[str, ...], life: str
) -> None:
    """Make a token, signed by a key of yours."""
    from gwd.config.units import NotAllowed, duration
    from gwd.policies.signing import BadKey, sign

    now = int(time.time())
    contents: dict[str, Any] = {"iat": now}
    if life != "none":
        try:
            contents["exp"] = now + int(duration(life))
        except NotAllowed as error:
            raise click.BadParameter(f"{life!r} {error}", param_hint="--exp") from None
    for claim in claims:
        name, value = _claim(claim)
        contents[name] = value
    try:
        with open(key_path, "rb") as file:
            key = file.read()
    except OSError as error:
        _fail(f"{key_path}: {error.strerror}")
    try:
        click.echo(sign(key, contents, algorithm, kid))
    except BadKey as error:
        _fail(f"{key_path}: {error}")


@command.command("inspect", epilog=INSPECT_EPILOG, short_help="Show or verify a token.")
@click.argument("token")
@click.option("--config", "config_path", help="Verify by the verifiers of this config file.")
@click.option("--auth", "verifier_name", help="Verify by this verifier, [auth.NAME], only.")
def inspect(token: str, config_path: str | None, verifier_name: str | None) -> int:
    """Show what is in TOKEN ("-": read it from stdin), and with --config or --auth whether the
    gateway would take it; exit 1 if not. Without them nothing is verified.
    """
    text = (sys.stdin.read() if token == "-" else token).strip()
    if text[:7].lower() == "bearer ":
        text = text[7:].lstrip()
    header, claims = _decode(text)
    shown: dict[str, Any] = {"header": header, "claims": claims}
    refused: str | None = None
    if config_path is None and verifier_name is None:
        told = "nothing is verified; --config or --auth does that"
    else:
        told, refused = _verdict(text, claims, config_path, verifier_name)
        shown["verified"] = refused is None
    click.echo(json.dumps(shown, indent=2))
    now = time.time()
    for name, said in _INSTANTS.items():
        if (line := _when(claims.get(name), now)) is not None:
            click.echo(f"{said:<10}  {line}", err=True)
    click.echo(told, err=True)
    return exits.GOOD if refused is None else exits.FAILED


def _verdict(
    text: str, claims: dict[str, Any], config_path: str | None, verifier_name: str | None
) -> tuple[str, str | None]:
    """What to say of the token, and why it is refused, None if it is taken."""
    from gwd.policies.compact import Rejected
    from gwd.policies.jwt import JwtVerifier
    from gwd.policies.keys import BadVerifier

    refused = f"no verifier has the issuer {claims.get('iss')!a}"
    for config in _verifiers(config_path, verifier_name):
        if verifier_name is None and config.issuer != claims.get("iss"):
            continue
        try:
            verified = JwtVerifier(config).judge(text.encode("utf-8", "replace"), time.time())
        except BadVerifier as error:
            _fail(str(error))
        except Rejected as error:
            refused = f"auth.{config.name}: {error.description}"
        else:
            fields = "".join(f"\n  {line}" for line in verified.lines.decode().splitlines())
            sent = f"; upstreams get{fields}" if fields else ""
            return f"verified by auth.{config.name}{sent}", None
    return f"refused: {refused}", refused


def _verifiers(config_path: str | None, verifier_name: str | None) -> Iterator[Verifier]:
    from gwd.config.find import find_config
    from gwd.config.load import load

    snapshot = load(find_config(config_path), os.environ).snapshot
    if verifier_name is None:
        yield from snapshot.auth
        return
    named = [config for config in snapshot.auth if config.name == verifier_name]
    if not named:
        names = ", ".join(config.name for config in snapshot.auth) or "none"
        _fail(f"{snapshot.source}: there is no [auth.{verifier_name}]; there is {names}")
    yield from named


def _decode(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, read with leniency: this is for looking at what is wrong."""
    parts = text.split(".")
    if len(parts) != 3:
        kind = "an encrypted token (JWE)" if len(parts) == 5 else "no JWT"
        _fail(f"this is {kind}: it has {len(parts)} parts, a signed JWT has 3")
    decoded = []
    for name, part in zip(("header", "payload"), parts[:2], strict=True):
        try:
            data = base64.urlsafe_b64decode(part.rstrip("=") + "=" * (-len(part.rstrip("=")) % 4))
            value = json.loads(data)
        except (binascii.Error, ValueError, RecursionError):
            _fail(f"this is no JWT: its {name} is not JSON in base64url")
        if not isinstance(value, dict):
            _fail(f"this is no JWT: its {name} is not a JSON object")
        decoded.append(value)
    return decoded[0], decoded[1]


def _when(instant: Any, now: float) -> str | None:
    if type(instant) not in (int, float):
        return None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        at = datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        distance = instant - now
        return f"{at}, {'in ' if distance >= 0 else ''}{_span(distance)}"
    return None


def _span(seconds: float) -> str:
    left = round(abs(seconds))
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if round(left / unit, 1) >= 1:  # 59.9 minutes are an hour, not "60 m"
            text = f"{left / unit:.1f}".removesuffix(".0") + f" {name}"
            break
    else:
        text = f"{left} s"
    return text if seconds >= 0 else f"{text} ago"


def _claim(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.rstrip(":"):
        raise click.BadParameter(f"{text!r} is not NAME=TEXT or NAME:=JSON", param_hint="--claim")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not JSON", param_hint="--claim") from None


def _create(path: str, data: bytes, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        _fail(f"{path}: {error.strerror}")
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def _fail(message: str) -> NoReturn:
    raise click.ClickException(message)
