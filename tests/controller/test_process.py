"""The controller under orders: a real control channel, with the test as its supervisor.

The controller owns the main thread, as it does in its process; the orders come from another one.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import msgpack
import pytest

from gwd.config.snapshot import Endpoint, Snapshot, pack
from gwd.controller import run
from gwd.process.child import CONTROLLER, Child
from gwd.segment.endpoints import UNHEALTHY, UNKNOWN, EndpointTable
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import CONTROLLER as CONTROLLER_CODE
from gwd.segment.processes import ProcessTable
from gwd.upstream.endpoint import table_name

PATIENCE = 20.0


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Supervisor:
    def __init__(self, snapshot: Snapshot) -> None:
        self.segment = Segment.create(
            Sizes(max_workers=2, max_ips=1024, max_endpoints=16, max_routes=16)
        )
        self.processes = ProcessTable(self.segment)
        self.table = EndpointTable(self.segment)
        self.column = self.processes.claim(CONTROLLER_CODE, 0, os.getpid())
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(PATIENCE)
        theirs.setblocking(False)
        self.assign(snapshot)
        self.child = Child(
            role=CONTROLLER,
            slot=0,
            column=self.column,
            segment=self.segment,
            channel=theirs,
            listeners=(),
            snapshot=snapshot,
            generation=1,
            supervisor_pid=os.getpid(),
            workers=1,
        )
        self.failure: BaseException | None = None

    def assign(self, *snapshots: Snapshot) -> None:
        self.table.assign(
            table_name(upstream.name, endpoint.address)
            for snapshot in snapshots
            for upstream in snapshot.upstreams
            for endpoint in upstream.endpoints
        )

    def play(self, orders: Callable[[Supervisor], None]) -> int:
        """Run the controller while `orders` are given; its exit status."""

        def give() -> None:
            try:
                assert self.hear()["op"] == "ready"
                orders(self)
            except BaseException as error:
                self.failure = error
            finally:
                self.channel.close()

        giver = threading.Thread(target=give)
        giver.start()
        try:
            status = run(self.child)
        finally:
            giver.join(PATIENCE)
            self.child.channel.close()
        if self.failure is not None:
            raise self.failure
        return status

    def hear(self) -> dict[str, object]:
        return msgpack.unpackb(self.channel.recv(65536))

    def say(self, op: str, **fields: object) -> None:
        self.channel.send(msgpack.packb({"op": op, **fields}))

    def prepare(self, snapshot: Snapshot, generation: int) -> dict[str, object]:
        fd = os.memfd_create("snapshot")
        try:
            os.write(fd, pack(snapshot))
            message = msgpack.packb({"op": "prepare", "generation": generation})
            socket.send_fds(self.channel, [message], [fd])
        finally:
            os.close(fd)
        return self.hear()

    def state(self, upstream: str, address: str) -> int:
        return self.table.state(self.table.find(table_name(upstream, address)))


@pytest.fixture
def supervisor(snapshot: Snapshot) -> Iterator[Supervisor]:
    supervisor = Supervisor(snapshot)
    yield supervisor
    supervisor.channel.close()
    supervisor.segment.close()


def other_port(snapshot: Snapshot, *ports: int) -> Snapshot:
    endpoints = tuple(Endpoint("127.0.0.1", port, 1, f"127.0.0.1:{port}") for port in ports)
    upstream = dataclasses.replace(snapshot.upstreams[0], endpoints=endpoints)
    return dataclasses.replace(snapshot, upstreams=(upstream,))


def test_it_checks_beats_and_stops_when_told(supervisor, capfd):
    def orders(supervisor: Supervisor) -> None:
        until(lambda: supervisor.state("orders", "127.0.0.1:1") == UNHEALTHY)
        (row,) = supervisor.processes.live()
        first = row.heartbeat_ns
        until(lambda: supervisor.processes.live()[0].heartbeat_ns > first)
        supervisor.say("stop")

    assert supervisor.play(orders) == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert '"msg": "orders 127.0.0.1:1 down (connection refused), 0 of 1 left"' in line
    assert '"level": "warning"' in line


def test_it_ends_when_its_supervisor_is_gone(supervisor):
    assert supervisor.play(lambda supervisor: supervisor.channel.close()) == 0


def test_draining_is_stopping(supervisor):
    def orders(supervisor: Supervisor) -> None:
        supervisor.say("drain", grace=30.0)
        assert supervisor.hear()["op"] == "drained"

    assert supervisor.play(orders) == 0


def test_a_reload_brings_new_endpoints_and_lets_go_of_old_ones(supervisor, snapshot):
    new = other_port(snapshot, 2, 3)

    def orders(supervisor: Supervisor) -> None:
        supervisor.assign(snapshot, new)
        assert supervisor.prepare(new, 2)["op"] == "prepared"
        until(lambda: supervisor.state("orders", "127.0.0.1:1") == UNHEALTHY)
        assert supervisor.state("orders", "127.0.0.1:2") == UNKNOWN
        supervisor.say("commit", generation=2)
        assert supervisor.hear()["op"] == "committed"
        supervisor.assign(new)
        for port in (2, 3):
            until(lambda port=port: supervisor.state("orders", f"127.0.0.1:{port}") == UNHEALTHY)
        supervisor.say("stop")

    assert supervisor.play(orders) == 0


def test_an_endpoint_without_a_row_makes_prepare_fail_and_changes_nothing(supervisor, snapshot):
    def orders(supervisor: Supervisor) -> None:
        answer = supervisor.prepare(other_port(snapshot, 2), 2)
        assert answer["op"] == "failed"
        until(lambda: supervisor.state("orders", "127.0.0.1:1") == UNHEALTHY)
        supervisor.say("stop")

    assert supervisor.play(orders) == 0


def test_an_aborted_reload_is_forgotten(supervisor, snapshot):
    new = other_port(snapshot, 2)

    def orders(supervisor: Supervisor) -> None:
        supervisor.assign(snapshot, new)
        assert supervisor.prepare(new, 2)["op"] == "prepared"
        supervisor.say("abort")
        assert supervisor.hear()["op"] == "aborted"
        supervisor.say("commit", generation=2)
        until(lambda: supervisor.state("orders", "127.0.0.1:1") == UNHEALTHY)
        assert supervisor.state("orders", "127.0.0.1:2") == UNKNOWN
        supervisor.say("stop")

    assert supervisor.play(orders) == 0


def test_a_new_controller_goes_on_from_what_the_last_one_found(supervisor, capfd):
    row = supervisor.table.find(table_name("orders", "127.0.0.1:1"))
    supervisor.table.set_health(row, UNHEALTHY, 7, "timeout")

    def orders(supervisor: Supervisor) -> None:
        supervisor.say("stop")

    assert supervisor.play(orders) == 0
    health = supervisor.table.health(row)
    assert (health.state, health.since_ns, health.reason) == (UNHEALTHY, 7, "timeout")
    assert capfd.readouterr().err == ""
