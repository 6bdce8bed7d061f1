"""What the supervisor has to tell."""

from __future__ import annotations

import os
import time

from gwd.segment import layout
from gwd.segment.board import NONE, OK, REFUSED, RUNNING, Board


def test_the_board_tells_how_a_reload_ended(make):
    board = Board(make())
    assert board.read().state == NONE
    board.loaded(1, "abc123")
    board.reload_begun()
    view = board.read()
    assert (view.state, view.sequence, view.generation, view.digest) == (RUNNING, 1, 1, "abc123")
    board.reload_done(False, "x.toml:3: no", 1, "abc123")
    view = board.read()
    assert (view.state, view.message, view.generation) == (REFUSED, "x.toml:3: no", 1)
    board.reload_begun()
    board.reload_done(True, "", 2, "def")
    view = board.read()
    assert (view.state, view.sequence, view.digest, view.generation) == (OK, 2, "def", 2)
    assert view.supervisor_pid == os.getpid()
    assert abs(view.loaded_at - time.time()) < 60
    assert 0 < view.started_ns <= time.monotonic_ns()


def test_a_message_of_4_kib_is_told_whole_and_a_longer_one_cut(make):
    board = Board(make())
    board.reload_done(False, "m" * 4096, 1, "d")
    assert board.read().message == "m" * 4096
    board.reload_done(False, "m" * 4095 + "ö", 1, "d")
    assert board.read().message == "m" * 4095 + "\ufffd"


def test_a_reader_never_sees_a_mixture(make, fork):
    board = Board(make())

    def write() -> None:
        number = 0
        while True:
            number += 1
            board.reload_done(True, str(number % 10) * 1000, number, str(number % 10) * 10)
            time.sleep(0.0005)

    child = fork(write)
    seen = set()
    while len(seen) < 20:
        view = board.read()
        seen.add(view.generation)
        if view.generation:
            digit = str(view.generation % 10)
            assert (view.message, view.digest) == (digit * 1000, digit * 10)
    child.kill()


def test_a_supervisor_killed_while_it_wrote_blocks_neither_readers_nor_its_successor(
    make,
):
    segment = make()
    board = Board(segment)
    board.reload_done(True, "done", 1, "abc")
    segment.words[segment.layout.board.start + layout.BOARD_SEQUENCE] += 1
    assert board.read().generation == 1
    board.reload_done(True, "again", 2, "def")
    word = segment.words[segment.layout.board.start + layout.BOARD_SEQUENCE]
    assert word % 2 == 0
    assert board.read().message == "again"
