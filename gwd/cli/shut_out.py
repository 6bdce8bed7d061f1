"""Which address a command means, and what is done about those shut out: for ban, unban and bans."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from gwd.segment.bans import Ban, FilterView
    from gwd.supervisor.pidfile import Found


class Whom(NamedTuple):
    """Whom a ban is about: the limiter's key, its prefix, and how it is written."""

    key: bytes
    prefix: int
    text: str


def whom(text: str, found: Found) -> Whom:
    """The address `text` as the gateway counts it: IPv4 also where it is mapped into IPv6, IPv6 by
    its network. Raises click.BadParameter for what is no address."""
    from gwd.http.addresses import canonical, limit_key

    try:
        address = canonical(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an IP address") from None
    key = limit_key(address, found.ipv6_prefix)
    prefix = 32 if len(key) == 4 else found.ipv6_prefix
    return Whom(key, prefix, written(key, prefix))


def written(key: bytes, prefix: int) -> str:
    """A ban's key as text: 203.0.113.7, 2001:db8::/64."""
    import socket

    if len(key) == 4:
        return socket.inet_ntop(socket.AF_INET, key)
    text = socket.inet_ntop(socket.AF_INET6, key)
    return text if prefix == 128 else f"{text}/{prefix}"


def protected_by(text: str, found: Found) -> str:
    """The network among those never banned that holds the address `text`, "" if none does."""
    from gwd.http.addresses import Networks, canonical

    address = canonical(text)
    return next((each for each in found.never_banned if Networks([each]).contains(address)), "")


PATIENCE = 2.0
"""Seconds for which a change is tried that other processes' changes are in the way of."""


def patiently(change: Callable[[], bool]) -> bool | None:
    """What `change` returns, tried again for a while if it raises TimeoutError: other processes
    were changing the bans. None, and a line on stderr, if they never let it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return change()
        except TimeoutError:
            if time.monotonic() > deadline:
                click.echo("gwd: another process keeps changing the bans; try again", err=True)
                return None
            time.sleep(0.01)


def now_us() -> int:
    return time.monotonic_ns() // 1000


def kernel_says(view: FilterView) -> str:
    """What the kernel does about bans, in a few words."""
    from gwd.segment.bans import FILTER_FAILED, FILTER_ON

    if view.state == FILTER_ON:
        return f"kernel ({view.addresses} addresses)"
    if view.state == FILTER_FAILED:
        return f"workers only (the kernel took no filter: {os.strerror(view.errno)})"
    return "workers"


def reason(ban: Ban) -> str:
    from gwd.segment.bans import BY_HAND

    return "by hand" if ban.reason == BY_HAND else "rate"
