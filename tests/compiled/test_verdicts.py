"""The compiled form comes to the same verdicts as the plain one (run by `make test-compiled`).

Each form runs in a process of its own over the same inputs; what they say is compared line by line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("outcomes.py")
SEED, NUMBER = 20261124, 6_000


def outcomes(*arguments: str, plain: bool) -> list[str]:
    """What `outcomes.py` says, run on the installed form or on the source tree."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    environ.pop("PYTHONPATH", None)
    if plain:
        environ["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(SEED), str(NUMBER), *arguments],
        env=environ,
        cwd=PROGRAM.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    form, *lines = done.stdout.splitlines()
    assert form.endswith(".py") == plain, form
    assert len(lines) > 2 * NUMBER
    return lines


def test_both_forms_come_to_the_same_on_corpora_mutations_and_pieces() -> None:
    compiled, plain = outcomes(plain=False), outcomes(plain=True)
    assert [pair for pair in zip(compiled, plain, strict=True) if pair[0] != pair[1]] == []
    ends = Counter(line.partition(" ")[0] for line in plain)
    assert ends["failed"] == 0
    assert min(ends["passed"], ends["refused"]) > NUMBER // 4, "neither must be rare"


def test_a_bound_that_differs_is_seen() -> None:
    assert outcomes("planted", plain=True) != outcomes(plain=True)
