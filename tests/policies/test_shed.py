"""Shed, over real segments: who is refused, who is banned, and for whom that holds."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwd.clock import TICK
from gwd.config.snapshot import Ban, Limits, PerIp, Rate
from gwd.http.problem import Refusal
from gwd.policies import Shed, Visitor
from gwd.policies.shed import ABUSE
from gwd.segment.bans import BY_HAND, RATE, Bans
from gwd.segment.limiter import SPARE, Limiter
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import (
    ALLOWED,
    BANNED,
    BANS_MADE,
    LIMITED,
    WORKER,
    ProcessTable,
)

NOW = 5_000_000_000
"""Monotonic µs."""
SECOND = 1_000_000
TICK_US = round(TICK * SECOND)

PER_IP = PerIp(rate=Rate(1.0, 3, "1/s"), ipv6_prefix=64, connections=1000, mode="enforce")
BAN = Ban(after=4.0, for_=60.0, action="drop")
NONE = Limits(exempt=(), allow=(), deny=(), per_ip=None, ban=None)
LIMITED_ONLY = replace(NONE, per_ip=PER_IP)
WITH_BANS = replace(NONE, per_ip=PER_IP, ban=BAN)

VisitorFrom = Callable[..., Visitor]


def judge(shed: Shed, visitor: Visitor, now: int = NOW, *, is_peer: bool = True) -> Refusal | None:
    """What becomes of a request that came from `visitor` itself, or else through a proxy."""
    proxy = Visitor("203.0.113.9", b"\xcb\0q\t", exempt=False, trusted=True, refusal=None)
    return shed.judge(visitor, visitor if is_peer else proxy, now * 1000)


def reasons(
    shed: Shed, visitor: Visitor, asked: int, now: int = NOW, *, is_peer: bool = True
) -> list[str]:
    """Why each of so many requests at once is refused; "" if it passes."""
    refusals = [judge(shed, visitor, now, is_peer=is_peer) for _ in range(asked)]
    return [refusal.reason if refusal else "" for refusal in refusals]


def total(segment: Segment, cell: int) -> int:
    return ProcessTable(segment).total(cell)


def test_without_limits_and_bans_everybody_passes_and_nothing_is_written(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    shed = Shed(NONE, segment, 0)
    before = segment.words.tobytes()
    assert reasons(shed, visitor_from(), 20) == [""] * 20
    assert segment.words.tobytes() == before


def test_who_is_over_the_rate_is_refused_and_counted(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    shed = Shed(LIMITED_ONLY, segment, 0)
    assert reasons(shed, visitor_from(), 5) == [""] * 3 + ["rate_limited"] * 2
    assert reasons(shed, visitor_from("192.0.2.2"), 1) == [""]
    assert total(segment, LIMITED) == 2
    refusal = judge(shed, visitor_from())
    assert refusal is not None
    assert not refusal.close
    assert dict(refusal.headers)["RateLimit"] == '"per-ip";r=0;t=1'


def test_refusals_without_a_table_of_bans_ban_nobody(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    shed = Shed(LIMITED_ONLY, segment, 0)
    assert set(reasons(shed, visitor_from(), 500)) == {"", "rate_limited"}
    assert Bans(segment).sequence == 0


def test_who_goes_on_is_banned_in_all_workers_at_once(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    one, two = Shed(WITH_BANS, segment, 0), Shed(WITH_BANS, segment, 1)
    here, there = visitor_from(), visitor_from()
    assert reasons(one, here, 5) == [""] * 3 + ["rate_limited"] * 2
    assert reasons(two, there, 3) == ["rate_limited", "banned", "banned"]
    assert reasons(one, here, 1) == ["banned"]
    assert reasons(one, visitor_from("192.0.2.2"), 1) == [""]
    assert (total(segment, BANS_MADE), total(segment, BANNED)) == (1, 3)
    (ban,) = Bans(segment).running(NOW)
    assert (ban.key, ban.prefix, ban.reason) == (here.key, 32, RATE)
    assert (ban.start, ban.until) == (NOW, NOW + 60 * SECOND)
    assert ban.weight == 4_000_000  # four in no time: so many per second


def test_the_banned_are_told_when_it_ends_and_only_peers_lose_their_connection(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    shed = Shed(WITH_BANS, segment, 0)
    reasons(shed, visitor_from(), 7, is_peer=False)
    for is_peer in (True, False):
        refusal = judge(shed, visitor_from(), NOW + 10 * SECOND + 1, is_peer=is_peer)
        assert refusal is not None
        assert (refusal.status, refusal.reason, refusal.type) == (429, "banned", ABUSE)
        assert dict(refusal.headers) == {"Retry-After": "50"}
        assert refusal.close is is_peer


@pytest.mark.parametrize("is_peer", [True, False])
def test_the_kernel_may_drop_only_who_was_met_as_a_peer(
    segment: Segment, visitor_from: VisitorFrom, is_peer: bool
) -> None:
    reasons(Shed(WITH_BANS, segment, 0), visitor_from(), 7, is_peer=is_peer)
    assert [ban.peer for ban in Bans(segment).running(NOW)] == [is_peer]


def test_a_ban_ends_by_itself(segment: Segment, visitor_from: VisitorFrom) -> None:
    shed = Shed(WITH_BANS, segment, 0)
    visitor = visitor_from()
    reasons(shed, visitor, 7)
    end = NOW + 60 * SECOND
    assert reasons(shed, visitor, 1, end - 1) == ["banned"]
    assert reasons(shed, visitor, 5, end) == [""] * 3 + ["rate_limited"] * 2


def test_an_operator_bans_and_pardons_whom_a_worker_knows_already(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    shed, bans = Shed(NONE, segment, 0), Bans(segment)
    visitor = visitor_from()
    assert reasons(shed, visitor, 1) == [""]
    bans.ban(visitor.key, 32, NOW, NOW + SECOND, BY_HAND, peer=False)
    assert reasons(shed, visitor, 2) == ["banned"] * 2
    bans.unban(visitor.key, NOW)
    assert reasons(shed, visitor, 1) == [""]


def test_too_many_is_so_many_within_ten_seconds(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    shed = Shed(replace(WITH_BANS, per_ip=replace(PER_IP, rate=Rate(1.0, 1, "1/s"))), segment, 0)
    visitor = visitor_from()
    now = NOW
    for _ in range(20):  # 3 refusals in each stretch of 10 s
        assert reasons(shed, visitor, 4, now) == [""] + ["rate_limited"] * 3
        now += 10 * SECOND + 1
    reasons(shed, visitor, 4, now)
    assert reasons(shed, visitor, 2, now + 9 * SECOND) == ["", "banned"]


def test_the_exempt_and_the_trusted_are_never_banned(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    shed, bans = Shed(WITH_BANS, segment, 0), Bans(segment)
    exempt = visitor_from("192.0.2.1", exempt=True)
    proxy = visitor_from("192.0.2.2", trusted=True)
    for visitor in (exempt, proxy):  # nor by whoever writes the table
        bans.ban(visitor.key, 32, NOW, NOW + SECOND, BY_HAND, peer=True)
    assert reasons(shed, exempt, 100) == [""] * 100
    assert reasons(shed, proxy, 100) == [""] * 3 + ["rate_limited"] * 97
    assert not shed.turn_away(exempt, NOW)
    assert not shed.turn_away(proxy, NOW)
    assert total(segment, BANS_MADE) == 0


def test_what_is_only_observed_is_counted_and_passes(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    observed = replace(WITH_BANS, per_ip=replace(PER_IP, mode="observe"))
    assert reasons(Shed(observed, segment, 0), visitor_from(), 100) == [""] * 100
    assert total(segment, LIMITED) == 97
    assert Bans(segment).sequence == 0


def test_bans_hold_while_only_observing(segment: Segment, visitor_from: VisitorFrom) -> None:
    observed = replace(WITH_BANS, per_ip=replace(PER_IP, mode="observe"))
    visitor = visitor_from()
    Bans(segment).ban(visitor.key, 32, NOW, NOW + SECOND, BY_HAND, peer=True)
    assert reasons(Shed(observed, segment, 0), visitor, 1) == ["banned"]


@pytest.mark.parametrize(
    ("action", "turned_away"), [("drop", True), ("close", True), ("refuse", False)]
)
def test_connections_of_the_banned_are_opened_only_to_be_answered(
    segment: Segment, visitor_from: VisitorFrom, action: str, turned_away: bool
) -> None:
    shed = Shed(replace(WITH_BANS, ban=replace(BAN, action=action)), segment, 0)
    visitor = visitor_from()
    assert not shed.turn_away(visitor, NOW)
    reasons(shed, visitor, 7)
    before = total(segment, BANNED)
    assert shed.turn_away(visitor, NOW) is turned_away
    assert shed.cuts is turned_away
    assert total(segment, BANNED) == before + turned_away


def test_an_ipv6_network_is_banned_as_it_is_counted(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    shed = Shed(WITH_BANS, segment, 0)
    for host in range(7):
        judge(shed, visitor_from(f"2001:db8::{host:x}"))
    assert reasons(shed, visitor_from("2001:db8::ffff"), 1) == ["banned"]
    assert reasons(shed, visitor_from("2001:db8:0:1::"), 1) == [""]
    assert [ban.prefix for ban in Bans(segment).running(NOW)] == [64]


def test_a_banner_killed_in_the_middle_is_noticed_by_nobody(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    """It left the sequence odd: then everybody looks each time."""
    shed, bans = Shed(WITH_BANS, segment, 0), Bans(segment)
    one, two = visitor_from("192.0.2.1"), visitor_from("192.0.2.2")
    reasons(shed, one, 7)
    segment.words[bans.sequence_word] += 1
    assert reasons(shed, one, 2) == ["banned"] * 2
    assert reasons(shed, two, 2) == [""] * 2
    assert reasons(shed, two, 4)[-1] == "rate_limited"
    bans.unban(one.key, NOW)
    assert reasons(shed, one, 1, NOW + 11 * SECOND) == [""]


def test_who_cannot_be_banned_now_is_refused_all_the_same(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    """A process that was stopped in the middle of a ban keeps the lock."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        fcntl.lockf(segment.fd, fcntl.LOCK_EX, 1, segment.sizes.buckets, os.SEEK_SET)
        os.write(write, b"x")
        signal.pause()
    try:
        os.read(read, 1)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        shed, visitor = Shed(WITH_BANS, segment, 0), visitor_from()
        found = reasons(shed, visitor, 9)
        assert found[:3] == [""] * 3
        assert "" not in found[3:]
        assert Bans(segment).running(NOW) == []
        assert reasons(shed, visitor_from("192.0.2.2"), 1) == [""]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)
    assert reasons(shed, visitor, 2) == ["banned"] * 2
    assert len(Bans(segment).running(NOW)) == 1


