"""A gateway for a show: started as a user starts it, and looked at through its shared memory."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from gwd.segment.bans import FILTER_FAILED, FILTER_ON, Bans
from gwd.segment.memory import Segment
from gwd.segment.processes import READY, WORKER, ProcessTable
from gwd.supervisor.daemon import Daemon, NoDaemon
from loadtests.compare.running import Running, free_port

PATIENCE = 15.0
"""Seconds for what takes a fraction of one."""
ANSWER = """
[[routes]]
name = "hello"
path = "/*"
respond = { body = "hello" }
"""


class Gateway:
    """A running gateway with the tables `config`; its route answers by itself unless `routes` are
    others. It listens on a port of its own at 127.0.0.1, or everywhere if it `faces_all`. Its
    processes may have so many `descriptors` each, if that is said. `also` is another item of
    `server.bind`."""

    def __init__(
        self,
        room: Path,
        config: str,
        *,
        workers: int = 2,
        server: str = "",
        routes: str = ANSWER,
        faces_all: bool = False,
        descriptors: int = 0,
        also: str = "",
    ) -> None:
        room.mkdir(parents=True)
        self.port = free_port()
        # A dual-stack socket takes IPv4 clients as well; the show looks for it at 127.0.0.1.
        bind = f"[::]:{self.port}" if faces_all else f"127.0.0.1:{self.port}"
        self.config = room / "gwd.toml"
        self.config.write_text(
            f'[server]\nbind = ["{bind}"{also and ", " + also}]\nworkers = {workers}\n'
            f'access_log = "{room}/access.log"\n{server}\n'
            f"{config}\n{routes}"
        )
        admin = f"unix:{room}/run/admin.sock"
        command = [sys.executable, "-m", "gwd", "run", "--config", str(self.config)]
        command += ["--admin", admin]
        if descriptors:
            command = ["prlimit", f"--nofile={descriptors}:{descriptors}", *command]
        self.running = Running(room, command, self.port)
        try:
            self.daemon = _find(admin)
            self.segment = self.daemon.segment
            self.processes = ProcessTable(self.segment)
            self._wait_for(workers)
        except BaseException:
            self.running.stop()
            raise

    def _wait_for(self, workers: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self.workers()) < workers:
            if time.monotonic() > deadline:
                raise RuntimeError(f"after {PATIENCE} s there were not yet {workers} workers")
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """The pids of those that serve."""
        rows = self.processes.live()
        return [row.pid for row in rows if (row.role, row.state) == (WORKER, READY)]

    def reload(self) -> None:
        self.daemon.signal(signal.SIGHUP)

    def cpu(self) -> float:
        """Seconds of user and system time of the whole tree, with those who have died."""
        spent = 0.0
        for process in self.running.tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system
        times = psutil.Process(self.daemon.pid).cpu_times()
        return spent + float(times.children_user + times.children_system)

    def shared_memory(self) -> float:
        """MiB that the segment takes, whoever has touched them."""
        return os.fstat(self.segment.fd).st_blocks * 512 / 2**20

    def memory(self) -> float:
        """MiB of the whole tree: what it shares is counted once, of the segment what it touched."""
        spent = 0
        for process in self.running.tree():
            with suppress(psutil.NoSuchProcess):
                spent += process.memory_full_info().pss
        return spent / 2**20

    def filter(self) -> str:
        """What the kernel does about bans, in words."""
        view = Bans(self.segment).filter()
        if view.state == FILTER_ON:
            return f"on, {view.addresses}"
        return f"failed: {os.strerror(view.errno)}" if view.state == FILTER_FAILED else "off"

    @contextmanager
    def writable(self) -> Iterator[Segment]:
        """Its segment, to be written to as the commands of an operator do."""
        path = f"/proc/{self.daemon.pid}/fd/{self.daemon.found.segment_fd}"
        segment = Segment.attach(os.open(path, os.O_RDWR | os.O_CLOEXEC), writable=True)
        try:
            yield segment
        finally:
            segment.close()

    def stop(self) -> None:
        self.daemon.close()
        self.running.stop()


def _find(admin: str) -> Daemon:
    """It takes connections a moment before it says where it is."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return Daemon.find(admin, None, {})
        except NoDaemon:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def gateway(
    room: Path,
    config: str,
    *,
    workers: int = 2,
    server: str = "",
    routes: str = ANSWER,
    faces_all: bool = False,
    descriptors: int = 0,
    also: str = "",
) -> Iterator[Gateway]:
    """A `Gateway` that ends with the block."""
    running = Gateway(
        room,
        config,
        workers=workers,
        server=server,
        routes=routes,
        faces_all=faces_all,
        descriptors=descriptors,
        also=also,
    )
    try:
        yield running
    finally:
        running.stop()
