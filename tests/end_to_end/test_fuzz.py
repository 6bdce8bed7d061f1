"""The mutation fuzzer (tests/end_to_end/fuzz/README.md): a few thousand executions from one seed.

`make prove` runs the long form, from a seed of the day, which is printed.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fuzz.campaign import run
from fuzz.clients import attack
from fuzz.cost import measure
from fuzz.upstream import hostile, token

DAY = int(time.time()) // 86400
LONG = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    ("seed", "executions"), [(1, 2_560), pytest.param(DAY, 200_000, marks=LONG)], ids=str
)
def test_nothing_is_found(tmp_path: Path, seed: int, executions: int) -> None:
    report = run(tmp_path / "gateway", seed, range(executions))
    print(report.text())
    assert report.findings == [], report.text()
    assert report.executions == executions
    # A fuzzer whose every input is refused at the door finds nothing either.
    assert report.passed_on > executions // 4
    assert report.statuses["200"] > executions // 10


@pytest.mark.parametrize(
    ("seed", "reads"), [(1, 25), pytest.param(DAY, 2_000, marks=LONG)], ids=str
)
def test_no_read_is_costly_out_of_proportion(seed: int, reads: int) -> None:
    report = measure(seed, reads)
    print(report.text())
    assert report.findings == [], report.text()


def test_an_execution_is_decided_by_its_seed_and_number() -> None:
    numbers = range(200)
    attacks = [attack(7, number) for number in numbers]
    assert attacks == [attack(7, number) for number in numbers]
    assert attacks != [attack(8, number) for number in numbers]
    answers = [hostile(7, number, token("127.1.0.1"), small=True) for number in numbers]
    assert answers == [hostile(7, number, token("127.1.0.1"), small=True) for number in numbers]
