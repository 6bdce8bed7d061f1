"""`[limits]`: who may come in, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gwd.config.tables.base import FROM_VARIABLE, Duration, Network, RateText, Table, key
from gwd.config.units import MOST_BURST


class PerIpTable(Table):
    """A token bucket per client address, counted over all workers. Off without this table."""

    rate: RateText = key(description='Requests per second or minute: "100/s", "6000/m".')
    burst: Annotated[int, Field(ge=1, le=MOST_BURST), FROM_VARIABLE] | None = key(
        default=None,
        description="Requests admitted at once; by default one second's worth, at least 1.",
    )
    ipv6_prefix: Annotated[int, Field(ge=32, le=128), FROM_VARIABLE] = key(
        default=64, description="IPv6 addresses that share this many bits count as one."
    )
    connections: Annotated[int, Field(ge=1, le=1_000_000), FROM_VARIABLE] = key(
        default=1000, description="Connections one address may have open at once."
    )
    mode: Literal["enforce", "observe"] = key(
        default="enforce", description='"observe" counts what would be refused, and lets it pass.'
    )


class BanTable(Table):
    """Bans of addresses that keep coming after being refused. Off without this table."""

    after: Annotated[float, Field(gt=0, le=3600)] = key(
        default=3.0, description="Seconds' worth of the rate refused within 10 s."
    )
    for_: Duration = key(default="60s", alias="for", description="How long a ban lasts.")
    action: Literal["drop", "close", "refuse"] = key(
        default="drop",
        description='"drop": the kernel drops its SYNs; "close": accept and close; "refuse": 429.',
    )


class LimitsTable(Table):
    """Limits that hold on every route."""

    exempt: list[Network] = key(default=[], description="Networks never limited or banned.")
    allow: list[Network] = key(
        default=[], description="If not empty, only these networks may come in; others get 403."
    )
    deny: list[Network] = key(default=[], description="Networks that get 403.")
    per_ip: PerIpTable | None = key(default=None, description="The limit per client address.")
    ban: BanTable | None = key(default=None, description="Bans.")
