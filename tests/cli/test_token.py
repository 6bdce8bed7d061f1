from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from gwd.cli import exits, main
from gwd.policies.signing import key_set

CONFIG = """
[auth.main]
type = "jwt"
issuer = "https://issuer.example"
audience = "api"
algorithms = ["EdDSA"]
jwks_file = "{jwks}"
forward_claims = {{ sub = "X-User-Id" }}

[upstreams.orders]
endpoints = ["127.0.0.1:9"]

[[routes]]
name = "orders"
path = "/*"
auth = "main"
upstream = "orders"
"""


class Done:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def gwd(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `gwd token …` in an empty directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GWD_CONFIG", raising=False)

    def run(*args: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(["token", *args])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def config(gwd: Any, tmp_path: Path) -> str:
    """A config that verifies by the key set of `gwd token keys`."""
    assert gwd("keys").code == exits.GOOD
    file = tmp_path / "gwd.toml"
    file.write_text(CONFIG.format(jwks=tmp_path / "jwks.json"))
    return str(file)


def good_token(gwd: Any, *more: str) -> str:
    made = gwd(
        *("make", "--key", "gwd-key.pem", "--claim", "iss=https://issuer.example"),
        *("--claim", "aud=api", "--claim", "sub=ada", *more),
    )
    assert made.code == exits.GOOD
    assert made.err == ""
    token: str = made.out.strip()
    return token


def test_keys_are_made_private_and_never_overwritten(gwd: Any, tmp_path: Path) -> None:
    done = gwd("keys")
    assert done.code == exits.GOOD
    assert done.out == "gwd-key.pem\njwks.json\n"
    key = tmp_path / "gwd-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert (tmp_path / "jwks.json").read_bytes() == key_set(key.read_bytes())
    before = key.read_bytes()
    again = gwd("keys")
    assert again.code == exits.FAILED
    assert "gwd-key.pem: File exists" in again.err
    assert key.read_bytes() == before


def test_no_key_stays_behind_where_its_key_set_could_not_be_written(
    gwd: Any, tmp_path: Path
) -> None:
    done = gwd("keys", "--jwks", "no/such/directory/jwks.json")
    assert done.code == exits.FAILED
    assert "No such file or directory" in done.err
    assert os.listdir(tmp_path) == []


def test_a_token_holds_its_claims_and_a_life_of_an_hour(gwd: Any) -> None:
    gwd("keys")
    token = good_token(gwd, "--claim", 'roles:=["a", "b"]', "--claim", "odd=x=y", "--claim", "n:=7")
    claims = pyjwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["roles"] == ["a", "b"]
    assert claims["odd"] == "x=y"
    assert claims["n"] == 7
    assert pyjwt.get_unverified_header(token)["alg"] == "EdDSA"


def test_a_life_can_be_given_or_none(gwd: Any) -> None:
    gwd("keys")
    short = pyjwt.decode(good_token(gwd, "--exp", "10m"), options={"verify_signature": False})
    assert short["exp"] - short["iat"] == 600
    eternal = pyjwt.decode(good_token(gwd, "--exp", "none"), options={"verify_signature": False})
    assert "exp" not in eternal


def test_a_secret_makes_a_token_by_hmac(gwd: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 32)
    made = gwd("make", "--key", "secret", "--alg", "HS256", "--kid", "k", "--claim", "sub=ada")
    assert pyjwt.decode(made.out.strip(), b"s" * 32, ["HS256"])["sub"] == "ada"
    assert pyjwt.get_unverified_header(made.out.strip())["kid"] == "k"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--key", "missing.pem"), exits.FAILED, "missing.pem: No such file"),
        (("--key", "junk"), exits.FAILED, "junk: cannot be read as a private key"),
        (("--key", "junk", "--alg", "HS256"), exits.FAILED, "cannot sign by HS256"),
        (("--key", "gwd-key.pem", "--alg", "RS256"), exits.FAILED, "cannot sign by RS256"),
        (("--key", "gwd-key.pem", "--exp", "soon"), exits.USAGE, "'soon' is not a duration"),
        (("--key", "gwd-key.pem", "--claim", "sub"), exits.USAGE, "NAME=TEXT"),
        (("--key", "gwd-key.pem", "--claim", "=x"), exits.USAGE, "NAME=TEXT"),
        (("--key", "gwd-key.pem", "--claim", "a:=x"), exits.USAGE, "is not JSON"),
        ((), exits.USAGE, "--key"),
    ],
)
def test_what_makes_no_token_is_told_in_a_line(
    gwd: Any, tmp_path: Path, args: tuple[str, ...], code: int, said: str
) -> None:
    gwd("keys")
    (tmp_path / "junk").write_text("junk")
    done = gwd("make", *args)
    assert done.code == code
    assert done.out == ""
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_token_is_shown_without_being_believed(gwd: Any) -> None:
    gwd("keys")
    done = gwd("inspect", good_token(gwd))
    assert done.code == exits.GOOD
    shown = json.loads(done.out)
    assert shown["claims"]["sub"] == "ada"
    assert shown["header"]["alg"] == "EdDSA"
    assert "verified" not in shown
    assert "nothing is verified" in done.err
    assert "expires" in done.err
    assert " UTC, in 1 h\n" in done.err


