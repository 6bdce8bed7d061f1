"""Shed: what becomes of a visitor before its request is looked at. Its ban first, then its rate.

Strategy. Every head counts, parsed or refused, before anything else is spent on it. A refusal
costs the caller nothing of its quota, but it is a strike; so many seconds' worth of them within
ten seconds are a ban, which all workers keep from their next request on, and the controller hands
on to the kernel.

A visitor remembers the change of the bans that it was judged by, so as long as nobody is banned or
pardoned, being banned or not costs a request one look at one word. And who asks more than once per
tick is counted some requests in advance, so nearly all of them cost one more look: whether the
bucket is still the one they were counted in.

Exempt addresses are never limited nor banned; trusted proxies are limited like anybody when they
speak for themselves, and never banned (SEC-41). Behind one, the client is refused, and the
connection, which is the proxy's, stays.
"""

from __future__ import annotations

import math
import time

from gwd.config.snapshot import Limits
from gwd.http.addresses import limit_key
from gwd.http.problem import Refusal
from gwd.policies.quota import Quota
from gwd.segment.bans import RATE, Bans
from gwd.segment.limiter import Limiter
from gwd.segment.memory import Segment
from gwd.segment.processes import BANNED, BANS_MADE, ProcessTable
from gwd.segment.strikes import Strikes

ABUSE = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
WINDOW_US = 10_000_000
"""In which `limits.ban.after` seconds' worth of refusals are too many."""
ADVANCE = 32
"""Requests of one visitor that are counted in advance, at most."""
LEAST = 3
"""Refusals that make a ban, where the rate is so slow that its worth would be fewer."""


class Visitor:
    """A client address, judged once: how it is limited, and whether it is let in at all."""

    __slots__ = (
        "advance",
        "asked_at",
        "banned_until",
        "bucket",
        "counted",
        "exempt",
        "ip",
        "key",
        "place",
        "refusal",
        "seen",
        "start",
        "trusted",
    )

    def __init__(
        self, ip: str, key: bytes, *, exempt: bool, trusted: bool, refusal: Refusal | None
    ) -> None:
        self.ip = ip
        self.key = key
        self.exempt = exempt
        self.trusted = trusted
        """A proxy that is believed about its clients."""
        self.refusal = refusal
        self.place = -1
        """Where its connections are counted, once somebody has looked."""
        self.seen = 0
        """The change of the bans that `banned_until` was true at."""
        self.banned_until = 0
        """Monotonic µs."""
        self.asked_at = -1
        """The tick in which it was admitted last by a look at the bucket; the next one, if it is
        not to be counted in advance in this one."""
        self.counted = self.advance = 0
        """Requests that were counted in advance, and what is left of them."""
        self.bucket = self.start = 0
        """They are good as long as the one word is the other (`segment.limiter.Advance`)."""


