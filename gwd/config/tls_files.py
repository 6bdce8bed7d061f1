"""The files that `[server.tls]` names: read and judged together, at a load and when they change.

Strategy: a load reads them for a draft, with its places; a renewal reads the same files for a
snapshot in force, whose config file nobody looks at: an edit that lies there half done must not
come into force because a certificate was renewed. Both go through `_pair` and `_authorities`.
What is read stays out of the config's digest: certificates change by themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gwd.config.certificates import Unusable, judge_authorities, judge_pair
from gwd.config.draft import Draft
from gwd.config.files import read_file
from gwd.config.places import Path
from gwd.config.problems import ConfigError, Problem
from gwd.config.snapshot import Certificate, Snapshot, Tls
from gwd.config.units import NotAllowed

Tell = Callable[[str, str, str], None]
"""tell(which, severity, why): which is "cert" or "key"; why continues "this file …"."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the files hold."""

    certificates: tuple[Certificate, ...] = ()
    client_ca: bytes = b""


def read_tls(draft: Draft) -> TlsFiles:
    """The files of the draft's `[server.tls]`; what is wrong with them is told to `draft`."""
    base: Path = ("server", "tls")
    table = draft.get(base)
    if not isinstance(table, dict):
        return TlsFiles()
    items: list[tuple[Path, Any]] = [(base, table)]
    more = table.get("certificates")
    if isinstance(more, list):
        items += [((*base, "certificates", index), item) for index, item in enumerate(more)]
    found: list[Certificate] = []
    for path, item in items:
        cert, key = _name(item, "cert"), _name(item, "key")
        if cert and key:
            pair = _pair(cert, key, _to_draft(draft, path))
            if pair is not None:
                _look_for_twins(draft, path, pair, found)
                found.append(pair)
    client_ca = b""
    name = _name(table, "client_ca")
    if name:
        client_ca = _authorities(name, _to_draft(draft, base, cert="client_ca"))
    return TlsFiles(tuple(found), client_ca)


def _name(table: Any, key: str) -> str:
    """The file that `key` names, "" if it names none."""
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def _to_draft(draft: Draft, path: Path, cert: str = "cert") -> Tell:
    def tell(which: str, severity: str, why: str) -> None:
        place = (*path, cert if which == "cert" else which)
        if severity == "error":
            draft.refuse(place, f"names a file that {why}")
        else:
            draft.warn(place, f"names a file that {why}")

    return tell


def _look_for_twins(draft: Draft, path: Path, pair: Certificate, before: list[Certificate]) -> None:
    for name in pair.names:
        if any(name in other.names for other in before):
            draft.warn(
                (*path, "cert"),
                f"names a file that has the name {name} as one before it has; clients get that one",
            )
            return


def _pair(cert_file: str, key_file: str, tell: Tell) -> Certificate | None:
    try:
        cert = read_file(cert_file)
    except NotAllowed as why:
        tell("cert", "error", str(why))
        cert = b""
    try:
        key = read_file(key_file, secret=True)
    except NotAllowed as why:
        tell("key", "error", str(why))
        key = b""
    if not cert or not key:
        return None
    try:
        verdict = judge_pair(cert, key)
    except Unusable as why:
        tell("key" if why.of_key else "cert", "error", str(why))
        return None
    for warning in verdict.warnings:
        tell("cert", "warning", warning)
    return Certificate(cert, key, verdict.names, cert_file, key_file, verdict.expires)


def _authorities(name: str, tell: Tell) -> bytes:
    try:
        found = read_file(name)
        for warning in judge_authorities(found):
            tell("cert", "warning", warning)
    except NotAllowed as why:
        tell("cert", "error", str(why))
        return b""
    return found


# --- renewal of a config in force ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Renewed:
    """A snapshot with the certificates its files hold now, and what they are warned of."""

    snapshot: Snapshot
    warnings: list[Problem]


def renewed(snapshot: Snapshot) -> Renewed:
    """`snapshot` with its certificates, keys and client authorities read anew.

    All of them or none: raises ConfigError if any cannot be used. A certificate that was replaced
    before its key, or after it, is refused here, and good a moment later.
    """
    tls = snapshot.server.tls
    if tls is None:
        return Renewed(snapshot, [])
    problems: list[Problem] = []

    def telling(cert_file: str, key_file: str = "") -> Tell:
        def tell(which: str, severity: str, why: str) -> None:
            file = key_file if which == "key" else cert_file
            problems.append(Problem(file, why, severity=severity))

        return tell

    pairs = [
        _pair(c.cert_file, c.key_file, telling(c.cert_file, c.key_file)) for c in tls.certificates
    ]
    ca = tls.client_ca_file
    client_ca = _authorities(ca, telling(ca)) if ca else b""
    if any(problem.severity == "error" for problem in problems):
        raise ConfigError(problem for problem in problems if problem.severity == "error")
    certificates = tuple(pair for pair in pairs if pair is not None)
    now = dataclasses.replace(tls, certificates=certificates, client_ca=client_ca)
    server = dataclasses.replace(snapshot.server, tls=now)
    return Renewed(dataclasses.replace(snapshot, server=server), problems)


def files_of(tls: Tls) -> dict[str, bytes]:
    """What every file of `tls` held when it was read, by its name."""
    found = {certificate.cert_file: certificate.cert for certificate in tls.certificates}
    found |= {certificate.key_file: certificate.key for certificate in tls.certificates}
    if tls.client_ca_file:
        found[tls.client_ca_file] = tls.client_ca
    return found
