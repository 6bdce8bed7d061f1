"""What is kept of a run can be read again, and is set beside the next one by its ratios alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loadtests.compare import history, machine
from loadtests.compare.report import keep
from loadtests.compare.rounds import Round, failure
from loadtests.compare.wrk import Load

KEPT = Path(__file__).parents[2] / "loadtests" / "reports"


def made(peer: str, work: str, cpu: float) -> Round:
    return Round(peer, work, cpu, 40.0, Load(1000, 333.4, 1.234, 5.678, ""))


THEN = [made("gwd", "repeat", 40.0), made("nginx", "repeat", 20.0), made("gwd", "close", 9.0)]
NOW = [made("gwd", "repeat", 60.0), made("nginx", "repeat", 60.0), failure("envoy", "repeat", "no")]


def meta(started: str, **versions: str) -> dict[str, Any]:
    return {**machine.meta("loadtests.compare", versions), "started": started}


def store(directory: Path, started: str, rounds: list[Round], before: history.Kept | None) -> None:
    keep(directory, rounds, meta(started, nginx="1.22"), {"rounds": 2, "seconds": 3}, before)


def test_what_is_kept_can_be_read_again(tmp_path: Path) -> None:
    store(tmp_path / "one", "2026-01-02T03:04:05+00:00", THEN, None)
    kept = history.read(tmp_path / "one")
    assert list(kept.rounds) == THEN
    assert kept.when == "2026-01-02T03:04:05+00:00"
    assert kept.versions["nginx"] == "1.22"
    assert json.loads((tmp_path / "one" / "meta.json").read_text())["seconds"] == 3


def test_what_is_not_known_is_kept_as_that(tmp_path: Path) -> None:
    unknown = Round("gwd", "repeat", 50.0, 40.0, Load(1000, 333.4, None, None, ""))
    rounds = [unknown, made("nginx", "repeat", 25.0)]
    store(tmp_path / "then", "2026-01-02", rounds, None)
    plain = json.loads((tmp_path / "then" / history.ROUNDS).read_text())
    assert plain["rounds"][0]["load"]["p50_ms"] is None
    kept = history.read(tmp_path / "then")
    assert list(kept.rounds) == rounds
    store(tmp_path / "now", "2026-01-03", rounds, kept)
    text = (tmp_path / "now" / "report.md").read_text()
    assert "| repeat | gwd | 50.0-50.0 |  | 333 | - | - | 40 |" in text
    assert "| repeat | nginx | 2.00 | 2.00 | 1.00 |" in text


def test_the_last_report_is_the_youngest_other_one(tmp_path: Path) -> None:
    for name, started in (("b", "2026-01-02"), ("a", "2026-03-04"), ("own", "2026-05-06")):
        store(tmp_path / name, started, THEN, None)
    (tmp_path / "of-something-else").mkdir()
    last = history.last(tmp_path, tmp_path / "own")
    assert last is not None
    assert last.name == "a"
    assert history.last(tmp_path / "of-something-else") is None


def test_ratios_then_and_now(tmp_path: Path) -> None:
    store(tmp_path / "then", "2026-01-02", THEN, None)
    text = history.compare(NOW, {"nginx": "1.24"}, history.read(tmp_path / "then"))
    assert "| repeat | nginx | 2.00 | 1.00 | 0.50 |" in text
    assert "envoy" not in text
    assert "- nginx: 1.22 → 1.24" in text


def test_nothing_in_common_is_said(tmp_path: Path) -> None:
    store(tmp_path / "then", "2026-01-02", THEN, None)
    kept = history.read(tmp_path / "then")
    assert "no work and peer in common" in history.compare([made("gwd", "jwt", 1.0)], {}, kept)


def test_a_report_names_all_that_it_was_made_with(tmp_path: Path) -> None:
    store(tmp_path / "then", "2026-01-02", THEN, None)
    store(tmp_path / "now", "2026-01-03", NOW, history.read(tmp_path / "then"))
    text = (tmp_path / "now" / "report.md").read_text()
    for part in ("# Comparison, 2026-01-03", "commit", "cores", "nginx: 1.22", "failed: no"):
        assert part in text
    for name in ("cpu.svg", "ratios.svg"):
        assert f"]({name})" in text
        assert (tmp_path / "now" / name).exists()


def test_the_reports_in_the_clone_can_be_read() -> None:
    found = [path.parent for path in KEPT.glob(f"*/{history.ROUNDS}")]
    assert found
    for report in found:
        assert history.read(report).rounds
