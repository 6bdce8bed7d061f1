"""The real race of keep-alive, between processes: the upstream closes as the request is sent.

No GET fails of it, and no POST is executed twice (the rules for retries, RFC 9112 section 9.3.1).
The upstream closes each connection after a random idle time, and executes only what it has read;
so a POST that got 502 was not executed at all, and any other exactly once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from race.clients import Tally, ask_all
from rig.configs import config
from rig.kinds import StartGateway

SERVER = Path(__file__).parent / "race" / "server.py"
LONG = [pytest.mark.slow, pytest.mark.timeout(1800)]


def _race(
    gateway: StartGateway, number: int, *, clients: int, most_idle: float
) -> tuple[Tally, Counter[str]]:
    """What the clients got for `number` GETs and POSTs, and what the upstream executed."""
    asked = [(method, f"/{n}") for n in range(number) for method in ("GET", "POST")]
    with subprocess.Popen(
        [sys.executable, str(SERVER), "7", str(most_idle)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        running = gateway(config(f"127.0.0.1:{port}", server=('access_log = "off"',)))
        tally = ask_all(running.address, asked, clients=clients, most_pause=1.1 * most_idle)
        told, _ = server.communicate(timeout=20)
    counted = json.loads(told)
    executed = Counter(counted["executed"])
    print(
        f"{len(asked)} asked, {executed.total()} executed over {counted['connections']}"
        f" connections, {counted['closed_idle']} closed while idle;"
        f" GET {dict(tally.count('GET'))}, POST {dict(tally.count('POST'))}"
    )
    assert tally.strangers == []
    assert len(tally.statuses) == len(asked)
    assert counted["closed_idle"] >= len(asked) // 50, "there was no race"
    return tally, executed


def _check(number: int, tally: Tally, executed: Counter[str]) -> None:
    assert tally.count("GET") == {200: number}
    posts = {each: status for each, status in tally.statuses.items() if each.startswith("POST ")}
    assert set(posts.values()) <= {200, 502}
    twice = {each: count for each, count in executed.items() if count > 1 and each in posts}
    assert twice == {}
    dishonest = {each: s for each, s in posts.items() if executed[each] != (s == 200)}
    assert dishonest == {}


@pytest.mark.parametrize("number", [1_000, pytest.param(100_000, marks=LONG)])
def test_no_get_fails_and_no_post_is_executed_twice(gateway: StartGateway, number: int) -> None:
    _check(number, *_race(gateway, number, clients=8, most_idle=0.05))


@pytest.mark.parametrize("number", [2_000, pytest.param(100_000, marks=LONG)])
def test_a_get_does_not_go_from_one_dying_connection_to_the_next(
    gateway: StartGateway, number: int
) -> None:
    """Many clients, and connections that hardly outlive their answer: what another exchange gives
    back is no fresh connection."""
    tally, executed = _race(gateway, number, clients=64, most_idle=0.002)
    _check(number, tally, executed)
    assert tally.count("POST")[200] > 0.8 * number
