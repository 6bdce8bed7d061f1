"""The controller's look at the bans: it tells of new ones, and has the kernel drop their SYNs.

Strategy. Four times a second it looks whether a ban was made, lifted or has run out. If so, the
addresses that may be dropped are compiled into one filter (`packet_filter`), which the supervisor
puts on every listener, for it owns them all. The supervisor answers in the segment (`Bans.filter`):
if the kernel had no memory for so long a program (a small net.core.optmem_max), half as many are
tried at the next look; if it refuses for another reason, the workers go on closing at accept.

Only real peers of TCP connections are compiled in, never addresses that a proxy named, and nothing
that overlaps `limits.exempt` or `server.trusted_proxies` (SEC-41). Those banned by hand come first,
then those that were busiest. What does not fit is closed at accept.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable

from gwd.config.snapshot import Snapshot
from gwd.controller.packet_filter import MAX_INSTRUCTIONS, Network, compile_filter
from gwd.http.addresses import network, unpack
from gwd.policies.shed import DEFAULT_ACTION
from gwd.process.events import Log
from gwd.segment.bans import BY_HAND, FILTER_FAILED, Ban, Bans
from gwd.segment.memory import Segment

EVERY = 0.25
"""Seconds between two looks: the filter is replaced at most so often."""
MOST_LINES = 10
"""Bans told of one by one per look."""
LEAST_INSTRUCTIONS = 64
_SCARCE = (errno.ENOMEM, errno.ENOBUFS)

Tell = Callable[[dict[str, object]], None]
"""Says a message to the supervisor."""


class BanWatch:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, segment: Segment, tell: Tell, log: Log
    ) -> None:
        self._loop = loop
        self._bans = Bans(segment)
        self._tell, self._log = tell, log
        self._drops = False
        self._never: list[tuple[bytes, bytes]] = []
        self._most = MAX_INSTRUCTIONS
        self._seen = 0
        self._told = 0
        self._next_end = 0
        self._again = True
        """Whether to look whatever has happened: the config is new, or the controller."""

    def configure(self, snapshot: Snapshot) -> None:
        """Take a (new) config, which is looked at by the next look."""
        ban = snapshot.limits.ban
        self._drops = (DEFAULT_ACTION if ban is None else ban.action) == "drop"
        cidrs = (*snapshot.limits.exempt, *snapshot.server.trusted_proxies)
        self._never = [network(cidr) for cidr in cidrs]
        self._most = MAX_INSTRUCTIONS
        self._again = True

    def start(self) -> None:
        # What was banned before this controller was there has been told of.
        self._told = self._bans.sequence
        self._loop.call_later(EVERY, self._turn)

    def _turn(self) -> None:
        self._loop.call_later(EVERY, self._turn)
        self.look(time.monotonic_ns() // 1000)

    def look(self, now_us: int) -> None:
        """See to whatever has changed by `now_us`."""
        sequence = self._bans.sequence
        if sequence == 0:
            return  # nobody was ever banned
        ran_out = self._next_end and now_us >= self._next_end
        if sequence != self._seen or ran_out or self._again or self._had_no_room():
            self._again = False
            # An odd one: a change is under way, or its maker was killed.
            self._seen = -1 if sequence & 1 else sequence
            running = self._bans.running(now_us)
            self._next_end = min((ban.until for ban in running), default=0)
            self._tell_of(now_us)
            self._compile(running, sequence)

    def _had_no_room(self) -> bool:
        """Whether the kernel has refused the last filter for its size; then half of it is tried."""
        view = self._bans.filter()
        if view.state != FILTER_FAILED or view.errno not in _SCARCE:
            return False
        if view.sequence != self._seen or self._most <= LEAST_INSTRUCTIONS:
            return False
        self._most //= 2
        return True

    def _compile(self, running: list[Ban], sequence: int) -> None:
        droppable = [ban for ban in running if self._drops and ban.peer and not self._holds(ban)]
        droppable.sort(key=lambda ban: (ban.reason != BY_HAND, -ban.weight))
        networks: list[Network] = [(ban.key, ban.prefix) for ban in droppable]
        made = compile_filter(networks, self._most)
        self._tell(
            {
                "op": "ban_filter",
                "program": made.program,
                "addresses": made.networks,
                "sequence": sequence,
            }
        )

    def _holds(self, ban: Ban) -> bool:
        """Whether somebody who is never banned has an address within `ban`."""
        bits = 8 * len(ban.key)
        first = int.from_bytes(ban.key, "big")
        last = (first | (1 << (bits - ban.prefix)) - 1).to_bytes(len(ban.key), "big")
        return any(
            len(low) == len(ban.key) and low <= last and ban.key <= high
            for low, high in self._never
        )

    def _tell_of(self, now_us: int) -> None:
        fresh = self._bans.running(now_us, self._told)
        self._told = self._bans.sequence & ~1
        for ban in fresh[:MOST_LINES]:
            self._log(
                "warning",
                "banned",
                ip=unpack(ban.key),
                prefix=ban.prefix,
                seconds=round((ban.until - ban.start) / 1e6, 1),
                reason="by_hand" if ban.reason == BY_HAND else "rate",
            )
        if len(fresh) > MOST_LINES:
            self._log("warning", "banned", detail=f"{len(fresh) - MOST_LINES} more at once")
