"""The segment as a whole, while anything may happen to the processes that share it.

A machine with several real processes, each on a column of its own as the supervisor gives them out:
up to three generations in a slot. At random they are asked to admit, strike, ban and pardon, one by
one or all at once without pause; and at random instants they are killed (also with a lock in their
hand, also while they stand still), stopped, continued, retired and replaced.

What must hold is looked at after every step, from outside, while nobody runs who was not stopped in
the middle of something:

- nobody waits for a dead or a stopped process: every living one answers;
- admitted is never above what is due, and what may be admitted at the same instant;
- who is killed gives nothing back;
- a ban stands whole or not at all, and all see the same;
- a row never changes whom it belongs to without changing its mark, and marks are not there twice;
- counts only grow, and say what was done.

There are two tables: a roomy one with limiters of different rates, and a crowded one, where most
share rows, with one rate. Steps are drawn by a seed, so a failure names it; instants are not.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from gwd.segment import layout
from gwd.segment.bans import BY_HAND, RATE, Bans
from gwd.segment.layout import WAYS
from gwd.segment.limiter import Limiter
from gwd.segment.lock import lock, unlock
from gwd.segment.processes import (
    ALLOWED,
    BANS_MADE,
    COARSE,
    UNCOUNTED,
    WORKER,
    NoColumn,
    ProcessTable,
)
from gwd.segment.strikes import Strikes

PATIENCE = 20.0
"""Seconds after which an answer that takes a millisecond will not come."""
STEPS = 80
FEWEST_PROCESSES, MOST_PROCESSES = 3, 6
SLOTS = 2
GENERATIONS = 3
SPAN_US = 60_000_000
"""Longer than a run."""

KEYS = [bytes([10, 0, network, host]) for network in range(4) for host in range(1, 6)]
KEYS += [b"\x20\x01\x0d\xb8\0\0" + bytes([0, n]) + bytes(8) for n in range(6)]
ADDRESSES = {(bytes(10) + b"\xff\xff" + key)[-16:] if len(key) == 4 else key for key in KEYS}
ADDRESSES |= {bytes(10) + b"\xff\xff" + key[:3] + b"\0" for key in KEYS if len(key) == 4}
ADDRESSES |= {key[:6] + bytes(10) for key in KEYS if len(key) == 16}
"""Whom a row may be of: an address, or its neighbourhood; or a fresh one."""
FRESH = 10
"""Addresses that come first to all processes at the same instant, in every storm."""
FRESH_NETWORK = bytes(10) + b"\xff\xff" + bytes([10, 99])


@dataclass(frozen=True)
class Rule:
    name: bytes
    per_second: float
    burst: int
    opaque: bool = False

    def limiter(self, segment, column):
        return Limiter(segment, column, self.name, self.per_second, self.burst, opaque=self.opaque)


ROOMY = (1024, (Rule(b"a", 50, 20), Rule(b"b", 20, 40), Rule(b"c", 80, 10, opaque=True)))
CROWDED = (16, (Rule(b"a", 50, 20), Rule(b"b", 50, 20), Rule(b"c", 50, 20, opaque=True)))


def now_us():
    return time.monotonic_ns() // 1000


def fresh(number):
    return bytes([10, 99, number >> 8 & 255, number & 255])


# What each key is banned as: nothing of another's ban may be found in its row.


def prefix_of(key):
    return 32 if len(key) == 4 else 64


def weight_of(key):
    return 1000 + KEYS.index(key)


def is_peer(key):
    return KEYS.index(key) % 2 == 0


def duration_of(key):
    return (1 + KEYS.index(key)) * SPAN_US


class Tally:
    """What each column's processes did, in memory that outlives them; each writes its own."""

    def __init__(self, columns, rules):
        self._width = (rules + 2) * len(KEYS)
        self._map = mmap.mmap(-1, columns * self._width * 8)
        self.words = memoryview(self._map).cast("Q")

    def add(self, column, rule, key):
        """`rule` is the limiter's number; the next is for strikes, the next for fresh ones."""
        self.words[column * self._width + rule * len(KEYS) + key] += 1

    def of(self, rule, key):
        return sum(self.words[rule * len(KEYS) + key :: self._width].tolist())

    def rule(self, rule):
        return sum(self.of(rule, key) for key in range(len(KEYS)))

    def close(self):
        self.words.release()
        self._map.close()


