"""The access log: one JSON object per request and line, whatever was in the request (SEC-45)."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from rig.client import request
from rig.configs import config
from rig.gateway import until
from rig.kinds import Connect, StartGateway, StartUpstream

FIELDS = {
    "ts",
    "level",
    "msg",
    "request_id",
    "client_ip",
    "remote_ip",
    "method",
    "host",
    "path",
    "proto",
    "status",
    "bytes_in",
    "bytes_out",
    "duration",
    "upstream_duration",
    "route",
    "upstream",
    "endpoint",
    "attempts",
    "reason",
    "sub",
    "user_agent",
}


def test_a_line_tells_what_happened(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address))
    client = connect(running)
    sends = request("/orders/1?secret=1", "User-Agent: test", method="POST", body=b"abc")
    answer = client.request(sends)
    (line,) = running.logged(1)
    assert line.keys() >= FIELDS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line["ts"]))
    expected = {
        "request_id": answer.get("x-request-id"),
        "client_ip": "127.0.0.1",
        "method": "POST",
        "host": "gw.test",
        "path": "/orders/1",
        "status": 200,
        "bytes_in": 3,
        "bytes_out": 3,
        "route": "app",
        "upstream": "app",
        "endpoint": up.address,
        "attempts": 1,
        "reason": "",
        "user_agent": "test",
    }
    assert expected.items() <= line.items()
    duration = line["duration"]
    assert isinstance(duration, float)
    assert 0 < duration < 10
    assert "secret" not in str(line)


def test_hostile_bytes_stay_inside_their_field(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address))
    hostile = ('"}', "\\", "\xe9\xff", "\xe2\x80\xa8", "a\tb", "${jndi:x}", "x" * 5000)
    for agent in hostile:
        with connect(running) as client:
            client.get("/x", f"User-Agent: {agent}", "Connection: close")
    for junk in (
        b"\x00\x1b[31m\r\n\r\n",
        b'GET /"\n{} HTTP/1.1\r\n\r\n',
        b"\xff" * 100 + b"\r\n\r\n",
    ):
        with connect(running) as client:
            client.request(junk)
    lines = running.logged(len(hostile) + 3)
    assert len(lines) == len(hostile) + 3
    assert sorted(str(line["status"]) for line in lines)[-3:] == ["400"] * 3
    assert all(len(str(line["user_agent"])) <= 2048 for line in lines)


def test_refusals_say_why_in_a_word(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    routes = '[[routes]]\nname = "app"\npath = "/app"\nmethods = ["GET"]\nupstream = "app"\n'
    running = gateway(config(upstream().address, routes=routes))
    client = connect(running)
    client.get("/nowhere")
    client.get("/app", method="DELETE")
    lines = running.logged(2)
    assert [(line["status"], line["reason"], line["route"]) for line in lines] == [
        (404, "no_route", "-"),
        (405, "method_not_allowed", "-"),
    ]


def test_lines_of_many_workers_do_not_mix(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address), workers=2)
    clients = [connect(running) for _ in range(16)]
    for _ in range(50):
        for client in clients:
            client.send(request("/" + "x" * 300))
        for client in clients:
            assert client.response().status == 200
    assert len(running.logged(800)) == 800


def test_a_file_is_reopened_by_usr1(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    running = gateway(config(upstream().address, server=(f'access_log = "{log}"',)), workers=2)
    client = connect(running)
    client.get("/1")
    assert until(lambda: log.read_text().count("\n") == 1)
    log.rename(tmp_path / "access.log.1")
    running.kill(signal.SIGUSR1)
    assert until(log.exists)
    assert until(lambda: client.get("/2").status == 200 and '"/2"' in log.read_text())
    assert '"/2"' not in (tmp_path / "access.log.1").read_text()


def test_it_can_be_switched_off(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=('access_log = "off"',)))
    assert connect(running).get("/x").status == 200
    assert running.stop() == 0
    assert running.log() == []


def test_a_reload_moves_the_log(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect, tmp_path: Path
) -> None:
    up = upstream()
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    before = config(up.address, server=(f'access_log = "{first}"',))
    running = gateway(before)
    client = connect(running)
    assert client.get("/one").status == 200
    assert until(lambda: first.exists() and "/one" in first.read_text())
    moved = config(up.address, server=(f'access_log = "{second}"',))
    assert running.reload(moved).returncode == 0
    assert client.get("/two").status == 200
    assert until(lambda: second.exists() and "/two" in second.read_text())
    assert "/two" not in first.read_text()
    assert running.reload(before).returncode == 0
    assert client.get("/three").status == 200
    assert until(lambda: "/three" in first.read_text())
