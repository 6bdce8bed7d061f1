"""What a proxy's configuration is made of, and what it is: the words its writers share.

A peer has a configuration per kind of work, so that none carries what a work does not ask for:

    plain    passes everything on; a limit per address that nobody meets, where the peer has one
    tokens   the same for requests whose token verifies, and 401 for all others
    parts    GET /home/NAME is one JSON object made of three answers
    limited  one request per address, then 429 for everything that follows
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.compare.tokens import Keys

PLAIN, TOKENS, PARTS, LIMITED = "plain", "tokens", "parts", "limited"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy runs: its directory, its port, the service behind it, the issuer's keys."""

    room: Path
    port: int
    upstream: int
    keys: Keys


@dataclass(frozen=True, slots=True)
class Setup:
    """A proxy's files, by name in its directory, and the command that starts it."""

    files: dict[str, str]
    command: list[str]
    environ: dict[str, str] = field(default_factory=dict)


Writer = Callable[[Place], Setup]
