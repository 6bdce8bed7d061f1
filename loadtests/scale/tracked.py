"""Addresses in a running gateway's table, as if each had been there once.

A million requests would take a minute for every gateway. So the addresses visit by a shorter way
(`loadtests.limits.crowd`). What stays is what a crowd leaves: marks, starts, addresses.
"""

from __future__ import annotations

from loadtests.limits.crowd import visits
from loadtests.limits.gateway import Gateway


def fill(gateway: Gateway, count: int) -> int:
    """Visit from the `count` addresses from 10.0.0.0 on; how many of them are tracked then."""
    with visits(gateway) as (visit, tracked):
        for number in range(count):
            visit(number)
        return tracked()
