from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gwd.config.load import load
from gwd.config.problems import ConfigError, as_github, as_json

AUTH = '[auth.main]\ntype = "jwt"\nissuer = "i"\naudience = "a"\nalgorithms = ["HS256"]\n'
PUBLIC = AUTH.replace("HS256", "RS256")
SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"


def test_a_secret_comes_from_a_file_without_its_last_line_end(good: Any, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    loaded = good(AUTH + 'secret_file = "${DIR}/secret"\n', {"DIR": str(tmp_path)})
    (verifier,) = loaded.snapshot.auth
    assert verifier.secret == SECRET.encode()
    assert SECRET not in repr(loaded.snapshot)


def test_a_secret_comes_from_the_environment(good: Any) -> None:
    (verifier,) = good(AUTH + 'secret_env = "JWT"\n', {"JWT": SECRET}).snapshot.auth
    assert verifier.secret == SECRET.encode()


def test_a_secret_that_others_can_read_is_refused(wrong: Any, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0o644)
    (error,) = wrong(AUTH + f'secret_file = "{file}"\n')
    assert "everybody can read or change; use chmod o-rwx" in error


def test_a_short_secret_is_refused(wrong: Any) -> None:
    (error,) = wrong(AUTH + 'secret_env = "JWT"\n', {"JWT": "hunter2"})
    assert error.endswith("this value holds a secret that is too short; use at least 32 bytes")


@pytest.mark.parametrize(
    ("key", "content", "error"),
    [
        (
            "jwks_file",
            b"{}",
            'names a file that is not a key set; it must be JSON as {"keys": […]}',
        ),
        ("jwks_file", b'{"keys": []}', "is not a key set"),
        ("jwks_file", b"[" * 100_000, "is not a key set"),
        ("jwks_file", b"", "names a file that is empty"),
        ("jwks_file", b" " * 300_000, "is larger than 256 KiB"),
        ("public_key_file", b"key", "is not PEM"),
        ("public_key_file", b"-----BEGIN PRIVATE KEY-----", "names a file with a private key"),
    ],
)
def test_files_that_hold_something_else_are_refused(
    wrong: Any, tmp_path: Path, key: str, content: bytes, error: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    (found,) = wrong(PUBLIC + f'{key} = "{file}"\n')
    assert error in found


def test_what_is_no_file_is_refused_at_once(wrong: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, error in [
        ("pipe", "not a regular file"),
        ("none", "no such file"),
        (".", "directory"),
    ]:
        (found,) = wrong(PUBLIC + f'jwks_file = "{tmp_path / name}"\n')
        assert error in found


def test_the_log_needs_a_directory(wrong: Any, tmp_path: Path) -> None:
    (found,) = wrong(f'[server]\naccess_log = "{tmp_path}/none/access.log"\n')
    assert "lies in a directory that does not exist; make it first" in found
    (found,) = wrong(f'[server]\naccess_log = "{tmp_path}"\n')
    assert "is a directory; name a file in it" in found


@pytest.mark.parametrize(
    "line",
    [
        f'secret_file = "{SECRET}"',
        f'secret_env = "{SECRET}"',
        f'secret = "{SECRET}"',
        f'password = "{SECRET}"',
        f'secret_env = ["{SECRET}"]',
        f'issuer = "${{X:-{SECRET}}}" # secret_env',
        f'secret_env = "{SECRET}',
        f'secret_env = """\n{SECRET}""" x',
        f'"api-token" = {{ token = "{SECRET}" }}',
    ],
)
def test_a_secret_written_in_a_wrong_place_is_shown_nowhere(tmp_path: Path, line: str) -> None:
    file = tmp_path / "gwd.toml"
    text = AUTH.replace('issuer = "i"\n', "") if line.startswith("issuer") else AUTH
    file.write_text(text + line + "\n")
    with pytest.raises(ConfigError) as refused:
        load(str(file), {})
    problems = refused.value.problems
    shown = [str(p) for p in problems] + [p.frame() for p in problems]
    shown += [as_json(problems), repr(problems), str(refused.value), *map(as_github, problems)]
    assert SECRET not in "\n".join(shown)
