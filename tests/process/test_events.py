from __future__ import annotations

import json
import os

from gwd.process.events import EventLog


def test_an_event_is_one_json_line(capfd):
    EventLog()("warning", "orders x down", upstream="orders", left=1)
    (line,) = capfd.readouterr().err.splitlines()
    record = json.loads(line)
    assert record.pop("ts").endswith("Z")
    assert record == {"level": "warning", "msg": "orders x down", "upstream": "orders", "left": 1}


def test_a_long_field_cannot_make_a_line_too_long_for_one_write(capfd):
    EventLog()("info", "x" * 10_000, reason="é\n" * 10_000)
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert len(err) < 4096


def test_a_reader_that_stands_still_stops_nobody():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    saved = os.dup(2)
    try:
        while True:
            try:
                os.write(writer, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(writer, True)
        os.dup2(writer, 2)
        EventLog()("info", "lost")
    finally:
        os.dup2(saved, 2)
        for fd in (saved, reader, writer):
            os.close(fd)
