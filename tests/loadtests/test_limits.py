"""The shows of the limits work, and what they show holds: short, with coarse bounds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from loadtests.compare import machine
from loadtests.limits import accuracy, decisions, error, floods
from loadtests.limits.gateway import Gateway
from loadtests.limits.paced import pace
from loadtests.limits.report import Show, keep

SHORT = floods.Scale(seconds=1.0, before=0.5, clients=3000, clients_within=5.0)


def named(name: str) -> floods.Flood:
    (found,) = [flood for flood in floods.FLOODS if flood.name == name]
    return found


@pytest.mark.parametrize("trouble", accuracy.TROUBLES)
def test_an_address_gets_what_is_due_and_a_neighbour_loses_nothing(
    tmp_path: Path, trouble: str
) -> None:
    outcome = accuracy.measure(tmp_path / "gateway", 1.6, trouble)
    bad, good = outcome.offender, outcome.neighbour
    # Above: one per process, and per kill. Below: a busy machine may ask too seldom.
    assert 0.5 * outcome.due <= bad.good <= 1.05 * outcome.due + 4 + outcome.blows
    assert bad.statuses[429]
    assert good.statuses[429] == 0
    assert good.good + good.cut == good.offered
    assert good.cut <= 4 * outcome.blows if trouble == accuracy.TROUBLES[1] else good.cut == 0


def test_a_busy_address_below_its_limit_is_never_refused(tmp_path: Path) -> None:
    told = accuracy.measure_busy(tmp_path / "gateway", 1.0, 600)
    assert told.offered > 100
    assert told.good == told.offered


@pytest.mark.parametrize("pattern", error.PATTERNS, ids=lambda pattern: pattern.name)
def test_racing_processes_stay_within_the_bound_that_is_told(pattern: error.Pattern) -> None:
    show = error.show(0.3, 1, (2,), (pattern,))
    ((*_, above, may_be),) = show.rows
    assert float(above) <= float(may_be)


@pytest.mark.parametrize(
    "name",
    [
        "new clients, all the time, behind a proxy",
        "one address opens and closes connections",
        "a banned address sends SYNs, close",
    ],
)
def test_a_neighbour_is_served_during_a_flood(tmp_path: Path, name: str) -> None:
    outcome = floods.measure(named(name), tmp_path / "flood", SHORT)
    assert outcome.counts["tried"] or outcome.counts["sent"]
    for told in (outcome.before, outcome.during):
        assert told.good == told.offered > 0, told.statuses


def test_banned_addresses_get_no_answer(tmp_path: Path) -> None:
    few = two_banned()
    outcome = floods.measure(few, tmp_path / "flood", SHORT)
    assert outcome.counts["tried"] > 0
    assert outcome.counts["200"] == 0
    assert outcome.during.good == outcome.during.offered


def two_banned() -> floods.Flood:
    """As the flood of banned addresses, with so few that each has its row."""
    sources = ("127.66.0.1", "127.66.0.2")
    run = floods.connecting(sources, b"GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n")
    return floods.Flood("two banned", run, banned=sources)


def test_a_client_by_the_clock_says_what_it_could_not_send(tmp_path: Path) -> None:
    with Gateway(
        tmp_path / "gateway", accuracy.config(accuracy.RATE, accuracy.BURST), workers=1
    ) as running:
        port = running.port
        told = pace(("127.0.0.1", port), 40, 0.5, ["127.0.0.2"], connections=2)
    assert (told.wanted, told.offered, told.good) == (20, 20, 20)
    gone = pace(("127.0.0.1", port), 40, 0.2, ["127.0.0.2"])
    assert (gone.wanted, gone.offered, gone.good) == (8, 0, 0)


def test_the_limiter_and_redis_are_asked_the_same(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    assert decisions.in_process(64, 0.1) > 0
    spent = decisions.in_redis(tmp_path / "redis", 64, 0.3)
    assert spent is not None
    assert min(spent) > 0


def test_a_report_is_kept_in_both_forms(tmp_path: Path) -> None:
    show = Show("one", "One thing", "Looked at.", ("what", "much"))
    show.add("this", 1.25)
    show.note("That was all.")
    meta = machine.meta("loadtests.limits", {"nginx": "1.22"})
    keep([show], tmp_path / "report", meta)
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| what | much |\n| --- | --- |\n| this | 1.2 |" in text
    assert "That was all." in text
    for said in ("- command: `python -m loadtests.limits", f"- commit: {meta['commit']}"):
        assert said in text
    assert "- nginx: 1.22" in text
    plain = json.loads((tmp_path / "report" / "report.json").read_text())
    assert plain["shows"][0]["rows"] == [{"what": "this", "much": "1.2"}]
    kept = json.loads((tmp_path / "report" / "meta.json").read_text())
    assert kept.keys() >= {"command", "commit", "versions", "load_average"}
    assert kept["versions"]["nginx"] == "1.22"
