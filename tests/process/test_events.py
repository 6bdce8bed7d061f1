"""The daemon's event lines."""

from __future__ import annotations

import json
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.process.events import MAX_LINE, EventLog, line


def test_an_event_is_one_json_object_on_one_line():
    said = line("info", "gwd ready", {"addresses": ["127.0.0.1:8080"]})
    assert said.endswith(b"\n")
    assert said.count(b"\n") == 1
    record = json.loads(said)
    assert record["level"] == "info"
    assert record["msg"] == "gwd ready"
    assert record["addresses"] == ["127.0.0.1:8080"]
    assert record["ts"].endswith("Z")


@given(st.text(max_size=6000), st.text(max_size=6000))
@settings(max_examples=50)
def test_no_text_breaks_the_line_or_its_bound(first: str, second: str):
    said = line("error", "reload refused", {"detail": first, "more": second})
    assert said.isascii()
    assert said.count(b"\n") == 1
    assert len(said) <= MAX_LINE
    json.loads(said)


def test_a_reader_that_stands_still_costs_lines_not_the_supervisor():
    reader, writer = os.pipe()
    try:
        log = EventLog(writer)
        for _ in range(100):
            log("info", "x", detail="y" * 2000)  # more than a pipe holds; nobody reads
        while len(os.read(reader, 65536)) == 65536:
            pass
        log("info", "after")
        last = json.loads(os.read(reader, 65536).splitlines()[-1])
        assert last["msg"] == "after"
        assert last["lines_dropped"] > 0
    finally:
        os.close(reader)
        os.close(writer)


def test_a_closed_stderr_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    EventLog(writer)("info", "x")
