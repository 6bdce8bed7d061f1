"""The tree as a whole, with real processes: births, deaths, who outlives whom."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from echo_rig import Gateway, descendants, is_alive, until


def test_every_slot_serves_on_the_one_port(gateway: Gateway):
    gateway.start()
    workers = gateway.workers()
    assert set(workers) == {0, 1}
    assert len({answer["pid"] for answer in workers.values()}) == 2
    assert f"listening on http://127.0.0.1:{gateway.port}\n" in gateway.said()


def test_a_worker_that_dies_is_followed_up_on_the_same_port(gateway: Gateway):
    gateway.start()
    before = gateway.workers()
    os.kill(before[0]["pid"], signal.SIGKILL)
    died = until(lambda: gateway.events("child died"), "the death to be logged")
    assert died[0]["child"] == "worker 0"
    assert died[0]["signal"] == "SIGKILL"
    until(lambda: len(descendants(gateway.process.pid)) == 3, "the successor")
    after = gateway.workers()
    assert after[0]["pid"] != before[0]["pid"]
    assert after[1]["pid"] == before[1]["pid"]


def test_what_waits_in_a_dead_workers_queue_is_served(gateway: Gateway):
    gateway.write(workers=1)
    gateway.start()
    worker = gateway.workers()[0]["pid"]
    os.kill(worker, signal.SIGSTOP)
    waiting = [gateway.connect() for _ in range(20)]
    for sock in waiting:
        sock.sendall(b"who\n")
    os.kill(worker, signal.SIGKILL)
    for sock in waiting:
        assert b'"slot": 0' in sock.makefile("rb").readline()
        sock.close()


def test_a_controller_that_dies_is_followed_up_and_nobody_notices(gateway: Gateway):
    gateway.start()
    workers = {answer["pid"] for answer in gateway.workers().values()}
    (controller,) = descendants(gateway.process.pid) - workers
    os.kill(controller, signal.SIGKILL)
    until(lambda: gateway.events("child died"), "the death to be logged")
    until(lambda: len(descendants(gateway.process.pid)) == 3, "the successor")
    assert {answer["pid"] for answer in gateway.workers().values()} == workers


def test_a_worker_told_to_end_finishes_while_its_successor_serves(gateway: Gateway):
    gateway.write(workers=1)
    gateway.start()
    before = gateway.workers()[0]["pid"]
    with gateway.connect() as slow:
        slow.sendall(b"slow\n")
        until(lambda: Path(f"/proc/{before}").exists(), "the worker")
        os.kill(before, signal.SIGTERM)
        assert until(lambda: gateway.workers()[0]["pid"] != before, "the successor")
        assert b'"slot": 0' in slow.makefile("rb").readline()
    until(lambda: not is_alive(before), "the end of the old one")
    assert not gateway.events("child died")


def test_no_child_outlives_a_supervisor_that_is_killed(gateway: Gateway):
    gateway.start()
    below = descendants(gateway.process.pid)
    assert len(below) == 3
    gateway.signal(signal.SIGKILL)
    gateway.wait()
    until(lambda: not any(map(is_alive, below)), "the end of all children")


def test_workers_that_die_at_start_end_the_gateway_with_4(gateway: Gateway):
    gateway.write("die")
    gateway.start(ready=False)
    assert gateway.wait() == 4
    assert gateway.events("gwd cannot start")
    assert "Traceback" not in gateway.said()


def test_one_worker_that_dies_at_start_leaves_the_others_serving(gateway: Gateway):
    gateway.write("die1")
    gateway.start(ready=False)
    until(lambda: len(gateway.events("child died")) > 5, "some deaths")
    delays = [event["restart_in"] for event in gateway.events("child died")]
    assert delays[:5] == [0.0, 0.0, 0.0, 0.1, 0.2]
    assert gateway.process.poll() is None


def test_a_second_gateway_on_the_port_is_refused_and_harms_nobody(tmp_path: Path, gateway: Gateway):
    gateway.start()
    (tmp_path / "second").mkdir()
    second = Gateway(tmp_path / "second")
    second.write(bind=f'["127.0.0.1:{gateway.port}"]')
    second.start(ready=False)
    assert second.wait() == 4
    assert f"port {gateway.port} is in use" in second.said()
    assert "Traceback" not in second.said()
    assert set(gateway.workers()) == {0, 1}


def test_a_second_gateway_with_the_same_admin_socket_is_refused(tmp_path: Path, gateway: Gateway):
    gateway.start()
    (tmp_path / "second").mkdir()
    second = Gateway(tmp_path / "second")
    second.admin = gateway.admin
    second.write()
    second.start(ready=False)
    assert second.wait() == 4
    assert f"process {gateway.process.pid}" in second.said()


def test_a_bad_config_is_told_and_nothing_is_started(gateway: Gateway):
    gateway.config.write_text("[server]\nworker = 2\n[[routes]]\nname = 3\n")
    gateway.start(ready=False)
    assert gateway.wait() == 1
    said = gateway.said()
    assert f'{gateway.config}:2: server.worker: unknown key; did you mean "workers"?' in said
    assert f"{gateway.config}:4: routes[0].name" in said
    assert "Traceback" not in said
    assert not Path(gateway.admin).with_name("gwd.pid").exists()


def test_as_many_workers_as_cores_when_the_config_says_auto(gateway: Gateway):
    gateway.write(workers='"auto"', max_workers=1)
    gateway.start()
    assert len(descendants(gateway.process.pid)) == 2


def test_a_hung_worker_shows_its_stack_and_is_replaced(gateway: Gateway):
    gateway.write(server='watchdog = "1s"')
    gateway.start()
    before = gateway.workers()
    with gateway.connect() as sock:
        sock.sendall(b"hang\n")
        until(lambda: gateway.events("child replaced"), "the worker to be found hung")
    until(lambda: gateway.events("child died"), "its end")
    assert gateway.events("child died")[0]["signal"] == "SIGABRT"
    assert "in data_received" in gateway.said()
    after = gateway.workers()
    assert sum(after[slot]["pid"] != before[slot]["pid"] for slot in (0, 1)) == 1


def test_a_frozen_worker_is_killed_when_it_does_not_abort(gateway: Gateway):
    gateway.write(server='watchdog = "1s"')
    gateway.start()
    os.kill(gateway.workers()[1]["pid"], signal.SIGSTOP)
    died = until(lambda: gateway.events("child died"), "its end")
    assert died[0]["signal"] in ("SIGABRT", "SIGKILL")
    assert len(gateway.events("child replaced")) == 1


def test_a_paused_machine_costs_no_worker(gateway: Gateway):
    gateway.write(server='watchdog = "1s"')
    gateway.start()
    before = gateway.workers()
    group = [gateway.process.pid, *descendants(gateway.process.pid)]
    for pid in group:
        os.kill(pid, signal.SIGSTOP)
    threading.Event().wait(3)
    for pid in group:
        os.kill(pid, signal.SIGCONT)
    threading.Event().wait(1)
    assert not gateway.events("child replaced")
    assert not gateway.events("listener adopted")
    assert gateway.workers() == before


def test_the_supervisor_has_one_thread_and_its_children_only_their_fds(gateway: Gateway):
    gateway.write(workers=1)
    gateway.start()
    worker = gateway.workers()[0]["pid"]
    assert len(list(Path(f"/proc/{gateway.process.pid}/task").iterdir())) == 1
    links = [os.readlink(entry) for entry in Path(f"/proc/{worker}/fd").iterdir()]
    listeners = listening_inodes(gateway.port)
    assert len([link for link in links if link in listeners]) == 1
    assert not [link for link in links if "pidfd" in link or "gwd.pid" in link]


def listening_inodes(port: int) -> set[str]:
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            found.add(f"socket:[{fields[9]}]")
    return found


def test_more_dead_children_do_not_leak_fds(gateway: Gateway):
    gateway.write(workers=1)
    gateway.start()
    gateway.workers()

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))

    def kill(deaths: int) -> None:
        os.kill(gateway.workers()[0]["pid"], signal.SIGKILL)
        until(lambda: len(gateway.events("child died")) == deaths, "its death")
        gateway.workers()

    kill(1)  # by then what the start itself had open is closed
    before = descriptors()
    for deaths in (2, 3, 4):
        kill(deaths)
    until(lambda: descriptors() == before, f"{before} descriptors again")
