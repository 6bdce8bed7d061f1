"""Rows: who gets one, who loses one, and what is left when a process is killed or stopped."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import signal
import sys
from collections import Counter

import pytest

from gwd.segment import layout
from gwd.segment.layout import ROW_WIDTH, WAYS
from gwd.segment.limiter import Limiter
from gwd.segment.processes import COARSE, EVICTED, TRACKED, UNCOUNTED, ProcessTable
from gwd.segment.rows import RowTable

NOW = 5_000_000_000
SECOND = 1_000_000


def address(number):
    """The `number`th address, each in a /24 of its own."""
    return bytes([10, number >> 8 & 255, number & 255, 1])


def rows_of(segment):
    """The words of every row that is somebody's."""
    places = segment.layout.addresses
    rows = (segment.words[places.row(n) : places.row(n + 1)].tolist() for n in range(places.rows))
    return [row for row in rows if row[layout.ROW_MARK]]


def row_of(segment, key):
    """Where the row of IPv4 address `key` lies; None if it has none."""
    places = segment.layout.addresses
    high, low = 0, 0xFFFF << 32 | int.from_bytes(key, "big")
    for number in range(places.rows):
        word = places.row(number)
        row = segment.words[word : word + ROW_WIDTH].tolist()
        if row[layout.ROW_MARK] and row[layout.ROW_HIGH : layout.ROW_LOW + 1] == [high, low]:
            return word
    return None


def lock(segment, bucket=0):
    fcntl.lockf(segment.fd, fcntl.LOCK_EX, 1, bucket, os.SEEK_SET)


@pytest.mark.parametrize(
    ("key", "prefix", "kind", "text"),
    [
        (bytes([192, 0, 2, 7]), 64, 4 << 8 | 32, "::ffff:192.0.2.7"),
        (ipaddress.ip_address("2001:db8:1:2::").packed, 64, 6 << 8 | 64, "2001:db8:1:2::"),
        (ipaddress.ip_address("2001:db8:1::").packed, 56, 6 << 8 | 56, "2001:db8:1::"),
    ],
)
def test_the_address_itself_stands_in_its_row(make, key, prefix, kind, text):
    segment = make(columns=1)
    Limiter(segment, 0, b"r", 100, 50, ipv6_prefix=prefix).admit(key, NOW)
    (row,) = rows_of(segment)
    packed = b"".join(row[word].to_bytes(8, "big") for word in (layout.ROW_HIGH, layout.ROW_LOW))
    assert row[layout.ROW_KIND] == kind
    assert ipaddress.ip_address(packed) == ipaddress.ip_address(text)
    assert row[layout.ROW_INTERVAL] == 10_000 * 1_000_000


def test_of_an_opaque_key_nothing_but_a_hash_is_kept(make):
    segment = make(columns=1)
    limiter = Limiter(segment, 0, b"r", 100, 1, opaque=True)
    assert limiter.admit(b"secret-key", NOW) == 0
    assert limiter.admit(b"secret-key", NOW) > 0
    assert limiter.admit(b"another", NOW) == 0
    for row in rows_of(segment):
        assert row[layout.ROW_KIND : layout.ROW_LOW + 1] == [0, 0, 0]
    assert b"secret" not in segment.words.tobytes()


def test_where_an_address_stands_differs_from_boot_to_boot(make):
    def places():
        segment = make(columns=1, max_ips=4096)
        limiter = Limiter(segment, 0, b"r", 100, 50)
        for number in range(10):
            limiter.admit(address(number), NOW)
        return [row_of(segment, address(number)) for number in range(10)]

    assert places() != places()


def test_the_coldest_row_makes_room(make):
    segment = make(columns=1, max_ips=WAYS)
    limiter = Limiter(segment, 0, b"r", 1, 50)
    for number in range(WAYS):  # each runs empty one second after the next
        for _ in range(20 - number):
            assert limiter.admit(address(number), NOW) == 0
    now = NOW + 30 * SECOND
    limiter.admit(address(100), now)
    assert row_of(segment, address(100)) is not None
    assert row_of(segment, address(WAYS - 1)) is None
    for number in range(WAYS - 1):
        assert row_of(segment, address(number)) is not None
    table = ProcessTable(segment)
    assert (table.total(TRACKED), table.total(EVICTED)) == (WAYS + 1, 1)
    assert table.total(COARSE) == 0


def test_a_row_lost_while_cold_costs_its_address_nothing_and_gives_it_nothing(make):
    segment = make(columns=2, max_ips=WAYS)
    one, two = Limiter(segment, 0, b"r", 1, 5), Limiter(segment, 1, b"r", 1, 5)
    for _ in range(5):
        assert one.admit(address(0), NOW) == 0
    now = NOW + 6 * SECOND
    for number in range(1, WAYS + 1):  # the last of them takes the row
        two.admit(address(number), now)
    assert row_of(segment, address(0)) is None
    now += 10 * SECOND
    admitted = [one.admit(address(0), now) == 0 for _ in range(7)]
    assert admitted == [True] * 5 + [False] * 2


