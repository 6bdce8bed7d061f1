"""The comparison itself, as a user runs it: real proxies, a second a round."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.compare.peers import program

ROOT = Path(__file__).parents[2]


def compare(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtests.compare", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.skipif(not (program("wrk") and program("nginx")), reason="apt install wrk nginx-light")
def test_a_short_run_has_figures_of_both(tmp_path: Path) -> None:
    report = tmp_path / "report"
    done = compare(
        *("--peers", "gwd,nginx", "--works", "repeat", "--seconds", "1", "--rounds", "2"),
        *("--report", str(report), "--also", f"again={sys.executable}"),
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads((report / "rounds.json").read_text())
    rounds = kept["rounds"]
    assert [r["peer"] for r in rounds] == ["gwd", "again", "nginx"] * 2
    assert {r["load"]["errors"] for r in rounds} == {""}
    assert all(r["load"]["requests"] > 0 and r["cpu_us"] > 0 for r in rounds)
    assert "| repeat | nginx |" in done.stdout
    assert {path.name for path in report.iterdir()} == {
        *("report.md", "rounds.json", "meta.json", "cpu.svg", "ratios.svg")
    }


def test_unknown_names_are_refused() -> None:
    done = compare("--works", "repeat,no-such-work")
    assert done.returncode != 0
    assert "no work named no-such-work" in done.stderr


@pytest.mark.parametrize("also", ["compiled=/nowhere/python", "compiled", f"gwd={sys.executable}"])
def test_another_gwd_has_a_name_of_its_own_and_is_a_program(also: str) -> None:
    done = compare("--also", also)
    assert done.returncode == 2
    assert "no NAME=PYTHON" in done.stderr