class Model:
    """What `Shed` means, for one process and without bounds; the bucket is the limiter's own."""

    def __init__(self, segment: Segment) -> None:
        self._limiter = Limiter(segment, 0, b"model", 1.0, 3)
        self._windows: dict[bytes, tuple[int, int]] = {}
        self._banned: dict[bytes, int] = {}

    def judge(self, visitor: Visitor, now: int) -> str:
        if visitor.exempt:
            return ""
        if now < self._banned.get(visitor.key, 0):
            return "banned"
        if not self._limiter.admit(visitor.key, now):
            return ""
        if not visitor.trusted:
            begun, count = self._windows.get(visitor.key, (now, 0))
            if now - begun > 10 * SECOND:
                begun, count = now, 0
            self._windows[visitor.key] = begun, count + 1
            if count + 1 >= 4:
                self._banned[visitor.key] = now + 60 * SECOND
                return "banned"
        return "rate_limited"


VISITORS: list[dict[str, Any]] = [
    {"ip": "192.0.2.1"},
    {"ip": "::ffff:192.0.2.2"},
    {"ip": "2001:db8::1"},
    {"ip": "192.0.2.3", "exempt": True},
    {"ip": "192.0.2.4", "trusted": True},
]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it only makes values
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(VISITORS) - 1),
            st.integers(0, 2),
            st.sampled_from([0, 1, SECOND // 3, SECOND, 4 * SECOND, 11 * SECOND, 61 * SECOND]),
            st.integers(1, 8),
        ),
        max_size=25,
    )
)
def test_three_workers_judge_as_one_without_bounds_would(
    visitor_from: VisitorFrom, steps: list[tuple[int, int, int, int]]
) -> None:
    sizes = Sizes(max_workers=4, max_ips=512, max_endpoints=1, max_routes=1)
    segment, other = Segment.create(sizes), Segment.create(sizes)
    try:
        for each in (segment, other):
            for slot in range(3):
                ProcessTable(each).claim(WORKER, slot, os.getpid())
        sheds = [Shed(WITH_BANS, segment, column) for column in range(3)]
        # Each worker knows its visitors by itself.
        known = [[visitor_from(**each) for each in VISITORS] for _ in sheds]
        model = Model(other)
        now = NOW
        for number, worker, pause, asked in steps:
            now += pause
            for _ in range(asked):
                visitor = known[worker][number]
                refusal: Refusal | None = judge(sheds[worker], visitor, now)
                assert (refusal.reason if refusal else "") == model.judge(visitor, now)
    finally:
        segment.close()
        other.close()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(0, 2),
            st.sampled_from([0, 0, 0, 1, 1000, TICK_US // 3, TICK_US, SECOND // 3, 2 * SECOND]),
            st.integers(1, 50),
        ),
        max_size=40,
    ),
    st.sampled_from([(10.0, 60), (100.0, 400), (1000.0, 700), (40.0, 300)]),
)
def test_who_is_counted_in_advance_gets_a_ticks_worth_more_at_most_and_loses_what_others_hold(
    visitor_from: VisitorFrom, steps: list[tuple[int, int, int, int]], rate: tuple[float, int]
) -> None:
    per_second, burst = rate
    limits = replace(NONE, per_ip=replace(PER_IP, rate=Rate(per_second, burst, "")))
    segment = Segment.create(Sizes(max_workers=4, max_ips=512, max_endpoints=1, max_routes=1))
    try:
        table = ProcessTable(segment)
        for slot in range(3):
            table.claim(WORKER, slot, os.getpid())
        sheds = [Shed(limits, segment, column) for column in range(3)]
        known = [[visitor_from(ip) for ip in ("192.0.2.1", "2001:db8::1")] for _ in sheds]
        levels, now, passed, ticked = [0.0, 0.0], NOW, 0, NOW
        for number, worker, pause, asked in steps:
            now += pause
            if now - ticked >= TICK_US:
                ticked = now
                for shed in sheds:
                    shed.settle()
                assert not any(each.advance for of in known for each in of)
            worth = per_second * (now - ticked) / 1e6
            levels = [max(0.0, level - per_second * pause / 1e6) for level in levels]
            for _ in range(asked):
                visitor = known[worker][number]
                held = sum(of[number].advance for of in known)
                if judge(sheds[worker], visitor, now) is None:
                    levels[number] += 1
                    passed += 1
                    assert levels[number] < burst + 1 + worth + 1e-6
                else:
                    assert levels[number] + held > burst - 1e-6
                    assert held <= burst / SPARE
        for shed in sheds:
            shed.settle()
        assert table.total(ALLOWED) == passed
    finally:
        segment.close()


