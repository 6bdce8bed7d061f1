"""`gwd run`: it serves, or it says in a line why not."""

from __future__ import annotations

import http.client
import signal
import socket
from pathlib import Path


def get(address: str, path: str) -> tuple[int, bytes]:
    client = http.client.HTTPConnection(address, timeout=20)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def test_it_serves_what_the_config_says(running):
    running.start()
    assert get(running.addresses[0], "/hello") == (200, b"one")
    assert f"listening on http://{running.addresses[0]}\n" in running.log.read_text()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0


def test_workers_of_the_command_line_beat_the_config(running):
    running.start("--workers", "2")
    assert "2/2" in running.gwd("status").stdout


def test_more_workers_than_the_segment_has_room_for_are_refused(running):
    running.start("--workers", "99", ready=False)
    assert running.process.wait(20) == 1
    assert "segment.max_workers" in running.log.read_text()


def test_every_error_of_a_bad_config_is_one_line_and_the_exit_code_1(running):
    running.write(server="worker = 3\nidle_timeout = 4")
    running.start(ready=False)
    assert running.process.wait(20) == 1
    said = running.log.read_text().splitlines()
    assert len(said) == 2
    assert all(line.startswith(f"{running.config}:") for line in said)


def test_a_missing_config_is_one_line_and_the_exit_code_1(running):
    running.config.unlink()
    running.start(ready=False)
    assert running.process.wait(20) == 1
    assert len(running.log.read_text().splitlines()) == 1


def test_routes_that_cannot_be_told_apart_are_refused(running):
    text = running.config.read_text()
    running.config.write_text(
        f'{text}[[routes]]\nname = "again"\npath = "/hello"\nrespond = {{ status = 204 }}\n'
    )
    running.start(ready=False)
    assert running.process.wait(20) == 1
    said = running.log.read_text()
    assert "again" in said
    assert "GET /hello" in said
    assert "Traceback" not in said


def test_a_busy_port_is_named_and_the_exit_code_4(running):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = running.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}")
        running.config.write_text(text)
        running.start(ready=False)
        assert running.process.wait(20) == 4
    assert f"port {port} is in use" in running.log.read_text()
    assert not Path(running.admin).exists()


def test_a_runtime_directory_that_cannot_be_had_is_one_line(running):
    running.admin = "/proc/nowhere/admin.sock"
    running.start(ready=False)
    assert running.process.wait(20) == 1
    said = running.log.read_text()
    assert "runtime directory" in said
    assert len(said.splitlines()) == 1


def test_the_supervisor_loads_no_parser_and_starts_no_thread(running):
    running.start()
    pid = running.process.pid
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "pydantic" not in maps
    assert "tree_sitter" not in maps
