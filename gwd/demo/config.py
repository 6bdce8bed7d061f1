"""The files of one demo: its config, made from the shipped demo.toml, its key set, its token."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from importlib import resources

from gwd.demo.guide import TOKEN_LIFE
from gwd.policies.signing import make_key_set, sign

ISSUER = "https://issuer.example"
AUDIENCE = "demo"
GATEWAY = "127.0.0.1:8080"
SERVICES = tuple(f"127.0.0.1:{port}" for port in range(9101, 9107))
"""The addresses in demo.toml, which stand for those that were free."""
CONFIG, KEYS = "demo.toml", "jwks.json"


def shipped() -> str:
    """The text of the demo.toml that is part of the package."""
    return resources.files("gwd.demo").joinpath(CONFIG).read_text(encoding="utf-8")


def write_files(directory: str, port: int, service_ports: Sequence[int]) -> tuple[str, str]:
    """Write config and key set for a gateway on `port` into `directory`.

    Returns the path of the config and a token that it accepts. The private key is kept nowhere.
    """
    private_key, key_set = make_key_set()
    keys = os.path.join(directory, KEYS)
    _write(keys, key_set)
    path = os.path.join(directory, CONFIG)
    _write(path, with_addresses(shipped(), port, service_ports, keys).encode())
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "scope": "orders:read",
        "iat": now,
        "exp": now + TOKEN_LIFE,
    }
    return path, sign(private_key, claims)


def with_addresses(text: str, port: int, service_ports: Sequence[int], keys: str) -> str:
    """`text`, the shipped config, with the real addresses and key set in place of its own."""
    new = {f'"{GATEWAY}"': f'"127.0.0.1:{port}"', f'"{KEYS}"': json.dumps(keys)}
    for address, service_port in zip(SERVICES, service_ports, strict=True):
        new[f'"{address}"'] = f'"127.0.0.1:{service_port}"'
    # In one pass: a new address may be the same as an old one of another place.
    return re.sub("|".join(map(re.escape, new)), lambda found: new[found[0]], text)


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
