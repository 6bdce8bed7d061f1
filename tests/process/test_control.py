"""The child's end of the control channel, over a real socket pair and a real segment."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest

from gwd.config.load import load
from gwd.config.snapshot import Snapshot, pack
from gwd.process.child import WORKER, Child
from gwd.process.control import Control
from gwd.process.loop import new_loop
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import DRAINING, READY, STARTING, ProcessTable
from gwd.segment.processes import WORKER as WORKER_CODE

CONFIG = """
[server]
shutdown_grace = "{grace}s"
[[routes]]
name = "r"
path = "/*"
respond = {{ status = 204 }}
"""


class Recorder:
    """An actor that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.slices: Callable[[], Iterator[None]] = lambda: iter(())
        self.on_commit: Callable[[], None] = lambda: None

    def prepare(self, snapshot: Snapshot, generation: int) -> Iterator[None]:
        self.told.append(("prepare", snapshot.server.shutdown_grace, generation))
        yield from self.slices()

    def commit(self) -> None:
        self.told.append("commit")
        self.on_commit()

    def abort(self) -> None:
        self.told.append("abort")

    def drain(self, grace: float) -> None:
        self.told.append(("drain", grace))

    def stop(self) -> None:
        self.told.append("stop")

    def reopen_logs(self) -> None:
        self.told.append("reopen_logs")

    def adopt(self, slot: int, listeners: list[socket.socket]) -> bool:
        self.told.append(("adopt", slot, [listener.getsockname()[1] for listener in listeners]))
        for listener in listeners:
            listener.close()
        return slot != 9

    def release(self, slot: int) -> None:
        self.told.append(("release", slot))

    def share(self, workers: int) -> None:
        self.told.append(("share", workers))


class Rig:
    """A Control on a loop, and the supervisor's end of its channel in our hands."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.loop = new_loop()
        self.segment = Segment.create(Sizes(2, 1024, 8, 8))
        self.table = ProcessTable(self.segment)
        self.column = self.table.claim(WORKER_CODE, 0, os.getpid())
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        theirs.setblocking(False)
        self.theirs = theirs
        self.actor = Recorder()
        child = Child(
            role=WORKER,
            slot=0,
            column=self.column,
            segment=self.segment,
            channel=theirs,
            listeners=(),
            snapshot=self.snapshot(30),
            generation=7,
            supervisor_pid=os.getppid(),
            workers=2,
        )
        self.control = Control(self.loop, child, self.actor, self.actor)

    def snapshot(self, grace: int) -> Snapshot:
        file = self.directory / "gwd.toml"
        file.write_text(CONFIG.format(grace=grace))
        return load(str(file), {}).snapshot

    def say(self, **message: Any) -> None:
        self.ours.send(msgpack.packb(message))

    def offer(self, generation: int, grace: int = 5) -> None:
        fd = os.memfd_create("snapshot")
        os.write(fd, pack(self.snapshot(grace)))
        packet = msgpack.packb({"op": "prepare", "generation": generation})
        socket.send_fds(self.ours, [packet], [fd])
        os.close(fd)

    def turn(self, seconds: float = 0.05) -> None:
        """Let the loop work."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def heard(self) -> list[dict[str, Any]]:
        """What the child has said since we last listened."""
        self.turn()
        found = []
        while True:
            try:
                data = self.ours.recv(65536)
            except BlockingIOError:
                return found
            if not data:
                return found
            found.append(msgpack.unpackb(data))

    def row(self):
        (row,) = self.table.live()
        return row

    def close(self) -> None:
        self.loop.remove_signal_handler(signal.SIGTERM)
        self.loop.close()
        self.ours.close()
        self.theirs.close()
        self.segment.close()


