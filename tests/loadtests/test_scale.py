"""Every size of every axis is a config that gwd takes, and a load that fits it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gwd.config.load import load
from loadtests.scale.axes import AXES, Axis
from loadtests.scale.service import MOST, addresses

SMALL = 1_000
"""Larger ones are the same but for their size, and take their time to be judged."""


def test_addresses_are_loopback_and_differ() -> None:
    found = addresses(MOST, 80)
    assert len(set(found)) == MOST
    assert all(address.startswith("127.2.") and address.endswith(":80") for address in found)


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_every_config_is_good(axis: Axis, tmp_path: Path) -> None:
    for size in (size for size in axis.sizes if size <= SMALL):
        subject = axis.subject(size, 9000)
        path = tmp_path / f"{size}.toml"
        path.write_text(f"[server]\n{subject.server}\n{subject.config}\n{subject.routes}")
        snapshot = load(str(path), {}).snapshot
        names = {route.name.encode() for route in snapshot.routes}
        assert names == set(subject.names)
