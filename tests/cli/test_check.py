from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from authority import Authority

from gwd.cli import exits

ROOT = Path(__file__).parents[2]
GOOD = """[upstreams.app]
endpoints = ["127.0.0.1:9000"]
[[routes]]
name = "app"
path = "/*"
upstream = "app"
"""
BAD = '[server]\nworker = 2\nidle_timeout = "2 sec"\n'


def check(*args: str, input: str = "", cwd: Path = ROOT, **environ: str) -> tuple[int, str, str]:
    result = subprocess.run(
        [sys.executable, "-m", "gwd", "check", *args],
        input=input,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
    )
    return result.returncode, result.stdout, result.stderr


def test_a_good_file_is_one_line_on_stdout(tmp_path: Path) -> None:
    file = tmp_path / "gwd.toml"
    file.write_text(GOOD)
    code, out, err = check("--config", str(file))
    assert (code, err) == (exits.GOOD, "")
    assert out.startswith(f"{file}: good: 1 route, 1 upstream, 1 endpoint (config ")


def test_a_bad_file_is_one_line_per_error_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "gwd.toml"
    file.write_text(BAD)
    assert check("--config", str(file)) == (
        exits.FAILED,
        "",
        f'{file}:2: server.worker: unknown key; did you mean "workers"?\n'
        f'{file}:3: server.idle_timeout: "2 sec" is not a duration; use "250ms", "2s", "5m"\n',
    )


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gwd.toml"
    file.write_text(BAD)
    code, _, err = check(GWD_CONFIG=str(file))
    assert (code, err.count("\n")) == (exits.FAILED, 2)


def test_standard_input_is_read_by_a_dash() -> None:
    code, _, err = check("--config", "-", input=BAD)
    assert code == exits.FAILED
    assert err.startswith("<stdin>:2: server.worker: ")


def test_no_file_is_one_line(tmp_path: Path) -> None:
    code, out, err = check("--config", str(tmp_path / "none.toml"))
    assert (code, out) == (exits.FAILED, "")
    assert err == (
        f"{tmp_path}/none.toml: cannot be read: no such file or directory; name a readable file\n"
    )


def test_the_full_format_frames_each_problem() -> None:
    _, _, err = check("--config", "-", "--format", "full", input=BAD)
    assert err.splitlines()[1:3] == ["  2 | worker = 2", "    | ^^^^^^"]


def test_machines_read_stdout() -> None:
    code, out, err = check("--config", "-", "--format", "json", input=BAD)
    assert (code, err) == (exits.FAILED, "")
    assert [p["key"] for p in json.loads(out)["problems"]] == [
        "server.worker",
        "server.idle_timeout",
    ]
    _, out, _ = check("--config", "-", "--format", "github", input=BAD)
    assert out.startswith("::error file=<stdin>,line=2,col=1,endColumn=7,title=server.worker::")
    _, out, _ = check("--config", "-", "--format", "json", input=GOOD)
    assert json.loads(out) == {"ok": True, "problems": []}


def test_warnings_do_not_fail(tmp_path: Path) -> None:
    text = GOOD.replace("[[routes]]", "[upstreams.app.ejection]\n[[routes]]")
    code, out, err = check("--config", "-", input=text)
    assert code == exits.GOOD
    assert err == (
        "<stdin>:3: upstreams.app.ejection: warning: not built yet; use a health check\n"
    )
    assert "good" in out


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_gets_frames_and_colour_unless_told_not_to(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "gwd.toml").write_text(BAD)
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    env |= {"TERM": "xterm", "PYTHONPATH": str(ROOT), **environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "gwd", "check", "--config", str(tmp_path / "gwd.toml")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=env,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert process.wait(30) == exits.FAILED
    assert b"^^^^^^" in shown
    assert (b"\x1b[31m" in shown) is (not environ)


@pytest.mark.parametrize(
    "file", ["conf/gwd.toml", *sorted(str(f) for f in ROOT.glob("conf/examples/*.toml"))]
)
def test_every_shipped_file_passes(file: str) -> None:
    code, out, err = check("--config", file)
    assert (code, err) == (exits.GOOD, "")
    assert "good" in out


# certificates

TLS = "[server.tls]\n{lines}" + GOOD


def test_certificates_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "gwd.toml"
    file.write_text(TLS.format(lines=Authority().issue("a.test").write(tmp_path, "a")))
    code, out, err = check("--config", str(file))
    assert (code, err) == (exits.GOOD, "")
    assert "1 endpoint, 1 certificate (config " in out


def test_a_certificate_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "gwd.toml"
    issued = Authority().issue("a.test", days=9.5)
    file.write_text(TLS.format(lines=issued.write(tmp_path, "a")))
    code, out, err = check("--config", str(file))
    assert code == exits.GOOD
    assert out.startswith(f"{file}: good: ")
    assert err.startswith(
        f"{file}:2: server.tls.cert: warning: names a file that expires in 9 days, on 20"
    )
    code, out, _ = check("--config", str(file), "--format", "json")
    (problem,) = json.loads(out)["problems"]
    assert (problem["severity"], problem["key"]) == ("warning", "server.tls.cert")


def test_what_no_handshake_could_use_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "gwd.toml"
    authority = Authority()
    lines = authority.issue("a.test", kind="rsa1024").write(tmp_path, "a")
    lines += "[[server.tls.certificates]]\n" + authority.issue("b.test").write(tmp_path, "b")
    (tmp_path / "b.key").write_bytes(authority.issue("b.test").key)
    (tmp_path / "c.key").write_bytes(authority.issue("c.test").key)
    (tmp_path / "c.key").chmod(0o644)
    lines += f'[[server.tls.certificates]]\ncert = "{tmp_path}"\nkey = "{tmp_path}/c.key"\n'
    file.write_text(TLS.format(lines=lines))
    code, _, err = check("--config", str(file))
    assert code == exits.FAILED
    said = [line.partition("names a file that ")[::2] for line in err.splitlines()]
    assert [(where.split(": ")[1], why.partition(";")[0]) for where, why in said] == [
        ("server.tls.cert", "has a weak key, RSA of 1024 bits"),
        ("server.tls.certificates[0].key", "does not belong to this certificate"),
        ("server.tls.certificates[1].cert", "cannot be read: is a directory"),
        ("server.tls.certificates[1].key", "everybody can read or change"),
    ]
    assert "PRIVATE" not in err
