"""`gwd status`: tables and JSON of a running gateway."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys

import pytest

from gwd.cli.status import _adopted, duration, quantile, span
from gwd.segment.metrics import EDGES


def test_the_tables_show_processes_upstreams_and_routes(running):
    running.start("--workers", "2")
    for _ in range(3):
        client = http.client.HTTPConnection(running.addresses[0], timeout=20)
        client.request("GET", "/hello")
        client.getresponse().read()
        client.close()
    done = running.gwd("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("gwd ")
    assert lines[0].endswith("workers 2/2  bans: off")
    assert lines[1] == f"listening on {running.addresses[0]}"
    assert lines[2].startswith("total 3 requests  2xx 100.0%")
    words = [line.split() for line in lines]
    assert ["worker", "1"] in [line[:2] for line in words]
    assert ["app", "127.0.0.1:9"] in [line[:2] for line in words]
    assert ["hello", "3", "3"] in [line[:3] for line in words]


def test_json_holds_the_same_for_machines(running):
    running.start()
    done = running.gwd("status", "--json")
    found = json.loads(done.stdout)
    assert found["pid"] == running.process.pid
    assert found["addresses"] == running.addresses
    assert found["workers_wanted"] == 1
    roles = [(process["role"], process["state"]) for process in found["processes"]]
    assert roles == [("worker", "ready"), ("controller", "ready")]
    assert {route["route"] for route in found["routes"]} == {"-", "app", "hello"}
    assert found["upstreams"][0]["upstream"] == "app"
    assert found["config"]["generation"] == 1


LIMITS = """
[limits]
exempt = ["127.0.0.9"]
[limits.per_ip]
rate = "1/h"
burst = 3
[limits.ban]
after = 3600
action = "refuse"
"""


def test_what_limits_came_to_is_counted_per_process_and_in_all(running):
    with running.config.open("a") as file:
        file.write(LIMITS)
    running.start("--workers", "2")
    assert running.gwd("status").stdout.partition("\n")[0].endswith("  bans: refuse")
    statuses = []
    for _ in range(9):
        client = http.client.HTTPConnection(running.addresses[0], timeout=20)
        client.request("GET", "/hello")
        statuses.append(client.getresponse().status)
        client.close()
    served, refused = statuses.count(200), statuses.count(429)
    assert served + refused == 9

    found = json.loads(running.gwd("status", "--json").stdout)
    limits = found["limits"]
    # Three refusals are too many; the third of them is the first that meets the ban.
    counts = [served, 3, refused - 2]
    assert [limits[name] for name in ("allowed", "limited", "banned")] == counts
    assert (limits["bans_made"], limits["bans_running"]) == (1, 1)
    assert limits["bans_enforced_by"] == "refuse"
    assert limits["tracked"] >= 1
    assert limits["evicted"] == limits["coarse"] == limits["uncounted"] == 0
    workers = [p["limits"] for p in found["processes"] if p["role"] == "worker"]
    for name in ("allowed", "limited", "banned", "tracked", "bans_made"):
        assert sum(each[name] for each in workers) == limits[name]

    lines = running.gwd("status").stdout.splitlines()
    in_all = f"allowed {served}  limited 3  banned 1, turned away {refused - 2}  bans made 1"
    assert f"limits: {in_all}" in lines
    columns = next(line for line in lines if line.startswith("PROCESS")).split()[-3:]
    assert columns == ["ALLOWED", "LIMITED", "BANNED"]
    rows = [line.split()[-3:] for line in lines if line.startswith("worker ")]
    assert [sum(map(int, column)) for column in zip(*rows, strict=True)] == counts


def test_who_keeps_bans_is_said_in_the_first_line(running):
    running.start()
    assert running.gwd("ban", "192.0.2.1").returncode == 0
    found = json.loads(running.gwd("status", "--json").stdout)["limits"]
    assert found["bans_running"] == 1
    first = running.gwd("status").stdout.partition("\n")[0]
    if found["bans_filter_error"]:  # this kernel takes none
        assert f"  bans: close (no filter: {found['bans_filter_error']})" in first
    else:
        assert first.endswith("  bans: kernel")


def test_who_accepts_for_others_is_said():
    adopted = [{"slot": 2, "by": 0}, {"slot": 3, "by": 1}, {"slot": 4, "by": 0}]
    assert _adopted(adopted) == "slots 2, 4 by worker 0; slot 3 by worker 1"


def test_the_last_refusal_is_shown(running):
    running.start()
    running.write(server="worker = 3")
    running.gwd("reload")
    done = running.gwd("status")
    assert "(last reload refused)" in done.stdout
    assert "server.worker: unknown key" in done.stdout


def test_it_works_when_every_process_hangs(running):
    running.start()
    found = json.loads(running.gwd("status", "--json").stdout)
    os.kill(running.process.pid, signal.SIGSTOP)
    for process in found["processes"]:
        os.kill(process["pid"], signal.SIGSTOP)
    assert running.gwd("status").returncode == 0


def test_the_daemon_is_found_by_its_config_and_by_the_environment(running):
    running.start()
    by_config = running.config.with_name("other.toml")
    by_config.write_text(f'[admin]\nbind = "unix:{running.admin}"\nnot even valid = 1\n')
    command = [sys.executable, "-m", "gwd", "status", "--json"]
    environ = running.environ | {"GWD_ADMIN": f"unix:{running.admin}"}
    done = subprocess.run(command, capture_output=True, env=environ, timeout=60)
    assert json.loads(done.stdout)["pid"] == running.process.pid
    by_config.write_text(f'[admin]\nbind = "unix:{running.admin}"\n[server]\nnonsense = 1\n')
    command += ["--config", str(by_config)]
    done = subprocess.run(command, capture_output=True, env=running.environ, timeout=60)
    assert json.loads(done.stdout)["pid"] == running.process.pid


def test_without_a_daemon_the_exit_code_is_3(running):
    done = running.gwd("status")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m"), (61, "1m 1s"), (7260, "2h 1m"), (273600, "3d 4h")],
)
def test_spans_are_told_in_two_units(seconds: float, text: str):
    assert span(seconds) == text


def test_durations_keep_their_magnitude():
    assert [duration(value) for value in (None, 0.0023, 0.25, 1.5)] == [
        "-",
        "2.3ms",
        "250ms",
        "1.5s",
    ]


def test_a_quantile_is_the_edge_below_which_its_share_lies():
    buckets = [0] * (len(EDGES) + 1)
    assert quantile(buckets, 0.5) is None
    buckets[3] = 98
    buckets[10] = 2
    assert quantile(buckets, 0.5) == EDGES[3]
    assert quantile(buckets, 0.99) == EDGES[10]
    buckets[-1] = 10_000
    assert quantile(buckets, 0.99) is None