def test_a_process_that_remembers_a_row_given_away_charges_nobody_else(make):
    segment = make(columns=2, max_ips=WAYS)
    one, two = Limiter(segment, 0, b"r", 1, 5), Limiter(segment, 1, b"r", 1, 5)
    one.admit(address(0), NOW)
    now = NOW + 2 * SECOND
    for number in range(1, WAYS + 1):
        two.admit(address(number), now)
    taken_by = next(n for n in range(1, WAYS + 1) if n == WAYS)
    for _ in range(3):
        one.admit(address(0), now)  # its bucket is full and warm: counted with its neighbours
    assert ProcessTable(segment).total(COARSE) == 3
    assert two.remaining(address(taken_by), now) == 4


def test_known_rows_stay_limited_and_the_rest_is_limited_together_when_all_is_warm(make):
    segment = make(columns=1, max_ips=WAYS)
    limiter = Limiter(segment, 0, b"r", 1, 5)
    for number in range(WAYS):
        limiter.admit(address(number), NOW)
    neighbours = [bytes([192, 0, 2, host]) for host in range(1, 20)]
    admitted = sum(limiter.admit(key, NOW) == 0 for key in neighbours)
    assert admitted == 5
    for number in range(WAYS):
        admitted = sum(limiter.admit(address(number), NOW) == 0 for _ in range(10))
        assert admitted == 4
    table = ProcessTable(segment)
    assert (table.total(COARSE), table.total(EVICTED)) == (19, 0)
    kinds = Counter(row[layout.ROW_KIND] for row in rows_of(segment))
    assert kinds == {4 << 8 | 32: WAYS, 4 << 8 | 24: 1}


def test_a_flood_of_networks_passes_one_shared_limit_per_bucket(make):
    segment = make(columns=1, max_ips=WAYS)
    limiter = Limiter(segment, 0, b"r", 1, 5)
    for number in range(WAYS):
        limiter.admit(address(number), NOW)
    assert sum(limiter.admit(address(100 + n), NOW) == 0 for n in range(1000)) == 5
    assert limiter.admit(ipaddress.ip_address("2001:db8::").packed, NOW) > 0


def test_ipv6_without_a_row_is_counted_by_its_48(make):
    segment = make(columns=1, max_ips=4 * WAYS)
    limiter = Limiter(segment, 0, b"r", 1, 5)
    for number in range(400):  # all four buckets are full
        limiter.admit(address(number), NOW)
    keys = [
        ipaddress.ip_address(f"2001:db8:{site:x}:{net:x}::").packed
        for site in (1, 2)
        for net in range(1, 9)
    ]
    assert row_of(segment, address(0)) is not None
    now = NOW + SECOND // 4
    before = ProcessTable(segment).total(COARSE)
    admitted = [limiter.admit(key, now) == 0 for key in keys]
    assert ProcessTable(segment).total(COARSE) == before + 16
    assert sum(admitted[:8]) <= 5
    assert sum(admitted[8:]) <= 5


def test_a_shared_row_that_is_empty_goes_to_who_needs_it(make):
    segment = make(columns=1, max_ips=WAYS)
    limiter = Limiter(segment, 0, b"r", 1, 5)
    for number in range(WAYS):
        for _ in range(5):
            limiter.admit(address(number), NOW)
    limiter.admit(bytes([192, 0, 2, 1]), NOW)
    assert row_of(segment, bytes([192, 0, 2, 0])) is not None
    limiter.admit(bytes([198, 51, 100, 1]), NOW)
    assert row_of(segment, bytes([198, 51, 100, 0])) is None
    limiter.admit(bytes([198, 51, 100, 1]), NOW + 3 * SECOND)
    assert row_of(segment, bytes([192, 0, 2, 0])) is None
    assert row_of(segment, bytes([198, 51, 100, 0])) is not None


def test_rules_that_meet_in_a_shared_row_begin_it_anew_for_nobody(make):
    segment = make(columns=1, max_ips=WAYS)
    slow, fast = Limiter(segment, 0, b"slow", 1, 2), Limiter(segment, 0, b"fast", 10, 4)
    for number in range(WAYS):
        slow.admit(address(number), NOW)
    assert [slow.admit(address(50), NOW) == 0 for _ in range(3)] == [True, True, False]
    admitted = 0
    for turn in range(200):  # in turn, within 50 ms
        now = NOW + turn * 250
        admitted += (slow.admit(address(50), now) == 0) + (fast.admit(address(50), now) == 0)
    assert admitted <= 4


