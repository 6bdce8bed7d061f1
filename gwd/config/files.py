"""The files and environment variables a config names: read once, here, while it is judged.

Strategy: what is read goes into the snapshot, so no process reads a key later and a reload sees
either all of the new files or none. Relative paths are taken from the working directory. Secrets
are typed: they leave this module as bytes only, and no message shows one, nor the text of a
`secret_…` key, which may hold the secret itself by mistake (SEC-44).
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Mapping

from gwd.config.draft import Draft
from gwd.config.places import Path
from gwd.config.units import NotAllowed

LARGEST = 256 * 1024
"""Bytes of a key, key set or secret (SECURITY §3)."""

_SHORTEST = {"HS256": 32, "HS384": 48, "HS512": 64}


def read_named(draft: Draft, environ: Mapping[str, str]) -> dict[Path, bytes]:
    """What every file and variable named by a verifier holds, by the path of its key."""
    contents: dict[Path, bytes] = {}
    verifiers = draft.get(("auth",))
    for name, verifier in verifiers.items() if isinstance(verifiers, dict) else ():
        if not isinstance(verifier, dict):
            continue
        for key, read in _READERS.items():
            path: Path = ("auth", name, key)
            value = verifier.get(key)
            if not isinstance(value, str) or not value or draft.is_excused(path):
                continue
            try:
                contents[path] = read(value, environ)
                if key.startswith("secret"):
                    _long_enough(contents[path], verifier.get("algorithms"))
            except NotAllowed as why:
                draft.refuse(path, str(why))
    _log_directory(draft)
    return contents


def _read(name: str, *, secret: bool = False) -> bytes:
    try:
        return read_file(name, secret=secret)
    except NotAllowed as why:
        raise NotAllowed(f"names a file that {why}") from None


def read_file(name: str, *, secret: bool = False) -> bytes:
    """What the file `name` holds. A `secret` may not be open to everybody; its group may share it.

    Raises NotAllowed, to be read after the file: "cannot be read: …; name a readable file".
    """
    if "\0" in name:
        raise NotAllowed("cannot be: the name holds NUL; name a file")
    try:
        with open(name, "rb", opener=_open) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise NotAllowed("is not a regular file; name one")
            if secret and found.st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise NotAllowed("everybody can read or change; use chmod o-rwx on it")
            content = file.read(LARGEST + 1)
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise NotAllowed(f"cannot be read: {reason}; name a readable file") from None
    if len(content) > LARGEST:
        raise NotAllowed("is larger than 256 KiB; name the right file")
    if not content.strip():
        raise NotAllowed("is empty; name the right file")
    return content


def _open(name: str, flags: int) -> int:
    # O_NONBLOCK: a FIFO named by mistake must not hang the check.
    return os.open(name, flags | os.O_CLOEXEC | os.O_NONBLOCK)


def _key_set(name: str, environ: Mapping[str, str]) -> bytes:
    content = _read(name)
    try:
        keys = json.loads(content)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        keys = None
    if not isinstance(keys, list) or not keys:
        raise NotAllowed('names a file that is not a key set; it must be JSON as {"keys": […]}')
    return content


def _public_key(name: str, environ: Mapping[str, str]) -> bytes:
    content = _read(name)
    if b"PRIVATE KEY-----" in content:
        raise NotAllowed("names a file with a private key; gwd needs the public key only")
    if b"-----BEGIN " not in content:
        raise NotAllowed("names a file that is not PEM; it must hold -----BEGIN PUBLIC KEY-----")
    return content


def _secret_file(name: str, environ: Mapping[str, str]) -> bytes:
    return _read(name, secret=True).removesuffix(b"\n").removesuffix(b"\r")


def _secret_variable(name: str, environ: Mapping[str, str]) -> bytes:
    found = environ.get(name)
    if not found:
        # Shown only if it is written as variables are: it might be the secret.
        shown = name if re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", name, re.ASCII) else "a variable"
        raise NotAllowed(f"names {shown}, which is not set in the environment; set it")
    return os.fsencode(found)


def _long_enough(secret: bytes, algorithms: object) -> None:
    """RFC 7518 §3.2: a secret at least as long as the hash (SEC-31)."""
    if isinstance(algorithms, list):
        least = max((_SHORTEST.get(a, 0) for a in algorithms if isinstance(a, str)), default=0)
        if len(secret) < least:
            raise NotAllowed(f"holds a secret that is too short; use at least {least} bytes")


def _log_directory(draft: Draft) -> None:
    path: Path = ("server", "access_log")
    name = draft.get(path)
    if isinstance(name, str) and "/" in name:
        directory = os.path.dirname(name) or "/"
        if os.path.isdir(name):
            draft.refuse(path, "is a directory; name a file in it")
        elif not os.path.isdir(directory):
            draft.refuse(path, "lies in a directory that does not exist; make it first")


_READERS: dict[str, Callable[[str, Mapping[str, str]], bytes]] = {
    "jwks_file": _key_set,
    "public_key_file": _public_key,
    "secret_file": _secret_file,
    "secret_env": _secret_variable,
}
