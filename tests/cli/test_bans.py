"""`gwd ban`, `unban`, `bans`: quick to load, and clear without a daemon."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["ban", "unban", "bans"])
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        "import sys\nfrom gwd.cli import main\n"
        f"try: main([{command!r}, '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('pydantic', 'h11', 'uvloop', 'msgpack', 'jwt') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert "Examples:" in done.stdout


def test_without_a_daemon_the_exit_code_is_3(running):
    assert running.gwd("ban", "203.0.113.7").returncode == 3
    assert running.gwd("unban", "203.0.113.7").returncode == 3
    assert running.gwd("bans").returncode == 3


def test_a_ban_by_hand_is_listed_and_lifted(running):
    running.start()
    done = running.gwd("ban", "2001:db8::7", "--for", "90s")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("banned 2001:db8::/64 for 90s: ")
    assert second == "undo: gwd unban 2001:db8::"
    header, _, titles, row = running.gwd("bans").stdout.splitlines()
    assert header.startswith("1 banned  enforced by ")
    assert titles.split() == ["ADDRESS", "REASON", "SINCE", "LEFT", "MET", "AS"]
    assert row.split()[:3] == ["2001:db8::/64", "by", "hand"]
    assert "banned 1, turned away 0" in running.gwd("status").stdout
    assert running.gwd("unban", "2001:db8::").stdout == "unbanned 2001:db8::/64\n"
    assert running.gwd("bans").stdout.startswith("0 banned")


def test_another_prefix_comes_into_force_with_a_reload(running):
    running.start()
    with running.config.open("a") as file:
        file.write('[limits]\nexempt = ["203.0.113.0/24"]\n')
        file.write('[limits.per_ip]\nrate = "10/s"\nipv6_prefix = 48\n')
    assert running.gwd("reload").returncode == 0
    assert running.gwd("ban", "2001:db8:0:7::1").stdout.startswith("banned 2001:db8::/48 ")
    refused = running.gwd("ban", "203.0.113.7")
    assert refused.returncode == 1
    assert "203.0.113.0/24" in refused.stderr