def test_room_that_comes_is_used_at_once(make):
    segment = make(columns=1, max_ips=WAYS)
    limiter = Limiter(segment, 0, b"r", 1, 5)
    for number in range(WAYS):
        limiter.admit(address(number), NOW)
    limiter.admit(address(100), NOW)
    assert row_of(segment, address(100)) is None
    limiter.admit(address(100), NOW + 2 * SECOND)
    assert row_of(segment, address(100)) is not None


def test_a_lock_dies_with_its_holder(make, fork):
    segment = make(columns=1, max_ips=WAYS)
    read, write = os.pipe()

    def hold():
        lock(segment)
        os.write(write, b"x")
        signal.pause()

    child = fork(hold)
    os.read(read, 1)
    child.kill()
    os.close(read)
    os.close(write)
    limiter = Limiter(segment, 0, b"r", 1, 5)
    limiter.admit(address(1), NOW)
    assert row_of(segment, address(1)) is not None
    assert ProcessTable(segment).total(UNCOUNTED) == 0


def test_a_stopped_holder_keeps_nobody_waiting(make, fork):
    segment = make(columns=1, max_ips=WAYS)
    limiter = Limiter(segment, 0, b"r", 1, 5)
    limiter.admit(address(1), NOW)
    read, write = os.pipe()

    def hold():
        lock(segment)
        os.write(write, b"x")
        signal.pause()

    child = fork(hold)
    os.read(read, 1)
    child.stop()
    os.close(read)
    os.close(write)
    table = ProcessTable(segment)
    assert [limiter.admit(address(1), NOW) == 0 for _ in range(6)] == [True] * 4 + [False] * 2
    assert limiter.admit(address(2), NOW) == 0
    assert table.total(UNCOUNTED) == 1
    child.kill()
    limiter.admit(address(2), NOW)
    assert row_of(segment, address(2)) is not None
    assert table.total(UNCOUNTED) == 1


def test_processes_that_make_the_same_rows_make_each_once(make, fork):
    segment = make(columns=3, max_ips=512)
    read, write = os.pipe()

    def run(column):
        os.close(write)
        os.read(read, 1)  # all at once, when the last writer is gone
        limiter = Limiter(segment, column, b"r", 1e-6, 1000)
        for number in range(300):
            limiter.admit(address(number), NOW)

    children = [fork(lambda column=column: run(column)) for column in range(3)]
    os.close(write)
    assert [child.wait() for child in children] == [0, 0, 0]
    os.close(read)
    marks = Counter(row[layout.ROW_MARK] for row in rows_of(segment))
    assert set(marks.values()) == {1}
    table = ProcessTable(segment)
    coarse = sum(row[layout.ROW_KIND] == 4 << 8 | 24 for row in rows_of(segment))
    assert table.total(TRACKED) == len(marks) - coarse


@pytest.mark.plain
@pytest.mark.parametrize("age", [10 * SECOND, 0], ids=["takes a row", "finds all warm"])
def test_killed_before_any_line_of_its_code_a_process_leaves_a_table_that_works(make, fork, age):
    """Every instant is tried: the child kills itself before the nth line it runs in the limiter."""
    survived = 0
    for line in range(200):
        segment = make(columns=2, max_ips=WAYS)
        ours, theirs = Limiter(segment, 0, b"r", 1, 5), Limiter(segment, 1, b"r", 1, 5)
        for number in range(WAYS):
            ours.admit(address(number), NOW)
        now = NOW + age
        child = fork(lambda t=theirs, n=line, now=now: _die_before(n, t, now))
        status = child.wait()
        if status == 0:
            survived += 1
            if survived > 2:
                break
        marks = Counter(row[layout.ROW_MARK] for row in rows_of(segment))
        assert set(marks.values()) == {1}
        assert WAYS - 1 <= len(marks) <= WAYS + 1
        for key in (address(100), address(0), address(200)) if age else (address(100),):
            admitted = [ours.admit(key, now) == 0 for _ in range(7)]
            charged = 5 - sum(admitted)
            assert charged in ((0, 1) if key == address(100) else (0,))
            assert admitted == sorted(admitted, reverse=True)
    assert survived == 3, "the code has more lines than were tried"
    assert line > 40, "the code was not traced"


def _die_before(line, limiter, now):
    """Run `admit`, killed before the `line`th line of the limiter's and the table's code."""
    seen = 0

    def trace(frame, event, _argument):
        nonlocal seen
        code = frame.f_code
        if not code.co_filename.endswith(("segment/limiter.py", "segment/rows.py")):
            return None
        if code.co_name in ("_room", "_empty_at", "count", "read", "<listcomp>"):
            return None  # these only look
        if event == "line":
            if seen == line:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1
        return trace

    sys.settrace(trace)
    limiter.admit(address(100), now)
    sys.settrace(None)


def test_a_row_table_only_ever_reads_for_find(make):
    segment = make(columns=1)
    before = segment.words.tobytes()
    assert RowTable(segment, 0).find(0, 12345) is None
    assert segment.words.tobytes() == before