class Member:
    """What runs in a process of the machine."""

    def __init__(self, segment, column, rules, tally):
        self._fd = segment.fd
        self._column = column
        self._limiters = [rule.limiter(segment, column) for rule in rules]
        self._strikes = Strikes(segment, column, 20, 500_000)
        self._bans = Bans(segment)
        self._tally = tally

    def serve(self, pipe):
        while True:
            what, *arguments = pipe.recv()
            if what == "end":
                pipe.send("ended")
                return
            try:
                pipe.send(getattr(self, what)(*arguments))
            except BaseException:
                pipe.send(AssertionError(traceback.format_exc()))

    def admit(self, rule, key, count):
        admitted = 0
        for _ in range(count):
            if not self._limiters[rule].admit(KEYS[key], now_us()):
                self._tally.add(self._column, rule, key)
                admitted += 1
        return admitted

    def strike(self, key):
        # Before: one that was killed in between has said too much, not too little.
        self._tally.add(self._column, len(self._limiters), key)
        return self._strikes.strike(KEYS[key], now_us())

    def ban(self, number, by_hand=False):
        key, now = KEYS[number], now_us()
        until = now + duration_of(key)
        reason = BY_HAND if by_hand else RATE
        return self._bans.ban(
            key, prefix_of(key), now, until, reason, peer=is_peer(key), weight=weight_of(key)
        )

    def unban(self, number):
        """Whether it was banned; None if somebody kept the lock."""
        try:
            return self._bans.unban(KEYS[number], now_us())
        except TimeoutError:
            return None

    def until(self, number):
        return self._bans.until(KEYS[number], now_us())

    def hold(self, byte):
        return lock(self._fd, byte)

    def let_go(self, byte):
        unlock(self._fd, byte)

    def storm(self, seed, begin, until, first):
        """Everything at once, without pause, after all have met fresh addresses from `first` on."""
        chance = random.Random(seed)
        for number in range(first, first + FRESH):
            while now_us() < begin:
                pass
            if not self._limiters[0].admit(fresh(number), now_us()):
                self._tally.add(self._column, len(self._limiters) + 1, 0)
            begin += 200
        while now_us() < until:
            key = chance.randrange(len(KEYS)) if chance.random() < 0.6 else 3
            what = chance.random()
            if what < 0.7:
                self.admit(chance.randrange(len(self._limiters)), key, 1)
            elif what < 0.85:
                self.strike(key)
            elif what < 0.95:
                self.ban(key, chance.random() < 0.5)
            else:
                self.unban(key)


@dataclass
class Process:
    column: int
    slot: int
    child: object
    pipe: Connection
    stopped: bool = False
    waits: bool = False
    """It owes an answer: it was stopped in the middle."""
    holds: int = -1
    """The byte whose lock it keeps."""

    def ask(self, *message):
        self.pipe.send(message)

    def answer(self):
        assert self.pipe.poll(PATIENCE), f"the process of column {self.column} is blocked"
        self.waits = False
        answer = self.pipe.recv()
        if isinstance(answer, AssertionError):
            raise answer
        return answer

    def call(self, *message):
        self.ask(*message)
        return self.answer()


