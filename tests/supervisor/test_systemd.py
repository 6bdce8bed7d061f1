"""What the service manager hears, on a real socket of ours."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gwd.supervisor.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path: Path):
    """A notify socket and the environment that names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0gwd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name)
        sock.settimeout(5)
        yield sock, {"NOTIFY_SOCKET": name.replace("\0", "@")}


def test_ready_comes_with_its_status(manager):
    sock, environ = manager
    notifier = Notifier(environ)
    notifier.ready("2 workers")
    assert sock.recv(1000) == b"READY=1\nSTATUS=2 workers"
    notifier.close()


def test_reloading_says_when_on_the_monotonic_clock(manager):
    sock, environ = manager
    notifier = Notifier(environ)
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    said = sock.recv(1000).decode()
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=([0-9]+)", said)
    assert match
    assert before <= int(match[1]) <= time.monotonic_ns() // 1000
    notifier.close()


def test_an_error_of_many_lines_cannot_forge_a_field(manager):
    sock, environ = manager
    notifier = Notifier(environ)
    notifier.status("refused\nMAINPID=1")
    assert sock.recv(1000) == b"STATUS=refused; MAINPID=1"
    notifier.close()


def test_children_do_not_inherit_the_variables(manager):
    _sock, environ = manager
    environ |= {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environ)
    assert notifier.watchdog == 30.0
    assert environ == {}
    notifier.close()


def test_a_watchdog_meant_for_another_process_is_not_ours(manager):
    _sock, environ = manager
    notifier = Notifier(environ | {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    assert notifier.watchdog == 0.0
    notifier.close()


def test_without_a_manager_everything_is_said_to_nobody():
    notifier = Notifier({})
    notifier.ready("x")
    notifier.alive()
    notifier.close()
    assert notifier.watchdog == 0.0


def test_a_manager_that_is_gone_hurts_nobody(tmp_path: Path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    notifier.stopping("stopping")
    notifier.close()


UNIT = Path(__file__).parents[2] / "systemd" / "gwd.service"


@pytest.fixture
def unit(tmp_path: Path) -> str:
    """The shipped unit, with a program that exists here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (Debian: systemd)")
    path = tmp_path / "gwd.service"
    path.write_text(UNIT.read_text().replace("/usr/bin/gwd", sys.executable))
    return str(path)


def test_the_unit_is_clean(unit: str):
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_hardened(unit: str):
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]
    assert subprocess.run(command, capture_output=True).returncode == 0
