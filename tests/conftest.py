"""What holds for every test: long runs wait for `make prove`, and CI lets nothing be skipped.

`GWD_COMPILED=1` says that the compiled form is what is tested (`make test-compiled`). Which form is
found is looked at, so that no run proves the other one.

A test whose program is missing skips on a developer's machine and says what to install. Where
everything can be installed (`CI=true` or `GWD_NO_SKIP=1`) a skip would hide that something was
never tried, so there it is a failure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # for authority.py

NO_SKIP = os.environ.get("GWD_NO_SKIP") == "1" or os.environ.get("CI") == "true"
PROVE = os.environ.get("GWD_PROVE") == "1"
COMPILED = os.environ.get("GWD_COMPILED") == "1"

collect_ignore = [] if COMPILED else ["compiled"]


def pytest_configure() -> None:
    spec = find_spec("gwd.http.gate")
    if spec is None or spec.origin is None:
        raise pytest.UsageError("gwd is not installed here")
    if spec.origin.endswith(".py") == COMPILED:
        wanted = "compiled" if COMPILED else "plain"
        raise pytest.UsageError(f"the {wanted} form is to be tested, but {spec.origin} was found")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked slow, unless it was asked for, and what the form rules out."""
    out: list[pytest.Item] = []
    if not PROVE and not config.option.markexpr:
        out += [item for item in items if item.get_closest_marker("slow")]
    if COMPILED:
        out += [item for item in items if item.get_closest_marker("plain")]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if NO_SKIP and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
    return report
