"""gwd.pid: its lock is the truth, its text is not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gwd.supervisor import pidfile
from gwd.supervisor.pidfile import AlreadyRunning, Found, PidFile

BASE = {"segment_fd": 7, "started": 1000.5, "addresses": ["[::1]:80"], "workers": 2}


@contextmanager
def holder(directory: Path, *told: dict[str, Any]) -> Iterator[int]:
    """A process that holds gwd.pid in `directory` and has written all of `told` to it, one after
    the other; its pid."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            file = PidFile(str(directory / "gwd.pid"))
            for record in told:
                file.write(pid=os.getpid(), **BASE, **record)
            os.write(writer, b"x")
            signal.pause()
        finally:
            os._exit(0)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"x"
        yield pid
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[int]:
    with holder(tmp_path, {}) as pid:
        yield pid


def found_in(directory: Path) -> Found:
    found = pidfile.find(f"{directory}/admin.sock", [], {})
    assert found is not None
    return found


def test_a_living_daemon_is_found_beside_its_admin_socket(daemon: int, tmp_path: Path):
    for option in (f"{tmp_path}/admin.sock", f"unix:{tmp_path}/admin.sock"):
        found = pidfile.find(option, [], {})
        assert found is not None
        assert (found.pid, found.segment_fd, found.started) == (daemon, 7, 1000.5)
        assert (found.addresses, found.workers) == (("[::1]:80",), 2)


def test_what_bans_need_of_the_config_in_force_is_told(tmp_path: Path):
    older = {"never_banned": {"limits.exempt": ["203.0.113.0/24"] * 50}, "ban_action": "refuse"}
    newer = {
        "ipv6_prefix": 56,
        "never_banned": {"limits.exempt": ["10.0.0.0/8"], "server.trusted_proxies": ["::1/128"]},
        "ban_action": "close",
        "bans_by_rate": True,
    }
    with holder(tmp_path, older, newer):
        found = found_in(tmp_path)
    assert (found.ipv6_prefix, found.ban_action, found.bans_by_rate) == (56, "close", True)
    assert found.never_banned == {
        "limits.exempt": ("10.0.0.0/8",),
        "server.trusted_proxies": ("::1/128",),
    }
    assert found.untold == 0


def test_of_very_many_networks_so_many_are_told_that_the_file_can_be_read(tmp_path: Path):
    longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"
    lists = {"limits.exempt": [longest] * 800, "server.trusted_proxies": [longest] * 900}
    with holder(tmp_path, {"never_banned": lists}):
        found = found_in(tmp_path)
        assert (tmp_path / "gwd.pid").stat().st_size < 1 << 16
    told = sum(map(len, found.never_banned.values()))
    assert len(found.never_banned["limits.exempt"]) == 800
    assert told == pidfile.MOST_NETWORKS
    assert told + found.untold == 1700


def test_a_file_of_a_version_that_told_less_still_finds_its_daemon(tmp_path: Path):
    with holder(tmp_path, {}) as pid:
        path = tmp_path / "gwd.pid"
        path.write_text(json.dumps({"pid": pid, **BASE}))
        found = found_in(tmp_path)
    assert (found.pid, found.ipv6_prefix, found.ban_action) == (pid, 64, "drop")


def test_the_environment_names_it_too(daemon: int, tmp_path: Path):
    found = pidfile.find(None, [], {"GWD_ADMIN": f"unix:{tmp_path}/admin.sock"})
    assert found is not None
    assert found.pid == daemon


def test_looking_does_not_take_the_lock(daemon: int, tmp_path: Path):
    pidfile.find(f"{tmp_path}/a", [], {})
    with pytest.raises(AlreadyRunning, match=f"process {daemon}"):
        PidFile(str(tmp_path / "gwd.pid"))


def test_a_dead_daemons_file_finds_nobody_and_can_be_taken(tmp_path: Path):
    path = tmp_path / "gwd.pid"
    path.write_text(json.dumps({"pid": os.getpid(), "segment_fd": 3, "started": 1.0}))
    assert pidfile.find(f"{tmp_path}/admin.sock", [], {}) is None
    PidFile(str(path)).close()
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"pid": 1}'])
def test_a_file_with_other_contents_finds_nobody(tmp_path: Path, text: str):
    (tmp_path / "gwd.pid").write_text(text)
    assert pidfile.find(f"{tmp_path}/admin.sock", [], {}) is None


def test_no_link_is_followed(tmp_path: Path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "gwd.pid").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        PidFile(str(tmp_path / "gwd.pid"))
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_missing_directory_is_made(tmp_path: Path):
    path = pidfile.path_for_daemon(f"unix:{tmp_path}/new/admin.sock", [], {})
    assert path == f"{tmp_path}/new/gwd.pid"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750


def test_the_config_is_asked_after_option_and_environment(tmp_path: Path):
    bind = [f"unix:{tmp_path}/admin.sock"]
    other = {"GWD_ADMIN": f"unix:{tmp_path}/other/admin.sock"}
    assert pidfile.path_for_daemon(None, bind, {}) == f"{tmp_path}/gwd.pid"
    assert pidfile.path_for_daemon(None, bind, other) == f"{tmp_path}/other/gwd.pid"


def test_a_tcp_admin_falls_back_to_the_runtime_directory(tmp_path: Path):
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    assert pidfile.path_for_daemon(None, ["127.0.0.1:9901"], environ) == f"{tmp_path}/gwd.pid"
