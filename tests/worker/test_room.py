"""Who makes room for one more connection, and how many descriptors are enough for."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from typing import cast

import pytest

from gwd.config.snapshot import Upstream
from gwd.worker.room import OWN, Holder, make_room, open_descriptors, places


class Place:
    """A connection as `make_room` sees it."""

    def __init__(
        self, *, idle_since: float = 0.0, spare: bool = False, owed: float = 0.0, key: bytes = b""
    ) -> None:
        self.address = key or bytes([id(self) % 251, id(self) // 251 % 251])
        self.idle_since = idle_since
        self.spare = spare
        self.deadline = -owed
        self._owed = owed
        self.left = False

    def dawdles(self, now: float, patience: float) -> bool:
        return self._owed > patience

    def make_room(self) -> None:
        self.left = True


def _make_room(places: list[Place]) -> int:
    return make_room(cast("list[Holder]", places), 100.0)


def test_those_idle_longest_leave_and_a_part_of_all_at_most() -> None:
    idle = [Place(idle_since=number, spare=True) for number in range(640)]
    busy = [Place() for _ in range(640)]
    assert _make_room([*busy, *idle])
    assert [place.left for place in idle] == [True] * 20 + [False] * 620
    assert not any(place.left for place in busy)


def test_those_leave_first_that_owe_a_head() -> None:
    few = [Place(owed=owed) for owed in (0.5, 3.0, 2.0, 0.9)] + [Place(spare=True)]
    assert _make_room(few)
    assert [place.left for place in few] == [False, True, False, False, False]


def test_an_address_that_crowds_others_out_is_given_less_time() -> None:
    crowd = [Place(owed=0.2, key=b"bad") for _ in range(20)]
    others = [Place(owed=0.2, key=bytes([number])) for number in range(40)]
    assert _make_room([*others, *crowd])
    assert any(place.left for place in crowd)
    assert not any(place.left for place in others)


def test_nobody_leaves_who_is_needed() -> None:
    assert not _make_room([Place(), Place(owed=0.2)])
    assert not _make_room([])


@pytest.fixture
def _limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("_limit")
def test_a_quarter_of_the_descriptors_at_most_is_for_upstreams() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    upstream = cast("Upstream", type("U", (), {"endpoints": (1, 2), "max_connections": 30}))
    assert places(40, []) == 360 - OWN
    assert places(40, [upstream]) == 300 - OWN
    assert places(40, [upstream, upstream]) == 260 - OWN
    assert places(1000, [upstream]) == 1
    assert places(40, [upstream], 1000) == 900 - OWN


def test_descriptors_are_counted() -> None:
    before = open_descriptors()
    reader, writer = os.pipe()
    assert open_descriptors() == before + 2
    os.close(reader)
    os.close(writer)
