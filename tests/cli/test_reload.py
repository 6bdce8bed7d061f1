"""`gwd reload`: HUP, wait, report."""

from __future__ import annotations

import http.client


def body(running) -> bytes:
    client = http.client.HTTPConnection(running.addresses[0], timeout=20)
    client.request("GET", "/hello")
    said = client.getresponse().read()
    client.close()
    return said


def test_the_new_config_is_in_force_when_it_returns(running):
    running.start()
    running.write("two")
    done = running.gwd("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("reloaded (config ")
    assert body(running) == b"two"


def test_a_refused_config_is_told_and_changes_nothing(running):
    running.start()
    running.write("two", server="worker = 3\nidle_timeout = 4")
    refused = running.gwd("reload")
    assert refused.returncode == 1
    lines = refused.stderr.splitlines()
    assert f'{running.config}:6: server.worker: unknown key; did you mean "workers"?' in lines
    assert sum("idle_timeout" in line for line in lines) == 1
    assert body(running) == b"one"


def test_what_needs_a_restart_is_told(running):
    running.start()
    running.write("two")
    running.config.write_text(running.config.read_text().replace("127.0.0.1:0", "127.0.0.2:0"))
    refused = running.gwd("reload")
    assert refused.returncode == 1
    assert "server.bind has changed, which needs a restart" in refused.stderr


def test_without_a_daemon_the_exit_code_is_3(running):
    done = running.gwd("reload")
    assert done.returncode == 3
    assert "no running gwd" in done.stderr
    assert done.stderr.count("\n") == 1
