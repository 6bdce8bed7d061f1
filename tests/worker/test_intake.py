"""Only the time in which the client is what we wait for counts against its rate."""

from __future__ import annotations

from gwd.http.bodies import LengthBody
from gwd.worker.intake import RATE_AFTER, Intake


def test_a_slow_client_is_found_out_after_a_while() -> None:
    body = LengthBody(1_000_000)
    intake = Intake(body, 100.0)
    body.feed(b"x" * 500)
    assert not intake.too_slow(100.0 + RATE_AFTER, 1024)
    assert intake.too_slow(100.5 + RATE_AFTER, 1024)


def test_a_client_at_the_rate_is_left_alone() -> None:
    body = LengthBody(1_000_000)
    intake = Intake(body, 100.0)
    body.feed(b"x" * 25_000)
    assert not intake.too_slow(120.0, 1024)


def test_while_reading_is_paused_the_clock_stands() -> None:
    body = LengthBody(1_000_000)
    intake = Intake(body, 100.0)
    intake.pause(101.0)
    intake.resume(201.0)
    assert not intake.too_slow(205.0, 1024)
    assert intake.too_slow(212.0, 1024)


def test_before_the_client_was_asked_nothing_counts() -> None:
    intake = Intake(LengthBody(10), 100.0)
    intake.begin(200.0)
    assert not intake.too_slow(205.0, 1024)
