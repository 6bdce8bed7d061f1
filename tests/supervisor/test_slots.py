"""Slots without a worker of their own, in the real tree: their clients are served by others."""

from __future__ import annotations

import os
import signal
from typing import Any

from echo_rig import Gateway, is_alive, until

from gwd.supervisor.pidfile import find


def everybody_is_served(gateway: Gateway, clients: int = 40) -> set[int]:
    """Connect so often that every listener gets some; the slots of the workers that answered."""
    waiting = [gateway.connect() for _ in range(clients)]
    slots = set()
    for sock in waiting:
        sock.sendall(b"who\n")
    for sock in waiting:
        answer = sock.makefile("rb").readline()
        assert answer
        slots.add(int(answer.partition(b'"slot": ')[2].partition(b",")[0]))
        sock.close()
    return slots


def adopted(gateway: Gateway) -> dict[int, int]:
    """What gwd.pid says: slots, and the slots of those who accept for them."""
    found = find(gateway.admin, (), {})
    assert found is not None
    return dict(found.adopted)


def event(gateway: Gateway, name: str, **fields: Any) -> dict[str, Any]:
    """Wait for an event line with these fields."""
    return until(
        lambda: [e for e in gateway.events(name) if fields.items() <= e.items()],
        f"{name} {fields}",
    )[-1]


def test_a_frozen_worker_is_stood_in_for_until_it_wakes(gateway: Gateway):
    gateway.start()
    before = gateway.workers()
    os.kill(before[1]["pid"], signal.SIGSTOP)
    told = event(gateway, "listener adopted")
    assert (told["slot"], told["by"], told["reason"]) == (1, "worker 0", "hung")
    assert everybody_is_served(gateway) == {0}
    assert adopted(gateway) == {1: 0}
    os.kill(before[1]["pid"], signal.SIGCONT)
    event(gateway, "listener released", slot=1, by="worker 0")
    assert everybody_is_served(gateway) == {0, 1}
    assert adopted(gateway) == {}
    after = gateway.workers()
    assert {slot: answer["pid"] for slot, answer in after.items()} == {
        slot: answer["pid"] for slot, answer in before.items()
    }
    assert not any(answer["adopted"] for answer in after.values())
    assert not gateway.events("child replaced")


def test_what_waits_in_the_queue_of_a_frozen_worker_is_served_by_another(gateway: Gateway):
    gateway.start()
    os.kill(gateway.workers()[1]["pid"], signal.SIGSTOP)
    assert everybody_is_served(gateway) == {0}


def test_when_the_adopter_dies_or_freezes_the_next_one_stands_in(gateway: Gateway):
    gateway.write(workers=4)
    gateway.start()
    pids = {slot: answer["pid"] for slot, answer in gateway.workers().items()}
    os.kill(pids[3], signal.SIGSTOP)
    first = event(gateway, "listener adopted", slot=3)
    os.kill(first["pid"], signal.SIGKILL)
    second = event(gateway, "listener adopted", slot=3, reason="hung", by="worker 1")
    assert first["by"] != second["by"]
    os.kill(second["pid"], signal.SIGSTOP)
    until(
        lambda: adopted(gateway).get(3) not in (None, 1) and 1 in adopted(gateway),
        "others to stand in for both",
    )
    assert everybody_is_served(gateway) <= {0, 2}
    for pid in (pids[3], second["pid"]):
        os.kill(pid, signal.SIGCONT)
    until(lambda: adopted(gateway) == {}, "all to be released")
    until(
        lambda: not any(answer["adopted"] for answer in gateway.workers().values()),
        "nobody to have anything",
    )


def test_the_successor_of_a_worker_that_the_watchdog_killed_gets_its_slot_back(gateway: Gateway):
    gateway.write(server='watchdog = "2s"')
    gateway.start()
    frozen = gateway.workers()[0]["pid"]
    os.kill(frozen, signal.SIGSTOP)
    event(gateway, "listener adopted", slot=0)
    assert everybody_is_served(gateway) == {1}
    event(gateway, "child died", pid=frozen)
    event(gateway, "listener released", slot=0)
    assert everybody_is_served(gateway) == {0, 1}
    assert gateway.workers()[0]["pid"] != frozen
    assert len(gateway.events("child replaced")) == 1