def test_a_token_is_read_from_stdin_with_its_scheme(
    gwd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gwd("keys")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"Bearer {good_token(gwd)}\n"))
    assert json.loads(gwd("inspect", "-").out)["claims"]["sub"] == "ada"


def test_what_a_token_holds_cannot_reach_the_terminal(gwd: Any) -> None:
    gwd("keys")
    done = gwd("inspect", good_token(gwd, "--claim", "x=\x1b[2J\u202e\u2028"))
    assert done.out.isascii()
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("x", "it has 1 parts"),
        ("a.b.c.d.e", "encrypted"),
        ("a.b.c", "its header is not JSON"),
        ("!.!.!", "its header is not JSON"),
        ("W10.e30.x", "its header is not a JSON object"),
        ("e30.é.x", "its payload is not JSON"),
        ("", "it has 1 parts"),
    ],
)
def test_what_is_no_token_is_told_in_a_line(gwd: Any, token: str, said: str) -> None:
    done = gwd("inspect", token)
    assert done.code == exits.FAILED
    assert done.out == ""
    assert said in done.err


def test_a_token_is_verified_as_the_gateway_would(gwd: Any, config: str) -> None:
    done = gwd("inspect", good_token(gwd), "--config", config)
    assert done.code == exits.GOOD
    assert json.loads(done.out)["verified"] is True
    assert "verified by auth.main; upstreams get\n  X-User-Id: ada" in done.err


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("exp:=1", "auth.main: the token has expired"),
        ("aud=web", "auth.main: the token is for another audience"),
        ("iss=https://evil.example", "no verifier has the issuer 'https://evil.example'"),
        ("sub=a\nb", "a claim that cannot be passed on"),
    ],
)
def test_a_token_that_the_gateway_would_refuse_exits_1_and_says_why(
    gwd: Any, config: str, claim: str, said: str
) -> None:
    done = gwd("inspect", good_token(gwd, "--claim", claim), "--config", config)
    assert done.code == exits.FAILED
    assert json.loads(done.out)["verified"] is False
    assert said in done.err


def test_a_verifier_can_be_named(gwd: Any, config: str) -> None:
    token = good_token(gwd, "--claim", "iss=other")
    done = gwd("inspect", token, "--config", config, "--auth", "main")
    assert done.code == exits.FAILED
    assert "auth.main: the token is from another issuer" in done.err
    done = gwd("inspect", token, "--config", config, "--auth", "mian")
    assert done.code == exits.FAILED
    assert "there is no [auth.mian]; there is main" in done.err


def test_a_config_that_is_not_there_is_told_in_a_line(gwd: Any) -> None:
    gwd("keys")
    done = gwd("inspect", good_token(gwd), "--config", "missing.toml")
    assert done.code == exits.FAILED
    assert "missing.toml" in done.err
    assert "Traceback" not in done.err


def test_the_command_works_as_a_process(tmp_path: Path) -> None:
    """The lines of its own help, in order."""
    for args in (
        ("keys",),
        ("make", "--key", "gwd-key.pem", "--claim", "sub=ada"),
        ("inspect", "--help"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "gwd", "token", *args],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == exits.GOOD, done.stderr
        assert done.stdout