@dataclass
class Machine:
    segment: object
    fork: object
    rules: tuple[Rule, ...]
    chance: random.Random
    processes: list[Process] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    """Columns of the dead that are not yet released."""
    kills: int = 0
    history: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.table = ProcessTable(self.segment)
        self.bans = Bans(self.segment)
        self.tally = Tally(self.segment.sizes.columns, len(self.rules))
        # To look only: what remains is read without a column of one's own.
        self.lookers = [rule.limiter(self.segment, 0) for rule in self.rules]
        self.begun = now_us()
        self.marks = {}
        self.counts = [0] * (layout.PROCESS_WIDTH * self.segment.sizes.columns)
        self.sequence = 0
        self.met = 0
        """Fresh addresses that came so far."""

    # steps

    def join(self):
        """A new process, in a slot that has not all its generations yet; if columns are short,
        those of the dead are released first, as the supervisor does in time."""
        in_slot = [sum(p.slot == slot for p in self.processes) for slot in range(SLOTS)]
        slot = in_slot.index(min(in_slot))
        if len(self.processes) >= MOST_PROCESSES or in_slot[slot] >= GENERATIONS:
            return
        try:
            column = self.table.claim(WORKER, slot, 1)
        except NoColumn:
            self.release()
            column = self.table.claim(WORKER, slot, 1)
        ours, theirs = Pipe()
        child = self.fork(
            lambda: Member(self.segment, column, self.rules, self.tally).serve(theirs)
        )
        theirs.close()
        self.processes.append(Process(column, slot, child, ours))

    def release(self):
        """The columns of the dead are free again."""
        for column in self.dead:
            self.table.release(column)
        self.dead.clear()

    def one_admits(self):
        for process in self.some():
            rule, key = self.chance.randrange(len(self.rules)), self.a_key()
            count = self.chance.randrange(1, 30)
            assert 0 <= process.call("admit", rule, key, count) <= count

    def one_strikes(self):
        for process in self.some():
            key = self.a_key()
            # 0 if there is no room for it.
            assert process.call("strike", key) <= self.tally.of(len(self.rules), key)

    def one_bans(self):
        """All see it at once; and so they do when it is lifted."""
        for process in self.some():
            key = self.a_key()
            if not process.call("ban", key, self.chance.random() < 0.5):
                assert self.disturbed(), "the lock of the bans was kept by nobody"
                continue
            assert all(other.call("until", key) for other in self.idle())
            if self.chance.random() < 0.5:
                assert process.call("unban", key) is True
                assert not any(other.call("until", key) for other in self.idle())
                assert self.bans.until(KEYS[key], now_us()) == 0

    def one_takes_a_lock(self):
        """And keeps it: until it is told to let go, or killed."""
        for process in self.some():
            byte = self.chance.randrange(self.segment.sizes.buckets + 1)
            if process.call("hold", byte):
                process.holds = byte
            else:
                assert self.disturbed()

    def one_lets_go(self):
        for process in self.processes:
            if process.holds >= 0 and not process.stopped:
                process.call("let_go", process.holds)
                process.holds = -1

    def all_storm(self):
        """While they do, some are killed, stopped and continued, at any instant."""
        microseconds = self.chance.randrange(4_000, 15_000)
        begin = now_us() + 1_000
        busy = self.idle()
        for process in busy:
            seed = self.chance.randrange(1 << 30)
            process.ask("storm", seed, begin, begin + microseconds, self.met)
            process.waits = True
        self.met += FRESH
        for _ in range(self.chance.randrange(4)):
            time.sleep(self.chance.uniform(0, microseconds / 2e6))
            if not busy:
                break
            process = self.chance.choice(busy)
            if self.chance.random() < 0.4:
                busy.remove(process)
                self.bury(process)
            elif process.stopped:
                self.go_on(process)
            else:
                self.stand_still(process)
        for process in busy:
            if not process.stopped:
                process.answer()

    def kill_one(self):
        """It gives nothing back, nor when its column is released and has a new owner."""
        if not self.processes:
            return
        process = self.chance.choice(self.processes)
        pairs = [(self.chance.randrange(len(self.rules)), self.a_key()) for _ in range(5)]
        before, begun = [self.remaining(*pair) for pair in pairs], now_us()
        self.bury(process)
        if self.chance.random() < 0.6:
            self.release()
            self.join()
        for (rule, key), had in zip(pairs, before, strict=True):
            fallen_due = self.rules[rule].per_second * (now_us() - begun) / 1e6
            assert self.remaining(rule, key) <= had + fallen_due + 1

    def retire_one(self):
        for process in self.some():
            process.ask("end")
            assert process.answer() == "ended"
            assert process.child.wait() == 0
            process.pipe.close()
            self.processes.remove(process)
            self.dead.append(process.column)
            self.release()

    def all_go_on(self):
        for process in self.processes:
            self.go_on(process)
            if process.waits:
                process.answer()

    # what steps are made of

    def some(self):
        """One that is free to be asked, if there is one."""
        idle = self.idle()
        return [self.chance.choice(idle)] if idle else []

    def idle(self):
        return [p for p in self.processes if not (p.stopped or p.waits or p.holds >= 0)]

    def a_key(self):
        return self.chance.randrange(len(KEYS))

    def disturbed(self):
        """Whether somebody keeps a lock, or may do so where it was stopped."""
        return any(p.stopped or p.holds >= 0 for p in self.processes)

    def is_crowded(self):
        return self.segment.sizes.max_ips < len(KEYS)

    def remaining(self, rule, key):
        return self.lookers[rule].remaining(KEYS[key], now_us())

    def bury(self, process):
        process.child.kill()
        process.pipe.close()
        self.kills += 1
        self.processes.remove(process)
        self.dead.append(process.column)

    def stand_still(self, process):
        process.child.stop()
        process.stopped = True

    def go_on(self, process):
        if process.stopped:
            os.kill(process.child.pid, signal.SIGCONT)
            process.stopped = False

    # what must hold

    def check(self):
        self.check_counts()
        self.check_admitted()
        self.check_bans()
        self.check_rows()

    def check_counts(self):
        words, rows = self.segment.words, self.segment.layout.processes
        counts = words[rows.start : rows.end].tolist()
        grown = range(ALLOWED, BANS_MADE + 1)
        for number, (was, now) in enumerate(zip(self.counts, counts, strict=True)):
            if number % layout.PROCESS_WIDTH in grown:
                assert now >= was, f"count {number} of the processes went back"
        self.counts = counts
        assert self.bans.sequence >= self.sequence
        self.sequence = self.bans.sequence
        fresh_ones = len(self.rules) + 1
        told = sum(self.tally.rule(rule) for rule in [*range(len(self.rules)), fresh_ones])
        unsaid = self.kills + sum(p.waits for p in self.processes)
        assert told <= self.table.total(ALLOWED) <= told + unsaid

    def check_admitted(self):
        """By key where each has its row; in a crowd, by all the rows that there are."""
        seconds = (now_us() - self.begun) / 1e6
        more = MOST_PROCESSES + self.kills + self.table.total(UNCOUNTED)
        if self.is_crowded():
            rule, rows = self.rules[0], self.segment.layout.addresses.rows
            due = rows * (rule.per_second * seconds + rule.burst)
            total = sum(self.tally.rule(number) for number in range(len(self.rules)))
            assert total <= 1.1 * due + rows * MOST_PROCESSES + more
            return
        for number, rule in enumerate(self.rules):
            due = rule.per_second * seconds + rule.burst
            # Whose row could not be made for a while was counted with its neighbours meanwhile, in
            # a shared row that another rule may have taken over in between.
            elsewhere = self.table.total(COARSE)
            for key in range(len(KEYS)):
                assert self.tally.of(number, key) <= 1.1 * due + elsewhere + more

    def check_bans(self):
        now = now_us()
        for ban in self.bans.running(now):
            assert ban.key in KEYS
            assert ban.prefix == prefix_of(ban.key)
            assert ban.weight == weight_of(ban.key)
            assert ban.peer == is_peer(ban.key)
            assert ban.reason in (RATE, BY_HAND)
            # Renewed by one that was killed, it may have its new end and its old beginning.
            assert 0 <= ban.until - ban.start - duration_of(ban.key) < now - self.begun
            assert self.bans.until(ban.key, now) == ban.until
        keys = [ban.key for ban in self.bans.running(now)]
        assert len(set(keys)) == len(keys), "an address is banned twice"

    def check_rows(self):
        words, places = self.segment.words, self.segment.layout.addresses
        for bucket in range(self.segment.sizes.buckets):
            numbers = [*range(bucket * WAYS, bucket * WAYS + WAYS)]
            shared = self.segment.layout.shared_rows + bucket
            found = []
            for number in [*numbers, shared]:
                row = places.row(number)
                mark, _, interval, kind, high, low = words[row : row + 6].tolist()
                if not mark:
                    continue
                found += [mark] if number != shared else []
                address = high.to_bytes(8, "big") + low.to_bytes(8, "big")
                known = address in ADDRESSES or address.startswith(FRESH_NETWORK)
                assert known or not kind
                belongs = (interval, kind, address)
                assert self.marks.setdefault(mark, belongs) == belongs, "a row of somebody else's"
            assert len(set(found)) == len(found), "somebody has two rows"

    # the end

    def finish(self):
        """When all have gone, every lock is free, and the table serves the next as if new."""
        self.all_go_on()
        for process in [*self.processes]:
            self.bury(process)
        self.release()
        self.check()
        fd = self.segment.fd
        for byte in range(self.segment.sizes.buckets + 1):
            assert lock(fd, byte), "the dead keep a lock"
            unlock(fd, byte)
        column = self.table.claim(WORKER, 0, 1)
        later = now_us() + SPAN_US
        for rule in self.rules:
            limiter = rule.limiter(self.segment, column)
            for key in KEYS:
                later += 5_000_000
                passed = [limiter.admit(key, later) == 0 for _ in range(rule.burst + 3)]
                assert passed == [True] * rule.burst + [False] * 3
        for key in KEYS:
            now = now_us()
            assert self.bans.ban(key, 32, now, now + SPAN_US * 99, BY_HAND, peer=False)
            assert self.bans.unban(key, now)
        assert self.bans.running(now_us()) == []


WEIGHTS = {
    "all_storm": 8,
    "kill_one": 4,
    "join": 5,
    "one_admits": 4,
    "one_strikes": 3,
    "one_bans": 5,
    "one_takes_a_lock": 2,
    "one_lets_go": 1,
    "all_go_on": 3,
    "retire_one": 2,
    "release": 2,
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("table", [ROOMY, CROWDED], ids=["roomy", "crowded"])
def test_whatever_happens_to_its_processes_the_segment_means_what_it_meant(make, fork, table, seed):
    max_ips, rules = table
    chance = random.Random(seed)
    # With six columns given out before, the processes' cells lie in two groups.
    segment = make(columns=6 * (seed % 2), max_workers=4, max_ips=max_ips)
    machine = Machine(segment, fork, rules, chance)
    try:
        for _ in range(FEWEST_PROCESSES):
            machine.join()
        for _ in range(STEPS):
            (step,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
            machine.history.append(step)
            getattr(machine, step)()
            machine.check()
            while len(machine.processes) < FEWEST_PROCESSES:
                machine.join()
        machine.finish()
    except AssertionError as error:
        error.add_note(f"seed {seed}, after {machine.history}")
        raise
    finally:
        for process in machine.processes:
            process.pipe.close()
        machine.tally.close()
