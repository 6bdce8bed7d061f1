from __future__ import annotations

import shlex
import sys

from gwd.cli.demo import program


def test_a_program_on_the_path_is_called_by_its_name(tmp_path, monkeypatch):
    script = tmp_path / "gwd"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program(str(script)) == "gwd"


def test_a_program_off_the_path_is_called_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    assert program("with space/gwd") == shlex.quote(str(tmp_path / "with space/gwd"))


def test_a_module_is_called_as_a_module(monkeypatch):
    assert program("/somewhere/gwd/__main__.py") == f"{shlex.quote(sys.executable)} -m gwd"
