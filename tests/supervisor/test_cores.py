"""How many cores may be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gwd.supervisor.cores import usable_cores


@pytest.fixture
def group(tmp_path: Path):
    """Makes a cgroup tree; returns what usable_cores says in its innermost group."""

    def cores(*quotas: str) -> int:
        root = tmp_path / "cgroup"
        directory = root
        for depth, quota in enumerate(quotas):
            directory = directory / f"g{depth}"
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cpu.max").write_text(quota + "\n")
        membership = tmp_path / "membership"
        membership.write_text(f"0::/{directory.relative_to(root)}\n")
        return usable_cores(membership, root)

    return cores


AFFINITY = len(os.sched_getaffinity(0))


def test_without_a_quota_the_affinity_counts(group):
    assert group("max 100000") == AFFINITY


def test_a_quota_of_one_core_means_one(group):
    assert group("100000 100000") == 1


def test_the_tightest_quota_above_us_counts(group):
    assert group("50000 100000", "max 100000") == 1


def test_a_part_of_a_core_is_rounded_up(group):
    assert group("150000 100000") == min(2, AFFINITY)


def test_no_cgroups_no_quota(tmp_path: Path):
    assert usable_cores(tmp_path / "nothing", tmp_path) == AFFINITY


def test_a_cgroup_v1_membership_is_no_quota(tmp_path: Path):
    (tmp_path / "m").write_text("4:cpu,cpuacct:/x\n")
    assert usable_cores(tmp_path / "m", tmp_path) == AFFINITY
