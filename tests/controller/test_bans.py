"""What the controller makes of the bans: which reach the kernel, when, and what is told."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gwd.config.snapshot import Ban as BanConfig
from gwd.config.snapshot import Snapshot
from gwd.controller.bans import LEAST_INSTRUCTIONS, MOST_LINES, BanWatch
from gwd.controller.packet_filter import compile_filter
from gwd.segment.bans import BY_HAND, FILTER_FAILED, FILTER_ON, RATE, Bans
from gwd.segment.layout import BAN_UNTIL
from gwd.segment.memory import Segment, Sizes

NOW, SECOND = 1_000_000_000, 1_000_000
ONE, TWO = bytes([203, 0, 113, 1]), bytes([203, 0, 113, 2])
NETWORK = bytes.fromhex("20010db800000001") + bytes(8)


class Watched:
    """A watch over the bans of a segment of its own; `said` is what the supervisor heard."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.loop = asyncio.new_event_loop()
        self.segment = Segment.create(
            Sizes(max_workers=1, max_ips=1024, max_endpoints=4, max_routes=4)
        )
        self.bans = Bans(self.segment)
        self.said: list[dict[str, Any]] = []
        self.logged: list[tuple[str, dict[str, object]]] = []
        self.snapshot = snapshot
        self.deaf = False
        """The supervisor does not read just now."""
        self.failures: list[BaseException] = []
        self.watch = self.another()

    def another(self) -> BanWatch:
        """The watch of a new controller."""
        self.watch = BanWatch(self.loop, self.segment, self._tell, self._log, self.failures.append)
        self.watch.configure(self.snapshot)
        return self.watch

    def _tell(self, message: dict[str, object]) -> bool:
        if not self.deaf:
            self.said.append(message)
        return not self.deaf

    def _log(self, level: str, event: str, **fields: object) -> None:
        self.logged.append((event, fields))

    def configure(self, **limits: Any) -> None:
        self.snapshot = replace(self.snapshot, limits=replace(self.snapshot.limits, **limits))
        self.watch.configure(self.snapshot)

    def ban(self, key: bytes, seconds: float = 60, *, peer: bool = True, **more: Any) -> None:
        prefix = 32 if len(key) == 4 else 64
        reason = more.get("reason", RATE)
        until = NOW + round(seconds * SECOND)
        weight = more.get("weight", 0)
        assert self.bans.ban(key, prefix, NOW, until, reason, peer=peer, weight=weight)

    def refuse(self, number: int) -> None:
        """Answer as the supervisor does if the kernel refuses."""
        said = self.said[-1]
        self.bans.filter_is(FILTER_FAILED, number, said["addresses"], said["sequence"])

    def look(self, after: float = 0) -> dict[str, Any] | None:
        """One look; what was said, if anything."""
        before = len(self.said)
        self.watch.look(NOW + round(after * SECOND))
        return self.said[-1] if len(self.said) > before else None


@pytest.fixture
def watched(snapshot: Snapshot) -> Iterator[Watched]:
    made = Watched(snapshot)
    yield made
    made.loop.close()
    made.segment.close()


def program(*keys: bytes) -> bytes:
    return compile_filter([(key, 32 if len(key) == 4 else 64) for key in keys]).program


def test_nothing_is_said_as_long_as_nobody_was_ever_banned(watched: Watched) -> None:
    assert watched.look() is None


def test_each_change_is_said_once_and_an_end_too(watched: Watched) -> None:
    watched.ban(ONE, 10)
    watched.ban(NETWORK, 20)
    said = watched.look()
    assert said is not None
    assert (said["op"], said["addresses"]) == ("ban_filter", 2)
    assert said["sequence"] == watched.bans.sequence
    assert watched.look(1) is None
    said = watched.look(10)
    assert said is not None
    assert said["program"] == program(NETWORK)
    assert watched.look(11) is None
    watched.bans.unban(NETWORK, NOW)
    said = watched.look(12)
    assert said is not None
    assert said["program"] == b""


def test_only_peers_reach_the_kernel_and_never_the_protected(watched: Watched) -> None:
    watched.configure(exempt=("203.0.113.2/32", "2001:db8:0:1::7/128"))
    watched.ban(ONE, peer=False)
    watched.ban(TWO)
    watched.ban(NETWORK)  # it holds an exempt address
    said = watched.look()
    assert said is not None
    assert (said["program"], said["addresses"]) == (b"", 0)


@pytest.mark.parametrize("action", ["close", "refuse"])
def test_other_actions_leave_the_kernel_alone_and_a_new_config_counts_at_once(
    watched: Watched, action: str
) -> None:
    watched.ban(ONE)
    assert watched.look() is not None
    watched.configure(ban=BanConfig(after=3.0, for_=60.0, action=action))
    said = watched.look()
    assert said is not None
    assert said["program"] == b""
    watched.configure(ban=BanConfig(after=3.0, for_=60.0, action="drop"))
    said = watched.look()
    assert said is not None
    assert said["program"] == program(ONE)