def test_who_asks_on_is_counted_in_advance_and_others_may_have_the_rest_with_the_next_tick(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    limits = replace(NONE, per_ip=replace(PER_IP, rate=Rate(1000.0, 2000, "")))
    one, two = Shed(limits, segment, 0), Shed(limits, segment, 1)
    here, there = visitor_from(), visitor_from()
    assert reasons(one, here, 1) == [""]
    assert not here.advance, "it asked once"
    assert reasons(one, here, 1) == [""]
    held = here.advance
    assert held > 10
    assert reasons(one, here, 1) == [""]
    assert here.advance == held - 1
    assert reasons(two, there, 2000).count("") == 2000 - 2 - held
    two.settle()
    assert reasons(two, there, 1) == ["rate_limited"]
    one.settle()
    assert reasons(two, there, 2000).count("") == held - 1
    assert reasons(one, here, 1) == ["rate_limited"]


def test_one_address_of_a_network_is_counted_in_advance(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    limits = replace(NONE, per_ip=replace(PER_IP, rate=Rate(1000.0, 2000, "")))
    shed = Shed(limits, segment, 0)
    one, two = visitor_from("2001:db8::1"), visitor_from("2001:db8::2")
    assert reasons(shed, one, 2) + reasons(shed, two, 2) == [""] * 4
    assert one.advance
    assert not two.advance
    shed.settle()
    assert reasons(shed, two, 2) == [""] * 2
    assert two.advance


def test_who_was_counted_in_advance_is_banned_with_the_next_request(
    segment: Segment, visitor_from: VisitorFrom
) -> None:
    limits = replace(WITH_BANS, per_ip=replace(PER_IP, rate=Rate(1000.0, 2000, "")))
    shed, visitor = Shed(limits, segment, 0), visitor_from()
    assert reasons(shed, visitor, 3) == [""] * 3
    assert visitor.advance
    Bans(segment).ban(visitor.key, 32, NOW, NOW + SECOND, BY_HAND, peer=True)
    assert reasons(shed, visitor, 2) == ["banned"] * 2
    shed.settle()
    # Whose ban is over is looked at each time: counting it in advance would be of no use.
    for _ in range(3):
        assert reasons(shed, visitor, 2, NOW + 2 * SECOND) == [""] * 2
        assert not visitor.advance


def test_nobody_is_banned_for_what_neighbours_do(visitor_from: VisitorFrom) -> None:
    # One bucket of rows, all of them in use: who comes now is counted with its /24.
    segment = Segment.create(Sizes(max_workers=1, max_ips=8, max_endpoints=1, max_routes=1))
    try:
        ProcessTable(segment).claim(WORKER, 0, os.getpid())
        shed = Shed(WITH_BANS, segment, 0)
        for number in range(8):
            assert reasons(shed, visitor_from(f"198.51.100.{number}"), 3) == [""] * 3
        met = [
            reason
            for number in range(40)
            for reason in reasons(shed, visitor_from(f"192.0.2.{number}"), 5)
        ]
        assert met.count("rate_limited") > 150
        assert "banned" not in met
        assert Bans(segment).running(NOW) == []
    finally:
        segment.close()
