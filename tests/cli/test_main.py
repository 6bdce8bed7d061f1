from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gwd.cli import COMMANDS, GROUPS, LazyGroup, exits, main
from gwd.config.problems import ConfigError, Problem


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gwd", *args], capture_output=True, text=True, timeout=30
    )


def test_help_lists_every_command_in_its_group() -> None:
    result = run("--help")
    assert result.returncode == exits.GOOD
    assert result.stderr == ""
    groups = re.findall(r"^(\w+):$", result.stdout, flags=re.MULTILINE)
    used = [group for group in GROUPS if any(row.group == group for row in COMMANDS.values())]
    assert groups == ["Options", *used]
    for name, row in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(row.help)}$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("args", [["--help"], ["chek"]])
def test_help_and_slips_import_no_command_and_nothing_heavy(args: list[str]) -> None:
    script = f"""
import sys
from gwd.cli import main
try:
    main({args!r})
except SystemExit:
    pass
heavy = {{"pydantic", "msgpack", "uvloop", "h11", "jwt", "cryptography", "asyncio", "psutil"}}
loaded = heavy & set(sys.modules)
commands = [name for name in sys.modules if name.startswith("gwd.cli.") and name[8:] != "exits"]
assert not loaded, loaded
assert not commands, commands
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "args", [["status"], ["health"], ["status", "--help"], ["reload", "--help"], ["stop", "--help"]]
)
def test_commands_that_must_be_fast_never_import_pydantic(args: list[str], tmp_path: Path) -> None:
    script = f"""
import sys
from gwd.cli import main
try:
    main({args!r})
except SystemExit:
    pass
sys.exit("pydantic" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def test_every_command_is_a_click_command_with_help() -> None:
    context = click.Context(LazyGroup("gwd"))
    for name in COMMANDS:
        command = LazyGroup("gwd").get_command(context, name)
        assert isinstance(command, click.Command)
        assert command.help


def test_version_names_what_gwd_runs_on() -> None:
    result = run("--version")
    assert re.fullmatch(
        r"gwd \d+\.\d+\.\d+ \(Python 3\.\d+\.\S+, uvloop \S+, h11 \S+, Linux \d+\.\d+\)\n",
        result.stdout.replace("no uvloop", "uvloop 0"),
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["chek"], 'Error: "chek" is not a command; did you mean "check"?'),
        (["zzz"], 'Error: "zzz" is not a command; gwd --help lists them.'),
        (["--nothing"], "No such option"),
        (["check", "--formt", "json"], "No such option"),
        (["check", "--format", "xml"], "Invalid value for '--format'"),
    ],
)
def test_slips_are_usage_errors(args: list[str], message: str) -> None:
    result = run(*args)
    assert result.returncode == exits.USAGE
    assert message in result.stderr
    assert result.stdout == ""


def test_no_arguments_show_the_help() -> None:
    result = run()
    assert "Usage: gwd" in result.stdout + result.stderr
    assert result.returncode == exits.USAGE


def raising(
    monkeypatch: pytest.MonkeyPatch, error: BaseException | None, value: object = None
) -> int:
    @click.command("check")
    def command() -> object:
        if error is not None:
            raise error
        return value

    monkeypatch.setattr(LazyGroup, "get_command", lambda self, context, name: command)
    with pytest.raises(SystemExit) as ended:
        main(["check"])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_what_a_command_returns_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert raising(monkeypatch, None, exits.RETRY) == 4
    assert raising(monkeypatch, None, None) == 0


def test_ctrl_c_is_a_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(monkeypatch, KeyboardInterrupt()) == 130
    # click ends the line that the terminal's ^C stands on.
    assert capsys.readouterr().err.strip() == "gwd: interrupted"


def test_a_bad_config_is_its_lines_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ConfigError([Problem("f", "wrong", "k", 3), Problem("f", "worse", "l", 4)])
    assert raising(monkeypatch, error) == exits.FAILED
    assert capsys.readouterr().err == "f:3: k: wrong\nf:4: l: worse\n"


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    line = f"{sys.executable} -m gwd schema | head -c 10"
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30)
    assert result.stderr == ""
    assert len(result.stdout) == 10
