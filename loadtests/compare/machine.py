"""What a run was made with: versions, command, commit, cores. Without it figures mean nothing."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gwd
from loadtests.compare.running import program

ROOT = Path(__file__).resolve().parents[2]


def meta(module: str, versions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What belongs into a meta.json of a run of `python -m MODULE`."""
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "-m", module, *sys.argv[1:]]),
        "commit": commit(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release(),
        "load_average": os.getloadavg(),
        "versions": {"interpreter": sys.version.split()[0], **(versions or {})},
    }


def keep(directory: Path, found: Mapping[str, Any]) -> None:
    """Write what `meta` found beside a report in `directory`."""
    (directory / "meta.json").write_text(json.dumps(found, indent=1) + "\n")


def programs(*names: str) -> dict[str, str]:
    """The versions of gwd, and of those of `names` that are installed; each must tell it at -v."""
    there = {name: where for name in names if (where := program(name))}
    return {"gwd": gwd.__version__} | {name: version((w, "-v")) for name, w in there.items()}


def words(found: Mapping[str, Any]) -> str:
    """What `meta` found, as a list in Markdown."""
    lines = [
        f"- command: `{found['command']}`",
        f"- commit: {found['commit']}",
        f"- machine: {found['cpu']}, {found['cores']} cores, {found['memory_gib']} GiB, "
        f"Linux {found['kernel']}; load average at the start {found['load_average'][0]:.2f}",
    ]
    return "\n".join(lines + [f"- {name}: {text}" for name, text in found["versions"].items()])


def commit() -> str:
    """The commit of the clone, and whether what was measured differs from it."""
    short = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", "gwd")
    return (short or "unknown") + (", with changes to gwd/" if changed else "")


def cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def version(command: Sequence[str]) -> str:
    """The first line in which a program tells its version, without the place it lies in."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    text = (done.stdout + done.stderr).replace(command[0], Path(command[0]).name)
    return next((line for line in text.splitlines() if line.strip()), "unknown").strip()


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
