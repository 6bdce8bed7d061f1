"""What cannot run is refused in one clear line, with the right exit status, and leaves nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from rig.configs import ANY_PATH, config
from rig.gateway import environment, marked
from rig.programs import program

TWIN = ANY_PATH.replace('name = "app"', 'name = "twin"')
APP = "127.0.0.1:1"
NO_RESTART, RETRY = 1, 4


@dataclass(frozen=True)
class Bad:
    text: str
    says: tuple[str, ...]
    """What must stand in the one line."""
    code: int = NO_RESTART


FILES = {
    "bad-toml": Bad("[server]\nbind = [\n", ("gwd.toml:",)),
    "binary": Bad("\x00\x01", ("gwd.toml:1",)),
    "wrong-type": Bad(config(APP, server=("max_fields = [1]",)), ("gwd.toml:3", "max_fields")),
    "wrong-unit": Bad(
        config(APP, server=('idle_timeout = "2 sec"',)), ("gwd.toml:3", "idle_timeout", "2 sec")
    ),
    "unknown-key": Bad(config(APP, server=("worker = 2",)), ("gwd.toml:3", "worker", '"workers"')),
    "unknown-table": Bad(config(APP, more="[uptreams.x]\n"), ("uptreams", '"upstreams"')),
    "unknown-upstream": Bad(
        config(APP, routes=ANY_PATH.replace('upstream = "app"', 'upstream = "ap"')), ('"ap"',)
    ),
    "name-that-does-not-resolve": Bad(config("no-such-host.invalid:80"), ("no-such-host.invalid",)),
    "duplicate-routes": Bad(config(APP, routes=ANY_PATH + TWIN), ('"twin"', '"app"')),
    "missing-variable": Bad(config("${GWD_TEST_NOT_SET}"), ("GWD_TEST_NOT_SET",)),
    "tls-which-is-not-built": Bad(config(APP, app=("tls = {}",)), ("upstreams.app.tls",)),
    "missing-key-file": Bad(
        config(
            APP,
            more='[auth.main]\ntype = "jwt"\nissuer = "i"\naudience = "a"\n'
            'algorithms = ["EdDSA"]\njwks_file = "/nowhere/jwks.json"\n',
        ),
        ("/nowhere/jwks.json",),
    ),
    "address-of-another-machine": Bad(
        config(APP, server=('bind = ["192.0.2.1:8080"]',)), ("192.0.2.1",), RETRY
    ),
}


class Attempt:
    """One try to start a gateway that must end by itself."""

    def __init__(self, home: Path, *arguments: str, before: tuple[str, ...] = ()) -> None:
        """`before`: a command that runs the gateway in its place."""
        mark = uuid.uuid4().hex
        self._done = subprocess.run(
            [*before, sys.executable, "-m", "gwd", "run", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=home,
            env=environment(home, mark),
        )
        self.left = marked(mark)

    def check(self, code: int, *words: str) -> None:
        said = self._done.stderr
        assert self._done.returncode == code, said
        lines = said.strip().splitlines()
        assert len(lines) == 1, said
        assert "Traceback" not in said
        for word in words:
            assert word in lines[0], (word, said)
        assert self._done.stdout == ""
        assert self.left == [], "a half-started tree"


@pytest.mark.parametrize("bad", FILES.values(), ids=FILES)
def test_a_file_that_cannot_run(tmp_path: Path, bad: Bad) -> None:
    (tmp_path / "gwd.toml").write_text(bad.text)
    Attempt(tmp_path, "--config", "gwd.toml").check(bad.code, *bad.says)


def test_no_config(tmp_path: Path) -> None:
    if Path("/etc/gwd/gwd.toml").exists():
        pytest.skip("needs a machine without /etc/gwd/gwd.toml: remove it")
    Attempt(tmp_path).check(NO_RESTART, "conf/gwd.toml", "/etc/gwd/gwd.toml")


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    Attempt(tmp_path, "--config", "nowhere.toml").check(NO_RESTART, "nowhere.toml")


def test_a_config_that_is_a_directory(tmp_path: Path) -> None:
    Attempt(tmp_path, "--config", ".").check(NO_RESTART)


def test_an_unreadable_config(tmp_path: Path) -> None:
    path = tmp_path / "gwd.toml"
    path.write_text(config(APP))
    path.chmod(0)
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root reads everything, unless it gives that up
        before = (program("setpriv"), "--bounding-set=-dac_override,-dac_read_search")
    attempt = Attempt(tmp_path, "--config", "gwd.toml", before=before)
    attempt.check(NO_RESTART, "gwd.toml", "ermission denied")


@pytest.mark.parametrize("reuse", [False, True], ids=["plain", "with-so-reuseport"])
def test_a_port_in_use(tmp_path: Path, reuse: bool) -> None:
    with socket.socket() as other:
        if reuse:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        bind = f'bind = ["127.0.0.1:{port}"]'
        (tmp_path / "gwd.toml").write_text(config(APP, server=(bind,)))
        Attempt(tmp_path, "--config", "gwd.toml").check(RETRY, str(port))


def test_several_errors_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "gwd.toml").write_text(
        config(APP, server=("worker = 2", "max_fields = [1]"), app=('balance = "roundrobin"',))
    )
    done = subprocess.run(
        [sys.executable, "-m", "gwd", "check", "--config", "gwd.toml"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=tmp_path,
        env=environment(tmp_path, "none"),
    )
    assert done.returncode == NO_RESTART
    told = done.stderr + done.stdout
    for word in ("worker", "max_fields", "balance"):
        assert word in told
    assert "Traceback" not in told