def test_a_slot_whose_workers_die_at_their_start_is_stood_in_for(gateway: Gateway):
    gateway.write("die1")
    gateway.start(ready=False)
    told = event(gateway, "listener adopted", slot=1)
    assert told["reason"] == "no worker"
    found = find(gateway.admin, (), {})
    assert found is not None
    gateway.addresses = list(found.addresses)
    assert everybody_is_served(gateway) == {0}


def test_a_worker_that_is_frozen_when_the_gateway_stops_keeps_no_client_waiting(gateway: Gateway):
    gateway.write(server='shutdown_grace = "1s"\nwatchdog = "3s"')
    gateway.start()
    os.kill(gateway.workers()[1]["pid"], signal.SIGSTOP)
    event(gateway, "listener adopted", slot=1)
    waiting = [gateway.connect() for _ in range(40)]
    for sock in waiting:
        sock.sendall(b"who\n")
    gateway.signal(signal.SIGTERM)
    for sock in waiting:
        assert b'"slot": 0' in sock.makefile("rb").readline()
        sock.close()
    assert gateway.wait() == 0


def test_fewer_workers_then_more_on_the_same_sockets(gateway: Gateway):
    gateway.write(workers=4)
    gateway.start()
    before = {slot: answer["pid"] for slot, answer in gateway.workers().items()}
    gateway.write(workers=1)
    assert gateway.reload()["detail"] == "reloaded, 1 worker instead of 4"
    until(lambda: not any(is_alive(before[slot]) for slot in (1, 2, 3)), "the end of the surplus")
    assert adopted(gateway) == {1: 0, 2: 0, 3: 0}
    assert everybody_is_served(gateway) == {0}
    answer = gateway.ask()
    assert (answer["pid"], answer["workers"], answer["adopted"]) == (before[0], 1, [1, 2, 3])
    assert not gateway.events("child died")
    gateway.write(workers=3)
    assert gateway.reload()["detail"] == "reloaded, 3 workers instead of 1"
    until(lambda: set(adopted(gateway)) == {3}, "two of three to be released")
    assert everybody_is_served(gateway) == {0, 1, 2}
    assert {answer["workers"] for answer in gateway.workers().values()} == {3}
    gateway.write(workers=4)
    gateway.reload()
    until(lambda: adopted(gateway) == {}, "all to be released")
    assert everybody_is_served(gateway) == {0, 1, 2, 3}


def test_a_surplus_worker_finishes_what_it_has(gateway: Gateway):
    gateway.start()
    gateway.workers()
    slow = [gateway.connect() for _ in range(16)]
    for sock in slow:
        sock.sendall(b"slow\n")
    gateway.write("two", workers=1)
    gateway.reload()
    slots = set()
    for sock in slow:
        answer = sock.makefile("rb").readline()
        assert answer
        slots.add(answer.partition(b'"slot": ')[2][:1])
        sock.close()
    assert slots == {b"0", b"1"}


def test_a_slot_that_is_wanted_again_before_it_was_given_away_keeps_its_worker(gateway: Gateway):
    gateway.write("unkind")
    gateway.start()
    before = {slot: answer["pid"] for slot, answer in gateway.workers().items()}
    gateway.write("unkind", workers=1)
    gateway.reload()
    gateway.write("kind", workers=2)
    gateway.reload()
    after = {slot: answer["pid"] for slot, answer in gateway.workers().items()}
    assert after == before
    os.kill(before[1], signal.SIGKILL)
    event(gateway, "child died", pid=before[1])
    assert set(gateway.workers()) == {0, 1}


def test_a_surplus_worker_that_nobody_can_stand_in_for_serves_on(gateway: Gateway):
    gateway.write("unkind")
    gateway.start()
    before = {slot: answer["pid"] for slot, answer in gateway.workers().items()}
    gateway.write("unkind", workers=1)
    assert gateway.reload()["msg"] == "reload done"
    assert everybody_is_served(gateway) == {0, 1}
    assert is_alive(before[1])
    gateway.write("kind", workers=1)
    gateway.reload()
    until(lambda: not is_alive(before[1]), "its end, once there is somebody")
    assert everybody_is_served(gateway) == {0}


def test_a_reload_right_after_fewer_workers_waits_for_nobody(gateway: Gateway):
    gateway.write(workers=4)
    gateway.start("--phase-time", "60")
    gateway.workers()
    for turn in range(4):
        gateway.write(f"turn {turn}", workers=4 - turn)
        assert gateway.reload()["msg"] == "reload done"
