"""accuracy: one address asks ten times too often; how much it is given, and what others lose.

Due is rate x time + burst, from its first request to its last. Worse than plain, a worker is
killed every second, and the config is reloaded every second. By IPv6, the offender's 32
connections come from 32 addresses of one /64, which count as one.

Then with a limit so wide that workers count a busy address in advance (`gwd.policies.shed`): who
keeps below it must not be refused once, and who does not must get no more than is due.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtests.limits.beside import Beside, may_have_network, own_network
from loadtests.limits.gateway import Gateway
from loadtests.limits.paced import Told, pace
from loadtests.limits.report import Show

RATE, BURST = 100, 50
OFFERED, CONNECTIONS, NEIGHBOUR = 1000, 32, 50
WIDE, WIDE_BURST = 2000, 1000
BUSY = (1800, 2400)
"""Requests per second that a busy address asks for."""
TROUBLES = ("none", "a worker killed every second", "a reload every second")


def config(rate: int, burst: int) -> str:
    return f"""
[limits.per_ip]
rate = "{rate}/s"
burst = {burst}
[segment]
max_workers = 4
max_ips = 1024
"""


@dataclass(slots=True)
class Outcome:
    offender: Told
    neighbour: Told
    blows: int
    """Kills or reloads."""

    @property
    def due(self) -> float:
        return RATE * self.offender.seconds + BURST

    @property
    def deviation(self) -> float:
        """What was admitted more than was due, as a share of that."""
        return self.offender.good / self.due - 1


def measure(room: Path, seconds: float, trouble: str, *, ipv6: bool = False) -> Outcome:
    with Gateway(room, config(RATE, BURST), workers=4, faces_all=ipv6) as running:
        if ipv6:
            address = ("2001:db8:ffff::1", running.port)
            offenders = [f"2001:db8:0:1::{n + 1:x}" for n in range(CONNECTIONS)]
            good = ["2001:db8:0:2::1"]
        else:
            address = ("127.0.0.1", running.port)
            offenders, good = ["127.0.0.2"], ["127.0.0.3"]
        with (
            Beside(pace, address, NEIGHBOUR, seconds, good, connections=4) as neighbour,
            Beside(pace, address, OFFERED, seconds, offenders, connections=CONNECTIONS) as bad,
        ):
            blows = _disturb(running, trouble, seconds)
            return Outcome(bad.result(), neighbour.result(), blows)


def _disturb(running: Gateway, trouble: str, seconds: float) -> int:
    blow = _BLOWS.get(trouble)
    if blow is None:
        return 0
    begin = time.monotonic()
    count = 0
    while begin + count + 1.5 < begin + seconds:
        time.sleep(max(0.0, begin + count + 0.5 - time.monotonic()))
        blow(running, count)
        count += 1
    return count


def _kill_one(running: Gateway, number: int) -> None:
    workers = running.workers()
    if workers:
        os.kill(workers[number % len(workers)], signal.SIGKILL)


def _reload(running: Gateway, _number: int) -> None:
    running.reload()


_BLOWS: dict[str, Callable[[Gateway, int], None]] = {
    TROUBLES[1]: _kill_one,
    TROUBLES[2]: _reload,
}


def show(room: Path, seconds: float) -> Show:
    table = Show(
        "accuracy",
        "How exact the limit is",
        f"Four workers, {RATE}/s with burst {BURST} per address, no bans. One address offers "
        f"{OFFERED}/s over {CONNECTIONS} connections for {seconds:g} s, a neighbour asks "
        f"{NEIGHBOUR}/s. Due is rate × time + burst. Cut: requests that were in a worker when it "
        "was killed. Deviation: of admitted from due.",
        (
            "by", "trouble", "blows", "offered/s", "admitted/s", "admitted", "due", "deviation",
            "cut", "neighbour asked", "refused", "cut ",
        ),
    )  # fmt: skip
    for family in ("IPv4", "IPv6"):
        if family == "IPv6" and not may_have_network():
            table.note("IPv6 was left out: a network namespace of its own needs root.")
            continue
        for number, trouble in enumerate(TROUBLES):
            place = room / f"accuracy-{family}-{number}"
            if family == "IPv6":
                # Its own process: who has left a network does not come back.
                beside = Beside(own_network, measure, place, seconds, trouble, ipv6=True)
                outcome = beside.result(seconds + 60)
            else:
                outcome = measure(place, seconds, trouble)
            _add(table, family, trouble, outcome)
    return table


def measure_busy(room: Path, seconds: float, offered: float) -> Told:
    with Gateway(room, config(WIDE, WIDE_BURST), workers=4) as running:
        address = ("127.0.0.1", running.port)
        return pace(address, offered, seconds, ["127.0.0.2"], connections=CONNECTIONS)


def show_busy(room: Path, seconds: float) -> Show:
    table = Show(
        "busy",
        "How exact it is where requests are counted in advance",
        f"Four workers, {WIDE}/s with burst {WIDE_BURST} per address; one address asks for "
        f"{seconds:g} s over {CONNECTIONS} connections. Due is what it asks, and at most rate × "
        "time + burst.",
        ("offered/s", "admitted", "due", "deviation", "refused", "cut"),
    )
    for number, offered in enumerate(BUSY):
        told = measure_busy(room / f"busy-{number}", seconds, offered)
        due = min(told.offered, WIDE * told.seconds + WIDE_BURST)
        table.add(
            told.offered / told.seconds,
            told.good,
            f"{due:.0f}",
            f"{told.good / due - 1:+.2%}",
            told.statuses[429],
            told.cut + told.silent,
        )
    return table


def _add(table: Show, family: str, trouble: str, outcome: Outcome) -> None:
    bad, good = outcome.offender, outcome.neighbour
    table.add(
        family,
        trouble,
        outcome.blows,
        bad.offered / bad.seconds,
        bad.good / bad.seconds,
        bad.good,
        f"{outcome.due:.0f}",
        f"{outcome.deviation:+.2%}",
        bad.cut + bad.silent,
        good.offered,
        good.statuses[429],
        good.cut + good.silent,
    )
