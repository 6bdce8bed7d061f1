"""The controller's look at the bans: it tells of new ones, and has the kernel drop their SYNs.

Strategy. Four times a second it looks whether a ban was made, lifted or has run out. If so, the
addresses that may be dropped are compiled into one filter (`packet_filter`), which the supervisor
puts on every listener, for it owns them all. The supervisor answers in the segment (`Bans.filter`):
if the kernel had no memory for so long a program (a small net.core.optmem_max), half of it is tried
at the next look; if it refuses for another reason, the workers go on closing at accept. The answer
also names the change that was looked at, so commands see that theirs was, whatever came of it.

Only real peers of TCP connections are compiled in, never addresses that a proxy named, and nothing
that overlaps `limits.exempt` or `server.trusted_proxies` (SEC-41). Those banned by hand come first,
then those that were busiest. What does not fit is closed at accept.

A look at 1,000 bans takes 10 ms, at a full table of 32,768 a third of a second (measured): the rest
after it is longer by as much, so this never takes more than a fifth of the process's time.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Sequence

from gwd.config.snapshot import Snapshot
from gwd.controller.packet_filter import MAX_INSTRUCTIONS, Filter, compile_filter
from gwd.http.addresses import Networks, unpack
from gwd.process.events import Log
from gwd.segment.bans import BY_HAND, FILTER_FAILED, Ban, Bans
from gwd.segment.memory import Segment

EVERY = 0.25
"""Seconds between two looks: the filter is replaced at most so often."""
REST = 4
"""A look is followed by at least so many times its own time without one."""
MOST_LINES = 10
"""Events of a kind told of one by one per look."""
LEAST_INSTRUCTIONS = 64
"""If not even so many find memory, fewer would not help."""
_SCARCE = (errno.ENOMEM, errno.ENOBUFS)

Tell = Callable[[dict[str, object]], bool]
"""Says a message to the supervisor; False if that must be done later."""


class BanWatch:
    """Looks at the bans of `segment` from `start` on; `broken` hears of a fault of ours."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        segment: Segment,
        tell: Tell,
        log: Log,
        broken: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._bans = Bans(segment)
        self._tell, self._log, self._broken = tell, log, broken
        self._drops = False
        self._never = Networks(())
        self._most = MAX_INSTRUCTIONS
        self._seen = 0
        """The change up to which everything was looked at; -1 to look again in any case."""
        self._next_end = 0
        self._said: tuple[Filter, int] | None = None
        """The filter and the change that the supervisor heard of last."""
        self._known: dict[bytes, Ban] | None = None
        """The bans that were told of, by key; None before the first look."""

    def configure(self, snapshot: Snapshot) -> None:
        """Take a (new) config: the next look is at all bans."""
        self._drops = snapshot.limits.ban_action == "drop"
        self._never = Networks((*snapshot.limits.exempt, *snapshot.server.trusted_proxies))
        self._most = MAX_INSTRUCTIONS
        self._said = None
        self._seen = -1

    def start(self) -> None:
        """Look now, and from now on."""
        began = time.monotonic()
        try:
            self.look(time.monotonic_ns() // 1000)
        except Exception as error:
            self._broken(error)
            return
        pause = max(EVERY, REST * (time.monotonic() - began))
        self._loop.call_later(pause, self.start)

    def look(self, now_us: int) -> None:
        """See to whatever has changed by `now_us`, monotonic."""
        sequence = self._bans.sequence
        if not sequence:
            return  # nobody was ever banned
        ran_out = 0 < self._next_end <= now_us
        if sequence != self._seen or ran_out or self._had_no_room():
            running = self._bans.running(now_us)
            running.sort(key=lambda ban: (ban.reason != BY_HAND, -ban.weight, ban.key))
            self._next_end = min((ban.until for ban in running), default=0)
            self._tell_of(running, now_us)
            # An odd one: a change is under way, or its maker was killed. Only what was done before
            # it has surely been seen.
            said = self._say(running, sequence & ~1)
            self._seen = sequence if said and not sequence & 1 else -1

    def _had_no_room(self) -> bool:
        """Whether the kernel has refused the last filter for its size; then half of it is tried."""
        if self._said is None:
            return False
        filter_, sequence = self._said
        view = self._bans.filter()
        if view.state != FILTER_FAILED or view.errno not in _SCARCE:
            return False
        if (view.addresses, view.sequence) != (filter_.networks, sequence):
            return False  # that was about another one
        length = len(filter_.program) // 8
        if length <= LEAST_INSTRUCTIONS:
            return False
        self._most = length // 2
        return True

    def _say(self, running: Sequence[Ban], sequence: int) -> bool:
        """Have the supervisor know what to drop; whether it does."""
        droppable = (
            (ban.key, ban.prefix)
            for ban in running
            if self._drops and ban.peer and not self._spares(ban)
        )
        made = compile_filter(droppable, self._most)
        if (made, sequence) == self._said:
            return True
        said = self._tell(
            {
                "op": "ban_filter",
                "program": made.program,
                "addresses": made.networks,
                "sequence": sequence,
            }
        )
        if said:
            self._said = made, sequence
        return said

    def _spares(self, ban: Ban) -> bool:
        """Whether somebody who is never banned has an address within `ban`."""
        bits = 8 * len(ban.key)
        last = int.from_bytes(ban.key, "big") | (1 << (bits - ban.prefix)) - 1
        return self._never.overlap(ban.key, last.to_bytes(len(ban.key), "big"))

    # what people are told

    def _tell_of(self, running: Sequence[Ban], now_us: int) -> None:
        if self._known is None:  # the controller before us told of all it had looked at
            unseen = {ban.key for ban in self._bans.running(now_us, self._bans.filter().sequence)}
            self._known = {ban.key: ban for ban in running if ban.key not in unseen}
        before, self._known = self._known, {ban.key: ban for ban in running}
        fresh = [ban for ban in running if self._is_news(ban, before.get(ban.key))]
        for ban in fresh[:MOST_LINES]:
            self._log(
                "warning",
                "banned",
                ip=unpack(ban.key),
                prefix=ban.prefix,
                seconds=round((ban.until - ban.start) / 1e6, 1),
                reason="by_hand" if ban.reason == BY_HAND else "rate",
            )
        self._tell_more("warning", "banned", len(fresh))
        lifted = [
            ban
            for key, ban in before.items()
            if key not in self._known and ban.until > now_us and self._bans.was_lifted(key)
        ]
        for ban in lifted[:MOST_LINES]:
            self._log("info", "ban lifted", ip=unpack(ban.key), prefix=ban.prefix)
        self._tell_more("info", "ban lifted", len(lifted))

    def _is_news(self, ban: Ban, before: Ban | None) -> bool:
        """Workers that ban an address at the same time only make its ban a little longer."""
        if before is None or ban.start >= before.until:
            return True
        return ban.reason == BY_HAND and ban.start != before.start

    def _tell_more(self, level: str, event: str, count: int) -> None:
        if count > MOST_LINES:
            self._log(level, event, detail=f"{count - MOST_LINES} more at once")
