"""HUP: the new config is everywhere or nowhere, and the result is told."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from echo_rig import Gateway, descendants, until


def bodies(gateway: Gateway) -> set[tuple[str, int]]:
    return {(answer["body"], answer["generation"]) for answer in gateway.workers().values()}


def test_a_reload_reaches_every_worker_and_keeps_them(gateway: Gateway):
    gateway.start()
    before = descendants(gateway.process.pid)
    gateway.write("two")
    assert gateway.reload()["msg"] == "reload done"
    assert bodies(gateway) == {("two", 2)}
    assert descendants(gateway.process.pid) == before


def test_a_broken_config_is_refused_with_its_errors_and_changes_nothing(gateway: Gateway):
    gateway.start()
    gateway.config.write_text("worker_count = 2\n[server]\nworker = 2\n")
    assert gateway.reload()["msg"] == "reload refused"
    said = [event["detail"] for event in gateway.events("reload refused")]
    assert any(line.startswith(f"{gateway.config}:1: worker_count: ") for line in said)
    assert any(line.startswith(f"{gateway.config}:3: server.worker: ") for line in said)
    assert bodies(gateway) == {("one", 1)}


def test_a_prepare_that_fails_in_one_worker_aborts_for_all(gateway: Gateway):
    gateway.start()
    gateway.write("refuse")
    refused = gateway.reload()
    assert refused["msg"] == "reload refused"
    assert "worker 1: ValueError: slot 1 does not like this" in refused["detail"]
    assert bodies(gateway) == {("one", 1)}
    gateway.write("three")
    assert gateway.reload()["msg"] == "reload done"
    assert {body for body, _ in bodies(gateway)} == {"three"}


def test_a_worker_that_hangs_in_prepare_is_replaced_and_comes_back_new(gateway: Gateway):
    gateway.start("--phase-time", "1")
    before = gateway.workers()
    gateway.write("hang")
    assert gateway.reload()["msg"] == "reload done"
    assert bodies(gateway) == {("hang", 2)}
    after = gateway.workers()
    assert after[0]["pid"] == before[0]["pid"]
    assert after[1]["pid"] != before[1]["pid"]


def test_a_config_too_big_for_the_time_is_refused_and_kills_nobody(gateway: Gateway):
    gateway.write(workers=1)
    gateway.start("--phase-time", "1")
    os.kill(controller_of(gateway), signal.SIGSTOP)
    before = descendants(gateway.process.pid)
    gateway.write("crawl")
    refused = gateway.reload()
    assert "in time" in refused["detail"]
    assert descendants(gateway.process.pid) >= before - {controller_of(gateway)}
    assert bodies(gateway) == {("one", 1)}


def controller_of(gateway: Gateway) -> int:
    for pid in descendants(gateway.process.pid):
        if Path(f"/proc/{pid}/comm").read_text() == "gwd-controller\n":
            return pid
    raise AssertionError("no controller")


def test_a_config_on_which_children_die_is_refused(gateway: Gateway):
    gateway.start()
    gateway.write("perish")
    refused = gateway.reload()
    assert "die while they prepare" in refused["detail"]
    assert bodies(gateway) == {("one", 1)}


def test_a_commit_that_fails_costs_that_worker_not_the_config(gateway: Gateway):
    gateway.start()
    gateway.write("explode")
    assert gateway.reload()["msg"] == "reload done"
    assert bodies(gateway) == {("explode", 2)}


def test_a_worker_born_later_has_the_new_config(gateway: Gateway):
    gateway.start()
    gateway.write("two")
    gateway.reload()
    os.kill(gateway.workers()[0]["pid"], signal.SIGKILL)
    until(lambda: gateway.events("child died"), "the death")
    assert bodies(gateway) == {("two", 2)}


def test_many_hups_are_taken_as_few_and_the_last_file_wins(gateway: Gateway):
    gateway.start()
    for number in range(50):
        gateway.write(f"number {number}")
        gateway.signal(signal.SIGHUP)
    until(lambda: {body for body, _ in bodies(gateway)} == {"number 49"}, "the last config")
    until(
        lambda: len(gateway.events("reload done")) == len(gateway.events("reload begun")),
        "the end of the last reload",
    )
    assert len(gateway.events("reload begun")) < 50
    assert not gateway.events("reload refused")


def test_more_workers_can_be_had_by_a_reload(gateway: Gateway):
    gateway.start()
    gateway.write("two", workers=4)
    done = gateway.reload()
    assert done["detail"] == "reloaded, 4 workers instead of 2"
    workers = gateway.workers()
    assert set(workers) == {0, 1, 2, 3}
    assert {answer["workers"] for answer in workers.values()} == {4}
    assert {answer["body"] for answer in workers.values()} == {"two"}


def test_what_needs_a_restart_is_refused_by_name(gateway: Gateway):
    gateway.start()
    gateway.write("two", bind='["127.0.0.1:0", "127.0.0.2:0"]', max_workers=8)
    assert gateway.reload()["msg"] == "reload refused"
    said = gateway.said()
    assert "server.bind has changed, which needs a restart" in said
    assert "[segment] has changed, which needs a restart" in said
    gateway.write("one", bind='["127.0.0.1:0"]', max_workers=4)
    assert bodies(gateway) == {("one", 1)}


def test_reloads_leak_no_fd(gateway: Gateway):
    gateway.start()
    gateway.reload()
    counts = []
    for body in ("two", "refuse", "three", "refuse", "four"):
        gateway.write(body)
        gateway.reload()
        counts.append(len(os.listdir(f"/proc/{gateway.process.pid}/fd")))
    assert len(set(counts)) == 1


def test_the_service_manager_hears_every_step(gateway: Gateway, tmp_path: Path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        gateway.start(NOTIFY_SOCKET=path)
        assert manager.recv(1000).startswith(b"READY=1\nSTATUS=2 workers, config ")
        gateway.write("two")
        gateway.reload()
        assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(1000).startswith(b"READY=1\n")
        gateway.config.write_text("[server]\nworker = 2\n")
        gateway.reload()
        assert manager.recv(1000).startswith(b"RELOADING=1\n")
        refused = manager.recv(5000).decode()
        assert refused.startswith("READY=1\n")
        assert "last reload refused" in refused
        assert "server.worker" in refused
        gateway.signal(signal.SIGTERM)
        assert manager.recv(1000).startswith(b"STOPPING=1")


def test_the_watchdog_of_the_service_manager_is_fed(gateway: Gateway, tmp_path: Path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        gateway.start(NOTIFY_SOCKET=path, WATCHDOG_USEC="500000")
        said = [manager.recv(1000) for _ in range(4)]
        assert said.count(b"WATCHDOG=1") >= 3


def test_a_hup_while_it_stops_is_ignored(gateway: Gateway):
    gateway.write(server='shutdown_delay = "30s"')
    gateway.start()
    gateway.signal(signal.SIGTERM)
    until(lambda: gateway.events("gwd stopping"), "the stop to begin")
    gateway.signal(signal.SIGHUP)
    until(lambda: gateway.events("reload ignored"), "the reload to be ignored")