@pytest.fixture(params=["uvloop", "asyncio"])
def rig(request, tmp_path, monkeypatch):
    """A Rig on either loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    monkeypatch.setenv("GWD_EVENT_LOOP", request.param)
    rig = Rig(tmp_path)
    yield rig
    rig.close()
    asyncio.set_event_loop(None)


def test_ready_is_said_and_written_down(rig: Rig):
    assert rig.row().state == STARTING
    assert not rig.control.serving
    rig.control.ready()
    assert rig.heard() == [{"op": "ready"}]
    assert rig.row().state == READY
    assert rig.row().generation == 7
    assert rig.control.serving


def test_the_heart_beats_while_the_loop_runs(rig: Rig):
    first = rig.row().heartbeat_ns
    assert first > 0
    while rig.row().heartbeat_ns == first:
        rig.turn()


def test_a_config_is_prepared_then_committed(rig: Rig):
    rig.offer(8)
    assert rig.heard() == [{"op": "prepared", "generation": 8}]
    assert rig.row().generation == 7
    rig.say(op="commit", generation=8)
    assert rig.heard() == [{"op": "committed", "generation": 8}]
    assert rig.actor.told == [("prepare", 5.0, 8), "commit"]
    assert rig.row().generation == 8


def test_prepare_is_sliced_so_that_others_get_their_turn(rig: Rig):
    turns: list[str] = []

    def slices() -> Iterator[None]:
        for _ in range(3):
            turns.append("slice")
            rig.loop.call_soon(turns.append, "other")
            yield

    rig.actor.slices = slices
    rig.offer(8)
    rig.heard()
    assert turns[:4] == ["slice", "other", "slice", "other"]


def test_a_prepare_that_raises_is_told_and_changes_nothing(rig: Rig):
    def slices() -> Iterator[None]:
        yield
        raise ValueError("no room")

    rig.actor.slices = slices
    rig.offer(8)
    assert rig.heard() == [{"op": "failed", "generation": 8, "error": "ValueError: no room"}]
    rig.say(op="abort", generation=8)
    assert rig.heard() == [{"op": "aborted", "generation": 8}]
    assert rig.actor.told == [("prepare", 5.0, 8)]
    rig.say(op="commit", generation=8)
    assert rig.heard() == []


def test_a_snapshot_that_cannot_be_read_is_a_failed_prepare(rig: Rig):
    fd = os.memfd_create("garbage")
    os.write(fd, msgpack.packb({"no": "snapshot"}))
    socket.send_fds(rig.ours, [msgpack.packb({"op": "prepare", "generation": 8})], [fd])
    os.close(fd)
    (answer,) = rig.heard()
    assert answer["op"] == "failed"
    assert rig.actor.told == []


@pytest.mark.parametrize("finished", [False, True])
def test_an_abort_ends_a_prepare_at_any_point(rig: Rig, finished: bool):
    ended: list[bool] = []

    def slices() -> Iterator[None]:
        try:
            while not finished:
                yield
        finally:
            ended.append(True)

    rig.actor.slices = slices
    rig.offer(8)
    rig.heard()
    rig.say(op="abort", generation=8)
    assert rig.heard() == [{"op": "aborted", "generation": 8}]
    assert rig.actor.told == [("prepare", 5.0, 8), "abort"]
    assert ended == [True]
    rig.offer(9)
    rig.heard()
    assert rig.actor.told[-1] == ("prepare", 5.0, 9)


def test_a_commit_of_something_else_is_not_obeyed(rig: Rig):
    rig.offer(8)
    rig.heard()
    rig.say(op="commit", generation=9)
    assert rig.heard() == []
    assert "commit" not in rig.actor.told


def test_unready_keeps_serving_but_says_so(rig: Rig):
    rig.control.ready()
    rig.say(op="unready")
    rig.heard()
    assert not rig.control.serving
    assert rig.row().state == DRAINING
    assert rig.actor.told == []


def test_drain_is_told_once(rig: Rig):
    rig.control.ready()
    rig.say(op="drain", grace=3.0)
    rig.say(op="drain", grace=3.0)
    rig.heard()
    assert rig.actor.told == [("drain", 3.0)]
    assert rig.row().state == DRAINING
    rig.control.drained()
    assert rig.heard() == [{"op": "drained"}]


def test_sigterm_retires_the_child_with_the_grace_of_its_newest_config(rig: Rig):
    rig.control.ready()
    rig.heard()
    rig.offer(8, grace=11)
    rig.heard()
    rig.say(op="commit", generation=8)
    rig.heard()
    rig.loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
    assert rig.heard() == [{"op": "retiring"}]
    assert rig.actor.told[-1] == ("drain", 11.0)


def test_workers_logs_and_stop_are_passed_on(rig: Rig):
    rig.say(op="workers", count=5)
    rig.say(op="reopen_logs")
    rig.say(op="stop")
    rig.heard()
    assert rig.control.workers == 5
    assert rig.actor.told == [("share", 5), "reopen_logs", "stop"]


def test_listeners_of_another_slot_reach_the_worker_and_it_answers(rig: Rig):
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.2", 0)) as two,
    ):
        ports = [one.getsockname()[1], two.getsockname()[1]]
        for slot in (3, 9):
            message = {"op": "adopt", "slot": slot, "number": slot * 10, "listeners": 2}
            socket.send_fds(rig.ours, [msgpack.packb(message)], [one.fileno(), two.fileno()])
        rig.say(op="release", slot=3)
        assert rig.heard() == [
            {"op": "adopted", "slot": 3, "number": 30},
            {"op": "not_adopted", "slot": 9, "number": 90},
        ]
    assert rig.actor.told == [("adopt", 3, ports), ("adopt", 9, ports), ("release", 3)]


def test_a_worker_that_did_not_get_all_listeners_takes_none(rig: Rig):
    before = len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as one:
        packet = msgpack.packb({"op": "adopt", "slot": 3, "number": 1, "listeners": 2})
        socket.send_fds(rig.ours, [packet], [one.fileno()])
        assert rig.heard() == [{"op": "not_adopted", "slot": 3, "number": 1}]
    assert rig.actor.told == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_supervisor_that_is_gone_stops_the_child(rig: Rig):
    rig.control.ready()
    rig.turn()
    rig.ours.close()
    rig.turn()
    assert rig.actor.told == ["stop"]
    assert not rig.control.serving
    rig.control.drained()
    rig.turn()


def test_fds_of_messages_do_not_pile_up(rig: Rig):
    before = len(os.listdir("/proc/self/fd"))
    for generation in range(8, 18):
        rig.offer(generation)
        rig.heard()
    assert len(os.listdir("/proc/self/fd")) == before
