"""Which address a command means, and who keeps it out: for ban, unban, bans and status.

Strategy. The commands ask no process: they read the segment, and of the running config what the pid
file tells (`Found`). Whether the kernel drops one address is said only where it follows from that:
its filter holds all that it may drop, or its size says that some were left out, and then no row
claims to know which.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from gwd.segment.bans import Ban, Bans, FilterView
    from gwd.supervisor.pidfile import Found

KERNEL, CLOSE, REFUSE = "kernel", "close", "refuse"
"""How bans are kept: SYNs dropped, connections reset at accept, requests answered by 429."""
WORKERS, EITHER = "workers", "kernel or workers"


class Whom(NamedTuple):
    """Whom a ban is about: the limiter's key, its prefix, and how it is written."""

    key: bytes
    prefix: int
    text: str


def whom(text: str, found: Found) -> Whom:
    """The address `text` as the gateway counts it: IPv4 also where it is mapped into IPv6, IPv6 by
    its network, which may be written out. Raises click.BadParameter for anything else."""
    from gwd.http.addresses import limit_key

    address, slash, length = text.partition("/")
    try:
        key = limit_key(address, found.ipv6_prefix)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an IP address") from None
    prefix = 32 if len(key) == 4 else found.ipv6_prefix
    if slash and length != str(prefix):
        raise click.BadParameter(
            f"{text!r} is not what is banned at a time: one IPv4 address, or IPv6 by "
            f"/{found.ipv6_prefix}; limits.deny takes networks"
        )
    return Whom(key, prefix, written(key, prefix))


def written(key: bytes, prefix: int) -> str:
    """A ban's key as text: 203.0.113.7, 2001:db8::/64."""
    from gwd.http.addresses import unpack

    return unpack(key) if prefix == 8 * len(key) else f"{unpack(key)}/{prefix}"


def those_that_hold(text: str, running: Iterable[Ban]) -> list[Whom]:
    """The `running` bans that hold the address `text`, or are the network `text`. There may be
    several: each is of the size that per_ip.ipv6_prefix had when it was made. Raises
    click.BadParameter."""
    from gwd.http.addresses import limit_key, pack

    address, slash, length = text.partition("/")
    try:
        family = len(pack(address))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an IP address") from None
    return [
        Whom(ban.key, ban.prefix, written(ban.key, ban.prefix))
        for ban in running
        if len(ban.key) == family
        and limit_key(address, ban.prefix) == ban.key
        and (not slash or length == str(ban.prefix))
    ]


def protected_by(text: str, found: Found) -> str:
    """What keeps the address `text` from being banned, "" if nothing does."""
    from gwd.http.addresses import Networks

    address = text.partition("/")[0]
    for key, networks in found.never_banned.items():
        for network in networks:
            if Networks([network]).contains(address):
                return f"{network} is in {key}"
    return ""


PATIENCE = 2.0
"""Seconds for which a change is tried that other processes' changes are in the way of."""
BUSY = "holds the lock of the bans, stopped perhaps; try again"
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def patiently(change: Callable[[], bool], otherwise: str) -> bool | None:
    """What `change` returns, tried again for a while if it raises TimeoutError: other processes
    were changing the bans. None, and `otherwise` on stderr, if it always did.

    Ctrl-C waits for the end of a try: a change cut short would have all workers look at the bans
    again and again, until the next one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        try:
            return change()
        except TimeoutError:
            if time.monotonic() > deadline:
                click.echo(f"gwd: {otherwise}", err=True)
                return None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        time.sleep(0.01)


def now_us() -> int:
    return time.monotonic_ns() // 1000


# who keeps them out


class Enforcement(NamedTuple):
    """How bans are kept: KERNEL, CLOSE or REFUSE; `error` says why the kernel does not although
    it should, "" if there is no such thing."""

    how: str
    error: str = ""

    @classmethod
    def of(cls, view: FilterView, found: Found) -> Enforcement:
        from gwd.segment.bans import FILTER_FAILED

        if found.ban_action != "drop":
            return cls(found.ban_action)
        if view.state == FILTER_FAILED:
            return cls(CLOSE, os.strerror(view.errno))
        return cls(KERNEL)


def droppable(running: Iterable[Ban], found: Found) -> list[Ban]:
    """Those of whom the kernel may drop the SYNs: met as peers of TCP connections, and without
    anybody in their network who is never banned."""
    from gwd.http.addresses import Networks

    spared = Networks(each for networks in found.never_banned.values() for each in networks)

    def spares(ban: Ban) -> bool:
        bits = 8 * len(ban.key)
        last = int.from_bytes(ban.key, "big") | (1 << bits - ban.prefix) - 1
        return spared.overlap(ban.key, last.to_bytes(len(ban.key), "big"))

    return [ban for ban in running if ban.peer and not spares(ban)]


def kept_by(bans: Bans, running: Sequence[Ban], now: int, found: Found) -> dict[bytes, str]:
    """Who keeps each of the `running` ones of `bans`, by key: KERNEL or WORKERS, or EITHER if
    the filter had no room for all and the order in which it is filled does not tell."""
    from gwd.segment.bans import BY_HAND, FILTER_ON

    kept = dict.fromkeys((ban.key for ban in running), WORKERS)
    view = bans.filter()
    if view.state != FILTER_ON or Enforcement.of(view, found).how != KERNEL:
        return kept
    fresh = set()
    if view.sequence != bans.sequence:
        fresh = {ban.key for ban in bans.running(now, view.sequence)}
    seen = [ban for ban in droppable(running, found) if ban.key not in fresh]
    first = [ban for ban in seen if ban.reason == BY_HAND]
    room = view.addresses
    sure = seen if room >= len(seen) else first if room >= len(first) else []
    kept.update((ban.key, EITHER) for ban in seen)
    kept.update((ban.key, KERNEL) for ban in sure)
    return kept


def reason(ban: Ban) -> str:
    from gwd.segment.bans import BY_HAND

    return "by hand" if ban.reason == BY_HAND else "rate"
