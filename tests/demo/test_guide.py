from __future__ import annotations

from datetime import datetime

import pytest

from gwd.demo.guide import Running, event_line, event_of, guide

RUNNING = Running(
    services=[
        ("profile", (9101, 9102), (11, 12)),
        ("orders", (9103, 9104), (13, 14)),
        ("cart", (9105, 9106), (15, 16)),
    ],
    port=8081,
    workers=2,
    config="/tmp/a demo/demo.toml",
    admin="/tmp/a demo/admin.sock",
    token="aaa.bbb.ccc",
    program="gwd",
)


def test_the_overview_names_what_runs():
    lines = guide(RUNNING).splitlines()
    assert lines[0].startswith("  profile  127.0.0.1:9101 :9102")
    assert lines[0].endswith("Ctrl-C ends everything")
    assert lines[3].split() == [
        *("gateway", "http://127.0.0.1:8081", "2", "workers"),
        *("config", "/tmp/a", "demo/demo.toml"),
    ]


def test_the_instance_to_kill_is_the_first_of_orders():
    assert "\n  kill 13\n" in guide(RUNNING)


def test_paths_are_quoted_for_the_shell():
    assert "--config '/tmp/a demo/demo.toml'" in guide(RUNNING)
    assert "--admin '/tmp/a demo/admin.sock'" in guide(RUNNING)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b'{"ts": "t", "level": "warning", "msg": "orders x down", "upstream": "orders"}',
         "orders x down"),
        (b'{"ts": "t", "level": "error", "msg": "child died", "child": "worker 0", "pid": 7}',
         "child died: child worker 0, pid 7"),
        (b'{"msg": "config loaded"}', "config loaded"),
        (b"Traceback (most recent call last):", None),
        (b"[1, 2]", None),
        (b'{"a": 1}', None),
        (b"", None),
    ],
)  # fmt: skip
def test_log_lines_become_events(line, event):
    assert event_of(line) == event


def test_an_event_has_the_time_in_front():
    assert event_line("x", datetime(2026, 1, 2, 3, 4, 5)) == "03:04:05  x"
