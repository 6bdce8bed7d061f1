"""Bans: who is shut out, until when, and what is left when a process is killed or stopped."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import random
import signal
import sys
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.segment.bans import BY_HAND, FILTER_FAILED, FILTER_OFF, FILTER_ON, RATE, Bans, FilterView
from gwd.segment.layout import BAN_WIDTH, WAYS
from gwd.segment.limiter import Limiter
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import UNCOUNTED, ProcessTable

NOW = 5_000_000_000
SECOND = 1_000_000


def v4(number):
    return (0x0A000000 + number).to_bytes(4, "big")


def v6(number):
    return (0x20010DB8 << 96 | number << 64).to_bytes(16, "big")


def ban(bans, key, now=NOW, until=NOW + 60 * SECOND, reason=RATE, **more):
    prefix = 32 if len(key) == 4 else 64
    return bans.ban(key, prefix, now, until, reason, **({"peer": True} | more))


def one_bucket(segment):
    """Keys that all stand in one bucket of the table, more of them than it has rows."""
    bans = Bans(segment)
    found = {}
    for number in range(100_000):
        same = found.setdefault(bans._place(v4(number))[0], [])
        same.append(v4(number))
        if len(same) == 2 * WAYS:
            return same
    raise AssertionError("no two keys share a bucket")


def test_nobody_is_banned_at_first(make):
    bans = Bans(make())
    assert bans.sequence == 0
    assert bans.until(v4(1), NOW) == 0
    assert bans.running(NOW) == []


@pytest.mark.parametrize(
    ("key", "prefix"), [(v4(7), 32), (v6(7), 64), (ipaddress.ip_address("2001:db8::").packed, 48)]
)
@pytest.mark.parametrize("peer", [True, False])
def test_a_ban_says_whom_it_meets_until_when_and_why(make, key, prefix, peer):
    bans = Bans(make())
    assert bans.ban(key, prefix, NOW, NOW + SECOND, RATE, peer=peer, weight=300)
    (found,) = bans.running(NOW)
    assert (found.key, found.prefix, found.reason) == (key, prefix, RATE)
    assert (found.start, found.until, found.peer, found.weight) == (NOW, NOW + SECOND, peer, 300)
    assert bans.until(key, NOW) == NOW + SECOND
    assert bans.until(v4(8), NOW) == 0


def test_an_ipv4_address_and_its_ipv6_look_alike_are_two(make):
    bans = Bans(make())
    ban(bans, v4(1))
    assert bans.until(bytes(10) + b"\xff\xff" + v4(1), NOW) == 0


def test_a_weight_past_its_bits_is_the_heaviest(make):
    bans = Bans(make())
    ban(bans, v4(1), weight=1 << 60)
    (found,) = bans.running(NOW)
    assert found.weight == (1 << 32) - 1
    assert (found.reason, found.peer) == (RATE, True)


def test_a_ban_is_over_to_the_microsecond(make):
    bans = Bans(make())
    ban(bans, v4(1), until=NOW + 10)
    assert bans.until(v4(1), NOW + 9) == NOW + 10
    assert bans.until(v4(1), NOW + 10) == 0
    assert bans.running(NOW + 10) == []


def test_a_pardon_is_told_and_can_be_taken_back(make):
    bans = Bans(make())
    assert not bans.unban(v4(1), NOW)
    ban(bans, v4(1))
    assert bans.unban(v4(1), NOW)
    assert not bans.unban(v4(1), NOW)
    assert (bans.until(v4(1), NOW), bans.running(NOW)) == (0, [])
    ban(bans, v4(1))
    assert bans.until(v4(1), NOW) == NOW + 60 * SECOND


def test_a_ban_is_made_longer_by_a_worker_and_shorter_only_by_an_operator(make):
    bans = Bans(make())
    ban(bans, v4(1), until=NOW + 10)
    ban(bans, v4(1), until=NOW + 20)
    ban(bans, v4(1), until=NOW + 15)
    assert bans.until(v4(1), NOW) == NOW + 20
    ban(bans, v4(1), until=NOW + 5, reason=BY_HAND)
    assert bans.until(v4(1), NOW) == NOW + 5
    assert [each.reason for each in bans.running(NOW)] == [BY_HAND]


def test_once_met_as_a_peer_it_stays_known_as_one(make):
    bans = Bans(make())
    ban(bans, v4(1), peer=False)
    ban(bans, v4(1), until=NOW + 1, peer=True)  # shorter, but it says something new
    (found,) = bans.running(NOW)
    assert (found.peer, found.until) == (True, NOW + 60 * SECOND)
    ban(bans, v4(1), until=NOW + 90 * SECOND, peer=False)
    ban(bans, v4(1), until=NOW + 91 * SECOND, peer=False, reason=BY_HAND)
    assert [each.peer for each in bans.running(NOW)] == [True]
    later = NOW + 100 * SECOND  # another ban, another acquaintance
    ban(bans, v4(1), now=later, until=later + 1, peer=False)
    assert [each.peer for each in bans.running(later)] == [False]


def test_every_change_moves_the_sequence_and_nothing_else_does(make):
    bans = Bans(make())
    seen = [bans.sequence]
    for change in (
        lambda: ban(bans, v4(1)),
        lambda: ban(bans, v4(2)),
        lambda: ban(bans, v4(1), until=NOW + 70 * SECOND),
        lambda: bans.unban(v4(1), NOW),
    ):
        change()
        assert bans.sequence > seen[-1]
        assert bans.sequence % 2 == 0
        seen.append(bans.sequence)
    bans.unban(v4(1), NOW)
    ban(bans, v4(2), until=NOW + 1)  # shorter: nothing new
    bans.until(v4(2), NOW)
    bans.running(NOW)
    assert bans.sequence == seen[-1]


def test_who_asks_what_is_new_gets_just_that(make):
    bans = Bans(make())
    for number in range(3):
        ban(bans, v4(number))
    since = bans.sequence
    assert bans.running(NOW, since) == []
    ban(bans, v4(7))
    ban(bans, v4(1), until=NOW + 70 * SECOND)
    assert sorted(each.key for each in bans.running(NOW, since)) == [v4(1), v4(7)]
    assert len(bans.running(NOW)) == 4


def test_a_full_bucket_lets_go_of_what_ends_first(make):
    segment = make()
    bans = Bans(segment)
    keys = one_bucket(segment)[: WAYS + 1]
    for number, key in enumerate(keys):
        ban(bans, key, until=NOW + (number + 1) * SECOND)
    assert [bool(bans.until(key, NOW)) for key in keys] == [False] + [True] * WAYS
    assert len(bans.running(NOW)) == WAYS


def test_a_ban_that_is_over_makes_room_before_any_other(make):
    segment = make()
    bans = Bans(segment)
    *keys, new = one_bucket(segment)[: WAYS + 1]
    for key in keys:
        ban(bans, key)
    bans.unban(keys[3], NOW)
    ban(bans, new)
    assert [bool(bans.until(key, NOW)) for key in keys] == [n != 3 for n in range(WAYS)]
    assert bans.until(new, NOW)


def test_a_quarter_of_the_table_is_banned_with_hardly_a_loss(make):
    segment = make(max_ips=32_768)
    bans = Bans(segment)
    count = segment.sizes.bans // 4
    for number in range(count):
        ban(bans, v4(number), until=NOW + SECOND + number)
    assert len(bans.running(NOW)) > 0.99 * count


def test_what_the_kernel_does_is_told_as_it_was_said(make):
    bans = Bans(make())
    assert bans.filter() == FilterView(FILTER_OFF, 0, 0, 0)
    for view in (FilterView(FILTER_ON, 0, 17, 34), FilterView(FILTER_FAILED, 1, 0, 36)):
        bans.filter_is(view.state, view.errno, view.addresses, view.sequence)
        assert bans.filter() == view
    assert bans.sequence == 0


KEYS = [v4(n) for n in range(6)] + [v6(n) for n in range(3)]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["rate", "hand", "unban"]),
            st.sampled_from(KEYS),
            st.integers(1, 40),
            st.integers(0, 15),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_the_table_says_what_a_dictionary_would(steps):
    segment = Segment.create(Sizes(max_workers=1, max_ips=64, max_endpoints=1, max_routes=1))
    try:
        bans, model, now = Bans(segment), {}, NOW
        for what, key, length, pause, peer in steps:
            now += pause
            model = {k: v for k, v in model.items() if v[0] > now}
            if what == "unban":
                assert bans.unban(key, now) is (key in model)
                model.pop(key, None)
            else:
                until, known = now + length, key in model
                old_until, old_peer = model.get(key, (0, False))
                ban(bans, key, now, until, BY_HAND if what == "hand" else RATE, peer=peer)
                if what == "rate" and known:
                    until = max(until, old_until)
                model[key] = until, peer or old_peer
            for each in KEYS:
                assert bans.until(each, now) == model.get(each, (0, False))[0]
            found = {each.key: (each.until, each.peer) for each in bans.running(now)}
            assert found == model
    finally:
        segment.close()


# processes that race, are killed, or stand still


def test_two_processes_that_ban_at_once_both_do(make, fork):
    segment = make(max_ips=65_536)  # room for all, wherever they fall
    bans = Bans(segment)
    read, write = os.pipe()

    def run(first):
        os.close(write)
        os.read(read, 1)  # all at once, when the last writer is gone
        for number in range(first, 600, 2):
            for key, until in ((number, NOW + SECOND), (1000, NOW + SECOND + number)):
                while not ban(bans, v4(key), until=until):
                    pass  # the other was made to wait while it had the lock

    children = [fork(lambda first=first: run(first)) for first in range(2)]
    os.close(write)
    assert [child.wait() for child in children] == [0, 0]
    os.close(read)
    assert {each.key for each in bans.running(NOW)} == {v4(n) for n in (*range(600), 1000)}
    assert bans.until(v4(1000), NOW) == NOW + SECOND + 599
    assert bans.sequence % 2 == 0


def test_readers_see_only_bans_that_somebody_made(make, fork):
    """Two addresses of one bucket take each other's row; each differs from the other in all its
    words. A reader who paired one's mark with the other's time would ban the wrong one."""
    segment = make()
    bans = Bans(segment)
    keys = one_bucket(segment)
    until = time.monotonic() + 1.0

    def churn():
        rounds = 0
        while time.monotonic() < until:
            for number, key in enumerate(keys):
                rounds += 1
                ban(bans, key, until=NOW + rounds * 1000 + number, weight=number)

    child = fork(churn)
    looked = 0
    while time.monotonic() < until:
        for number, key in enumerate(keys):
            found = bans.until(key, NOW)
            assert found == 0 or found % 1000 == number
            looked += found != 0
        for each in bans.running(NOW):
            assert keys[each.weight] == each.key
            assert each.until % 1000 == each.weight
    assert child.wait() == 0
    assert looked


def test_killed_at_random_banners_leave_a_table_that_works(make, fork):
    segment = make()
    bans = Bans(segment)
    chance = random.Random(11)
    keys = [v4(number) for number in range(3000)]  # three times as many as there are rows
    stands = v4(1_000_000)

    def churn(seed):
        mine = random.Random(seed)
        while True:
            key = mine.choice(keys)
            if mine.random() < 0.7:
                ban(bans, key, until=NOW + 1 + mine.randrange(1000), weight=int.from_bytes(key[2:]))
            else:
                with suppress(TimeoutError):  # another was made to wait while it had the lock
                    bans.unban(key, NOW)

    ban(bans, stands, until=NOW + 60 * SECOND)
    workers = [fork(lambda s=s: churn(s)) for s in range(3)]
    for seed in range(3, 60):
        time.sleep(chance.uniform(0.001, 0.02))
        workers.pop(0).kill()
        workers.append(fork(lambda s=seed: churn(s)))
    for child in workers:
        child.kill()

    rows = segment.layout.bans
    for bucket in range(rows.rows // WAYS):
        first = rows.row(bucket * WAYS)
        row_marks = segment.words[first : first + WAYS * BAN_WIDTH : BAN_WIDTH].tolist()
        marks = [mark for mark in row_marks if mark]
        assert len(set(marks)) == len(marks), "an address has two rows"
    for each in bans.running(NOW):
        assert each.key == stands or int.from_bytes(each.key[2:]) == each.weight
        assert bans.until(each.key, NOW) == each.until
    assert bans.until(stands, NOW) == NOW + 60 * SECOND
    assert ban(bans, keys[0], until=NOW + 120 * SECOND)
    assert bans.sequence % 2 == 0
    assert bans.until(keys[0], NOW) == NOW + 120 * SECOND


@pytest.mark.parametrize("known", [False, True], ids=["a new one", "one that runs"])
def test_killed_before_any_line_of_its_code_a_banner_leaves_a_ban_that_stands_or_none(
    make, fork, known
):
    """Every instant is tried: the child kills itself before the nth line it runs in the table."""
    for line in range(200):
        segment = make()
        bans = Bans(segment)
        others = one_bucket(segment)[:WAYS]
        key = others.pop()
        for number, other in enumerate(others):
            ban(bans, other, until=NOW + (50 + number) * SECOND)
        if known:
            ban(bans, key, until=NOW + 10 * SECOND, peer=False, weight=1)
        before = bans.sequence
        child = fork(lambda b=bans, k=key, n=line: _die_before(n, b, k))
        killed = child.wait() != 0
        assert bans.until(key, NOW) in ((NOW + 10 * SECOND if known else 0), NOW + 60 * SECOND)
        for number, other in enumerate(others):
            assert bans.until(other, NOW) == NOW + (50 + number) * SECOND
        listed = {each.key: each.until for each in bans.running(NOW)}
        assert listed.pop(key, 0) == bans.until(key, NOW)
        assert len(listed) == len(others)
        if bans.until(key, NOW) == NOW + 60 * SECOND:
            assert bans.sequence > before, "nobody would notice the ban"
        assert ban(bans, key, until=NOW + 90 * SECOND)
        assert bans.sequence > before
        assert bans.sequence % 2 == 0
        assert bans.until(key, NOW) == NOW + 90 * SECOND
        if not killed:
            break
    else:
        raise AssertionError("the code has more lines than were tried")
    assert line > 20, "the code was not traced"


def _die_before(line, bans, key):
    """Ban `key`, killed before the `line`th line of the table's code."""
    seen = 0

    def trace(frame, event, _argument):
        nonlocal seen
        if not frame.f_code.co_filename.endswith("segment/bans.py"):
            return None
        if event == "line":
            if seen == line:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1
        return trace

    sys.settrace(trace)
    ban(bans, key, weight=9)
    sys.settrace(None)


