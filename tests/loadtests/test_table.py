"""The table of a run: lowest to highest of the good rounds, and no failure goes untold."""

from __future__ import annotations

from loadtests.compare import rounds as of_rounds
from loadtests.compare.rounds import Round, failure
from loadtests.compare.table import COLUMNS, table
from loadtests.compare.wrk import Load


def made(peer: str, work: str, cpu: float, errors: str = "") -> Round:
    return Round(peer, work, cpu, 40.0, Load(1000, 333.4, 1.234, 5.678, errors))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_costs_and_ratios() -> None:
    rounds = [
        made("gwd", "repeat", 30.0),
        made("nginx", "repeat", 20.0),
        made("gwd", "repeat", 33.0),
        made("nginx", "repeat", 24.0),
    ]
    lines = table(rounds).splitlines()
    assert cells(lines[0]) == list(COLUMNS)
    assert cells(lines[2]) == ["repeat", "gwd", "30.0-33.0", "", "333", "1.23", "5.68", "40"]
    assert cells(lines[3]) == ["repeat", "nginx", "20.0-24.0", "1.50", "333", "1.23", "5.68", "40"]


def test_a_failed_round_counts_for_nothing_and_is_told() -> None:
    rounds = [made("gwd", "repeat", 1.0, "timeout 3"), made("gwd", "repeat", 30.0)]
    (line,) = table(rounds).splitlines()[2:]
    assert cells(line)[2] == "30.0-30.0 (1 of 2 rounds failed: timeout 3)"


def test_a_peer_that_failed_always_has_a_row_and_no_figures() -> None:
    rounds = [made("gwd", "repeat", 30.0), failure("envoy", "repeat", "did not\nstart | at all")]
    line = table(rounds).splitlines()[3]
    assert cells(line) == ["repeat", "envoy", "failed: did not start / at all", *[""] * 5]
    assert of_rounds.ratio(rounds, "repeat", "envoy") is None


def test_a_peer_takes_part_where_it_can() -> None:
    rounds = [
        made("gwd", "repeat", 30.0),
        made("nginx", "repeat", 20.0),
        made("gwd", "jwt", 40.0),
    ]
    rows = [cells(line)[:2] for line in table(rounds).splitlines()[2:]]
    assert rows == [["repeat", "gwd"], ["repeat", "nginx"], ["jwt", "gwd"]]


def test_the_cost_of_a_part() -> None:
    (line,) = table([made("gwd", "aggregate", 90.0)], {"aggregate": 3}).splitlines()[2:]
    assert cells(line)[2] == "90.0-90.0 (30.0 per part)"


def test_gwd_is_not_compared_with_itself() -> None:
    assert of_rounds.ratio([made("gwd", "repeat", 30.0)], "repeat", "gwd") is None


def test_a_percentile_that_is_not_known_is_no_figure() -> None:
    unknown = Round("gwd", "repeat", 30.0, 40.0, Load(1000, 333.4, None, 0.0, ""))
    (line,) = table([unknown]).splitlines()[2:]
    assert cells(line)[5:7] == ["-", "-"]