def test_by_hand_comes_first_then_the_busiest_and_less_when_the_kernel_has_no_memory(
    watched: Watched,
) -> None:
    keys = [bytes([10, 0, number, 1]) for number in range(0, 250, 2)]
    for weight, key in enumerate(keys):
        watched.ban(key, weight=weight)
    watched.ban(ONE, reason=BY_HAND)
    said = watched.look()
    assert said is not None
    assert said["addresses"] == len(keys) + 1
    wanted = [ONE, *reversed(keys)]
    while (length := len(said["program"]) // 8) > LEAST_INSTRUCTIONS:
        watched.refuse(errno.ENOMEM)
        said = watched.look()
        assert said is not None
        assert length // 4 < len(said["program"]) // 8 <= length // 2
        assert said["program"] == program(*wanted[: said["addresses"]])
        assert watched.look() is None, "no answer yet"
    assert 0 < said["addresses"] < len(keys)
    watched.refuse(errno.ENOMEM)
    assert watched.look() is None, "less would not help"
    watched.configure()  # whoever reloads may have given it more memory
    said = watched.look()
    assert said is not None
    assert said["addresses"] == len(keys) + 1
    watched.refuse(errno.EPERM)
    assert watched.look() is None, "less would not help"


def test_what_the_supervisor_does_not_read_now_is_said_later_as_it_is_then(
    watched: Watched,
) -> None:
    watched.ban(ONE)
    watched.deaf = True
    assert watched.look() is None
    watched.ban(TWO)
    assert watched.look() is None
    watched.deaf = False
    said = watched.look()
    assert said is not None
    assert (said["addresses"], said["sequence"]) == (2, watched.bans.sequence)
    assert watched.look() is None


def test_many_bans_at_once_are_told_in_few_lines(watched: Watched) -> None:
    watched.ban(ONE, 90, reason=BY_HAND)
    watched.look()
    assert watched.logged == [
        ("banned", {"ip": "203.0.113.1", "prefix": 32, "seconds": 90.0, "reason": "by_hand"})
    ]
    for number in range(MOST_LINES + 7):
        watched.ban(bytes([10, 0, 0, number]))
    watched.look()
    assert len(watched.logged) == 1 + MOST_LINES + 1
    assert watched.logged[-1] == ("banned", {"detail": "7 more at once"})


def test_a_ban_is_told_of_once_and_so_is_its_lifting(watched: Watched) -> None:
    watched.ban(ONE, 60)
    watched.look()
    watched.ban(ONE, 61)  # another worker, at the same time
    watched.ban(NETWORK, 10)
    watched.look(1)
    assert [(event, fields["ip"]) for event, fields in watched.logged] == [
        ("banned", "203.0.113.1"),
        ("banned", "2001:db8:0:1::"),
    ]
    watched.bans.unban(ONE, NOW)
    watched.look(20)  # meanwhile the other ban has run out, which is no event
    assert watched.logged[2:] == [("ban lifted", {"ip": "203.0.113.1", "prefix": 32})]


def test_a_new_controller_says_all_anew_and_tells_of_what_the_last_one_missed(
    watched: Watched,
) -> None:
    watched.ban(ONE)
    said = watched.look()
    assert said is not None
    watched.bans.filter_is(FILTER_ON, 0, 1, said["sequence"])
    watched.logged.clear()
    watched.ban(TWO)
    watched.another()
    said = watched.look()
    assert said is not None
    assert said["addresses"] == 2
    assert [fields["ip"] for _, fields in watched.logged] == ["203.0.113.2"]


def test_a_fault_of_ours_is_told_and_ends_the_looking(watched: Watched) -> None:
    watched.ban(ONE)
    error = RuntimeError("no")

    def fail(message: dict[str, object]) -> bool:
        raise error

    watched.watch = BanWatch(
        watched.loop, watched.segment, fail, watched._log, watched.failures.append
    )
    watched.watch.configure(watched.snapshot)
    watched.watch.start()
    assert watched.failures == [error]


def test_as_long_as_a_change_is_not_finished_every_look_is_at_all(watched: Watched) -> None:
    watched.ban(ONE)
    done = watched.bans.sequence
    watched.ban(TWO)
    watched.segment.words[watched.bans.sequence_word] -= 1  # its maker was killed right before
    said = watched.look()
    assert said is not None
    assert (said["addresses"], said["sequence"]) == (2, done)
    assert watched.look() is None, "nothing else to say"
    rows = watched.segment.layout.bans
    for number in range(rows.rows):  # a row that changes before the number of changes does
        watched.segment.words[rows.row(number) + BAN_UNTIL] = 0
    said = watched.look()
    assert said is not None
    assert said["program"] == b""
    watched.ban(ONE)
    assert watched.look() is not None
    assert watched.look() is None