def hold(segment, fork):
    """A child that has the lock of the bans."""
    read, write = os.pipe()

    def run():
        fcntl.lockf(segment.fd, fcntl.LOCK_EX, 1, segment.sizes.buckets, os.SEEK_SET)
        os.write(write, b"x")
        signal.pause()

    child = fork(run)
    os.read(read, 1)
    os.close(read)
    os.close(write)
    return child


def test_a_stopped_holder_of_the_lock_keeps_nobody_waiting(make, fork):
    segment = make()
    bans = Bans(segment)
    ban(bans, v4(1))
    child = hold(segment, fork)
    child.stop()
    before = segment.words.tobytes()
    assert not ban(bans, v4(2))
    with pytest.raises(TimeoutError):
        bans.unban(v4(1), NOW)
    assert segment.words.tobytes() == before
    assert bans.until(v4(1), NOW)
    assert len(bans.running(NOW)) == 1
    child.kill()
    assert ban(bans, v4(2))
    assert bans.unban(v4(1), NOW)


def test_the_lock_dies_with_its_holder(make, fork):
    segment = make()
    hold(segment, fork).kill()
    assert ban(Bans(segment), v4(1))


def test_the_lock_of_the_bans_is_none_of_a_bucket(make, fork):
    segment = make(columns=1)
    hold(segment, fork).stop()
    limiter = Limiter(segment, 0, b"r", 1, 5)
    for number in range(40):
        limiter.admit(v4(number), NOW)
    assert ProcessTable(segment).total(UNCOUNTED) == 0
