from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gwd.config import find
from gwd.config.problems import ConfigError


def test_what_is_asked_for_is_taken_whether_it_exists_or_not() -> None:
    assert find.find_config("x.toml", {"GWD_CONFIG": "y.toml"}) == "x.toml"
    assert find.find_config(None, {"GWD_CONFIG": "y.toml"}) == "y.toml"


def test_the_file_in_conf_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/gwd.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert find.find_config(None, {}) == "conf/gwd.toml"


def test_no_file_anywhere_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(find, "PLACES", ("conf/gwd.toml", str(tmp_path / "none")))
    with pytest.raises(ConfigError, match=r"no config file here .*; use --config FILE"):
        find.find_config(None, {})


def test_systemds_directory_comes_first(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path}/a:{tmp_path}/b", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert find.runtime_directory(environ) == f"{tmp_path}/a"
    assert find.default_admin_bind(environ) == f"unix:{tmp_path}/a/admin.sock"


def test_every_place_is_listed_for_those_who_look() -> None:
    environ = {"RUNTIME_DIRECTORY": "/a", "XDG_RUNTIME_DIR": "/b"}
    expected = ["/a", "/run/gwd", "/b/gwd", f"/tmp/gwd-{os.getuid()}"]
    assert find.runtime_directories(environ) == expected


def test_the_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    path = find.make_runtime_directory({"RUNTIME_DIRECTORY": f"{tmp_path}/run"})
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert find.make_runtime_directory({"RUNTIME_DIRECTORY": f"{tmp_path}/run"}) == path


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        find.make_runtime_directory({"RUNTIME_DIRECTORY": f"{tmp_path}/run"})
