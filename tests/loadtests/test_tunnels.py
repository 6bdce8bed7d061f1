"""The measurement of tunnels: its tables, and its client and service on each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests.compare import machine
from loadtests.tunnels.__main__ import keep, table, words
from loadtests.tunnels.delays import PAYLOAD, echoes, events, message
from loadtests.tunnels.reloads import Outcome
from loadtests.tunnels.service import EVENT, switching
from loadtests.tunnels.ways import DIRECT, start_service


def test_what_is_added_is_the_difference_to_the_straight_way() -> None:
    lines = table("x", {DIRECT: [0.0001] * 3, "gwd": [0.00015] * 3}).splitlines()
    assert lines[2:] == ["| direct | 3 | 100 | 100 |  |  |", "| gwd | 3 | 150 | 150 | 50 | 50 |"]


@pytest.mark.parametrize(("closed", "wrong"), [(0, 0), (1, 0), (0, 1)])
def test_a_run_is_good_if_nothing_was_closed_or_lost(closed: int, wrong: int) -> None:
    outcome = Outcome(2, 3, closed=closed, wrong=wrong, messages=7, events=8, reloads=9)
    assert outcome.good is (closed + wrong == 0)
    assert f"**{closed} closed**" in words(outcome)


def test_a_kept_run_says_what_it_was_made_with(tmp_path: Path) -> None:
    meta = machine.meta("loadtests.tunnels", machine.programs("no-such-program"))
    keep(tmp_path / "kept", ["All was well.", machine.words(meta)], meta)
    text = (tmp_path / "kept" / "report.md").read_text()
    assert text.startswith(f"# WebSocket and event streams, {meta['started'][:10]}\n\nAll was")
    kept = json.loads((tmp_path / "kept" / "meta.json").read_text())
    assert kept["commit"] == meta["commit"]
    assert kept["command"].startswith("python -m loadtests.tunnels")
    assert set(kept["versions"]) == {"interpreter", "gwd"}


def test_the_handshake_is_answered_by_the_book() -> None:
    head = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in switching(head)


def test_messages_are_masked_and_events_are_recognised() -> None:
    assert message(b"ab") == b"\x82\x82\0\0\0\0ab"
    assert [match.groups() for match in EVENT.finditer(b"5\r\ndata: 1 23\n\n\r\n")] == [
        (b"1", b"23")
    ]


def test_messages_come_back_and_events_arrive_in_order(tmp_path: Path) -> None:
    service = start_service(tmp_path / "service")
    try:
        assert len(echoes(service.port, 50, 2000)) == 50
        assert len(events(service.port, 50, 500)) == 50
    finally:
        service.stop()
    assert PAYLOAD < 126
