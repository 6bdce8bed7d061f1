"""How many cores this process may really use: affinity, and the quota of its control groups."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def usable_cores(membership: Path = Path("/proc/self/cgroup"), root: Path = CGROUP_ROOT) -> int:
    """The smaller of the CPU affinity and the tightest `cpu.max` above us (cgroup v2), at least 1.

    A quota of one and a half cores counts as two: a worker more costs little, an idle half does.
    """
    cores = len(os.sched_getaffinity(0))
    for quota in _quotas(membership, root):
        cores = min(cores, math.ceil(quota))
    return max(1, cores)


def _quotas(membership: Path, root: Path) -> list[float]:
    """Quotas in cores of our cgroup and all above it; empty where there is no cgroup v2."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return []
    quotas = []
    group = root / path.lstrip("/")
    for directory in (group, *group.parents):
        if root not in (directory, *directory.parents):
            break
        try:
            quota, period = (directory / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            quotas.append(int(quota) / int(period))
    return quotas
