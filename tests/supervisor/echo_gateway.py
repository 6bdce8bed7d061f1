"""A gateway whose workers do next to nothing: the supervisor's real tree around a tiny child.

A client sends one word. "who" is answered with one JSON line {slot, pid, body, generation, workers,
serving, adopted}; "exit", "hang", "freeze" and "slow" make the worker exit, loop for ever, stop by
SIGSTOP, or answer after a second. `body` is that of the config's first route. It also says how the
child behaves: "die" at start, "refuse", "hang" or "crawl" in prepare, "explode" in commit, "unkind"
to other slots.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator

from gwd.config.load import load
from gwd.config.snapshot import Snapshot
from gwd.controller import run as run_controller
from gwd.process.child import CONTROLLER, WORKER, Child
from gwd.process.control import Control
from gwd.process.loop import new_loop
from gwd.supervisor import configuration
from gwd.supervisor.launch import Options, launch


def body_of(snapshot: Snapshot) -> str:
    respond = snapshot.routes[0].respond
    assert respond is not None
    return respond.body.decode()


class Talk(asyncio.Protocol):
    def __init__(self, worker: EchoWorker) -> None:
        self.worker = worker

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.worker.talks.add(self)

    def connection_lost(self, error) -> None:
        self.worker.talks.discard(self)
        self.worker.finish_if_idle()

    def data_received(self, data: bytes) -> None:
        match data.strip():
            case b"who":
                self.answer()
            case b"slow":
                self.worker.loop.call_later(1.0, self.answer)
            case b"exit":
                os._exit(9)
            case b"hang":
                while True:
                    pass
            case b"freeze":
                os.kill(os.getpid(), signal.SIGSTOP)

    def answer(self) -> None:
        worker = self.worker
        said = {
            "slot": worker.child.slot,
            "pid": os.getpid(),
            "body": worker.body,
            "generation": worker.generation,
            "workers": worker.control.workers,
            "serving": worker.control.serving,
            "reopened": worker.reopened,
            "adopted": sorted(worker.adopted),
        }
        self.transport.write(json.dumps(said).encode() + b"\n")
        self.transport.close()


class EchoWorker:
    def __init__(self, child: Child) -> None:
        self.child = child
        self.loop = new_loop()
        self.talks: set[Talk] = set()
        self.body = body_of(child.snapshot)
        self.generation = child.generation
        self.draining = False
        self.reopened = 0
        self.next: tuple[str, int] | None = None
        self.adopted: dict[int, list[socket.socket]] = {}
        self.control = Control(self.loop, child, self, self)

    def run(self) -> int:
        for listener in self.child.listeners:
            self.loop.add_reader(listener.fileno(), self.accept, listener)
        self.control.ready()
        self.loop.run_forever()
        return 0

    def accept(self, listener) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            self.loop.create_task(self.loop.connect_accepted_socket(lambda: Talk(self), sock))

    def prepare(self, snapshot: Snapshot, generation: int) -> Iterator[None]:
        body = body_of(snapshot)
        if self.child.role == WORKER:
            if body == "refuse" and self.child.slot == 1:
                raise ValueError("slot 1 does not like this")
            if body == "hang" and self.child.slot == 1:
                time.sleep(60)
            while body == "crawl":
                yield
            if body == "perish":
                os._exit(9)
        yield
        self.next = (body, generation)

    def commit(self) -> None:
        assert self.next is not None
        if self.next[0] == "explode" and self.child.slot == 1:
            raise RuntimeError("commit does not work here")
        (self.body, self.generation), self.next = self.next, None

    def abort(self) -> None:
        self.next = None

    def adopt(self, slot: int, listeners: list[socket.socket]) -> bool:
        if self.body == "unkind" or self.draining:
            for listener in listeners:
                listener.close()
            return False
        self.release(slot)
        self.adopted[slot] = listeners
        for listener in listeners:
            self.loop.add_reader(listener.fileno(), self.accept, listener)
        return True

    def release(self, slot: int) -> None:
        for listener in self.adopted.pop(slot, ()):
            self.loop.remove_reader(listener.fileno())
            listener.close()

    def share(self, workers: int) -> None:
        assert workers == self.control.workers

    def drain(self, grace: float) -> None:
        self.draining = True
        for listener in (*self.child.listeners, *(s for a in self.adopted.values() for s in a)):
            self.accept(listener)
            self.loop.remove_reader(listener.fileno())
            listener.close()
        self.loop.call_later(grace, self.stop)
        self.loop.call_later(0.05, self.finish_if_idle)

    def finish_if_idle(self) -> None:
        if self.draining and not self.talks:
            self.control.drained()
            self.stop()

    def stop(self) -> None:
        self.loop.stop()

    def reopen_logs(self) -> None:
        self.reopened += 1


def run(child: Child) -> int:
    body = body_of(child.snapshot)
    if child.role == WORKER and (body == "die" or (body == "die1" and child.slot == 1)):
        return 5
    return EchoWorker(child).run()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--admin")
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--phase-time", type=float, default=10.0)
    parser.add_argument("--controller", action="store_true", help="a real one, not an echo")
    given = parser.parse_args()
    configuration.PHASE_TIME = given.phase_time
    options = Options(given.config, None, given.admin, given.ready_fd)
    entries = {WORKER: run, CONTROLLER: run_controller if given.controller else run}
    return launch(options, os.environ, entries=entries, loader=load)


if __name__ == "__main__":
    sys.exit(main())