class Shed:
    """The bans and the limit per address, for the process that owns `column`."""

    __slots__ = (
        "_banned_cell",
        "_bans",
        "_bans_made",
        "_for",
        "_limiter",
        "_most",
        "_observe",
        "_other_prefixes",
        "_prefix",
        "_quota",
        "_sequence",
        "_strikes",
        "_ticks",
        "_unsettled",
        "_words",
        "action",
    )

    def __init__(self, limits: Limits, segment: Segment, column: int) -> None:
        self._words = segment.words
        self._bans = Bans(segment)
        self._sequence = self._bans.sequence_word
        table = ProcessTable(segment)
        self._banned_cell = table.cell(column, BANNED)
        self._bans_made = table.cell(column, BANS_MADE)
        self._ticks = 0
        self._unsettled: dict[bytes, Visitor] = {}
        """Who has been counted in advance since the last tick, one per key."""
        self._limiter: Limiter | None = None
        self._strikes: Strikes | None = None
        self._most = 0
        self._observe = False
        self._prefix = limits.ipv6_prefix
        self._other_prefixes: tuple[int, ...] = ()
        """IPv6 prefixes of bans that were made before `ipv6_prefix` was changed."""
        self.action = limits.ban_action
        """What banned peers meet: "drop", "close" or "refuse"."""
        running = self._bans.running(time.monotonic_ns() // 1000)
        prefixes = {ban.prefix for ban in running if len(ban.key) == 16}
        self._other_prefixes = tuple(prefixes - {self._prefix})
        per_ip = limits.per_ip
        if per_ip is None:
            return
        rate = per_ip.rate
        self._observe = per_ip.mode == "observe"
        self._limiter = Limiter(
            segment,
            column,
            f"per_ip {rate.per_second!r} {rate.burst}".encode(),
            rate.per_second,
            rate.burst,
            ipv6_prefix=self._prefix,
        )
        self._quota = Quota(
            "per-ip", rate.per_second, rate.burst, "Too many requests from this address."
        )
        if limits.ban is not None and not self._observe:
            self._most = max(LEAST, math.ceil(limits.ban.after * rate.per_second))
            self._for = round(limits.ban.for_ * 1e6)
            self._strikes = Strikes(
                segment, column, self._most, WINDOW_US, ipv6_prefix=self._prefix
            )

    def judge(self, visitor: Visitor, peer: Visitor, now_ns: int) -> Refusal | None:
        """Judge a request of `visitor` that came from `peer`, the connection's other end, at
        `now_ns` (monotonic)."""
        words = self._words
        looked = words[self._sequence] == visitor.seen and not visitor.banned_until
        if visitor.advance and looked and words[visitor.bucket] == visitor.start:
            visitor.advance -= 1
            return None
        if visitor.exempt:
            return None
        now_us = now_ns // 1000
        if not looked and self.banned(visitor, now_us):
            return self._refuse_banned(visitor, now_us, visitor is peer)
        limiter = self._limiter
        if limiter is None:
            return None
        wait = limiter.admit(visitor.key, now_us)
        if not wait:
            if visitor.asked_at < self._ticks:
                visitor.asked_at = self._ticks
            elif looked and visitor.asked_at == self._ticks:
                self._count_in_advance(limiter, visitor, now_us)
            return None
        if self._observe:
            return None
        if self._went_too_far(visitor, now_us, visitor is peer):
            return self._refuse_banned(visitor, now_us, visitor is peer)
        return self._quota.refusal(wait)

    def _count_in_advance(self, limiter: Limiter, visitor: Visitor, now_us: int) -> None:
        """`visitor` has asked before in this tick."""
        if self._unsettled.setdefault(visitor.key, visitor) is not visitor:
            return  # another address of its network
        self._settle(limiter, visitor)
        count, visitor.bucket, visitor.start = limiter.advance(visitor.key, ADVANCE, now_us)
        visitor.counted = visitor.advance = count
        if not count:
            visitor.asked_at += 1  # too little is left: not in this tick any more

    def _settle(self, limiter: Limiter, visitor: Visitor) -> None:
        if visitor.counted:
            used, unused = visitor.counted - visitor.advance, visitor.advance
            visitor.counted = visitor.advance = 0
            limiter.settle(visitor.key, visitor.start, used, unused)

    def settle(self) -> None:
        """Take back what was counted in advance and not used. Call it on every tick, and when it is
        judged by another one from now on."""
        self._ticks += 1
        if self._limiter is not None and self._unsettled:
            for visitor in self._unsettled.values():
                self._settle(self._limiter, visitor)
            self._unsettled.clear()

    def banned(self, visitor: Visitor, now_us: int) -> bool:
        sequence = self._words[self._sequence]
        if sequence != visitor.seen:
            if visitor.exempt or visitor.trusted:
                return False
            until = self._bans.until(visitor.key, now_us)
            if len(visitor.key) == 16:
                for prefix in self._other_prefixes:
                    until = max(until, self._bans.until(limit_key(visitor.ip, prefix), now_us))
            visitor.banned_until = until
            # An odd one: a change is under way, or its maker was killed. Look again next time.
            visitor.seen = -1 if sequence & 1 else sequence
        return visitor.banned_until > now_us

    def turn_away(self, visitor: Visitor, now_us: int) -> bool:
        """Whether a connection of `visitor` is not to be opened at all; counts it."""
        if not self.cuts or not self.banned(visitor, now_us):
            return False
        self._words[self._banned_cell] += 1
        return True

    @property
    def cuts(self) -> bool:
        """Whether banned peers get no answer."""
        return self.action != "refuse"

    def _went_too_far(self, visitor: Visitor, now_us: int, is_peer: bool) -> bool:
        """Count a refusal of `visitor`; whether it is banned by now."""
        strikes, limiter = self._strikes, self._limiter
        if strikes is None or limiter is None or visitor.trusted:
            return False
        if not limiter.counted_alone(visitor.key):
            return False  # it shares a row: nobody is banned for what neighbours do
        count = strikes.strike(visitor.key, now_us)
        if count < self._most:
            return False
        before = self._bans.until(visitor.key, now_us)
        until = now_us + self._for
        prefix = 32 if len(visitor.key) == 4 else self._prefix
        per_second = count * 1_000_000 // max(1, strikes.lasted)
        if not self._bans.ban(
            visitor.key, prefix, now_us, until, RATE, peer=is_peer, weight=per_second
        ):
            return False
        if not before:
            self._words[self._bans_made] += 1
        strikes.forget(visitor.key, now_us)
        visitor.banned_until, visitor.seen = max(before, until), -1
        return True

    def _refuse_banned(self, visitor: Visitor, now_us: int, is_peer: bool) -> Refusal:
        self._words[self._banned_cell] += 1
        seconds = max(1, math.ceil((visitor.banned_until - now_us) / 1e6))
        return Refusal(
            429,
            "banned",
            "This address has sent too many requests and is shut out for a while.",
            (("Retry-After", str(seconds)),),
            close=is_peer,
            type=ABUSE,
        )
