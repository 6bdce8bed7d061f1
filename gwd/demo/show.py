"""The demo itself: start everything, say what to try, tell what happens, leave nothing behind.

Strategy. One process keeps it all: it forks the instances of the sample services and starts `gwd
run` on a config file of its own, then waits on pidfds, the gateway's log and signals. No threads,
no event loop. Signals only set a word that the loop looks at, so ending is one path, whenever it
is asked for.

What ends with the demo: children are told to, in order, and waited for; if the demo itself is
killed, the kernel kills them (PR_SET_PDEATHSIG). Ports and the directory are ours until the end.
A second Ctrl-C cuts the waiting short.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from gwd.demo import ports
from gwd.demo.config import write_files
from gwd.demo.guide import Running, event_line, event_of, guide
from gwd.demo.samples import SERVICES
from gwd.demo.service import serve
from gwd.supervisor.poller import Poller
from gwd.supervisor.spawn import fork_child

INSTANCES = 2
WORKERS = 2
"""As in demo.toml."""
RESTART_AFTER = 10.0
"""Seconds for which an instance that was killed stays away."""
START_TIME = 30.0
"""Seconds for everything to become ready; it takes about one."""
END_TIME = 5.0
"""Seconds for the gateway to end before it is killed."""
FAILED, RETRY = 1, 4
"""Exit statuses as of `gwd run` (DESIGN §1.1)."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _End(Exception):
    """The demo is over, with this exit status."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status


class _Process:
    """A child that is to be waited for."""

    def __init__(self, run: Callable[[], int], keep: list[int], name: str) -> None:
        self.pid, self.pidfd = fork_child(run, keep=keep, name=name)

    def signal(self, signum: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signum)

    def status(self) -> int | None:
        """Reap it if it has ended: its exit status, minus the signal's number if one ended it;
        None while it lives. To be called until it is not None, then never again.
        """
        ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        if ended is None:
            return None
        os.close(self.pidfd)
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


class _Instance:
    """One instance of a sample service, alive or about to be again."""

    def __init__(self, service: str, number: int, reservation: ports.Reservation) -> None:
        self.service, self.number = service, number
        self.name = f"{service}-{number}"
        self.reservation = reservation
        self.process: _Process | None = None
        self.start_at = float("inf")

    def start(self, listener: socket.socket) -> _Process:
        def run() -> int:
            serve(self.service, self.number, listener)
            return 0

        with listener:
            self.process = _Process(run, [listener.fileno()], self.name)
        return self.process


class Demo:
    """A demo on `port`, None for 8080 or another that is free."""

    def __init__(self, port: int | None, program: str) -> None:
        self._port = port
        self._program = program
        self._poller = Poller()
        self._instances: list[_Instance] = []
        self._gateway: _Process | None = None
        self._signals = 0
        self._shown = False
        self._ready = False
        self._log = b""
        self._log_fd = -1

    def run(self) -> int:
        """Run until a signal ends it; the exit status."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._signals_noted())
            directory = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="gwd-demo-", ignore_cleanup_errors=True)
            )
            stack.callback(self._end_all)
            try:
                self._start(directory)
                while True:
                    self._turn(self._next_start())
            except _End as end:
                if str(end):
                    print(f"gwd demo: {end}", file=sys.stderr)
                return end.status

    # starting

    def _start(self, directory: str) -> None:
        port = self._choose_port()
        names = [(service, 1 + i) for service in SERVICES for i in range(INSTANCES)]
        for (service, number), place in zip(names, ports.reserve(len(names)), strict=True):
            self._instances.append(_Instance(service, number, place))
        for instance in self._instances:
            self._watch(instance, instance.start(instance.reservation.first))
        config, token = write_files(directory, port, [i.reservation.port for i in self._instances])
        admin = os.path.join(directory, "admin.sock")
        self._start_gateway(config, admin)
        deadline = time.monotonic() + START_TIME
        while not self._ready:
            self._turn(deadline)
            if time.monotonic() > deadline:
                raise _End(RETRY, f"the gateway was not ready within {START_TIME:g} s")
        for instance in self._instances:
            self._healthy(instance)
        running = Running(
            services=[(name, *self._places(name)) for name in SERVICES],
            port=port,
            workers=WORKERS,
            config=config,
            admin=admin,
            token=token,
            program=self._program,
        )
        print(guide(running), flush=True)
        self._shown = True

    def _choose_port(self) -> int:
        if self._port == 0:
            return ports.any_free()
        wanted = self._port or ports.FIRST_GATEWAY
        if ports.is_free(wanted):
            return wanted
        owner = ports.owner(wanted)
        if self._port is not None:
            raise _End(
                RETRY,
                f"127.0.0.1:{wanted} is in use by {owner}; "
                "choose another by --port, or leave it out for a free one",
            )
        port = ports.gateway_port()
        print(
            f"gwd demo: port {wanted} is in use by {owner}; the gateway takes {port}, "
            "--port chooses",
            file=sys.stderr,
        )
        return port

    def _start_gateway(self, config: str, admin: str) -> None:
        ready, ready_end = os.pipe()
        self._log_fd, log_end = os.pipe()
        command = [sys.executable, "-m", "gwd", "run", "--config", config]
        command += ["--admin", admin, "--ready-fd", str(ready_end)]

        def run() -> int:
            os.set_inheritable(ready_end, True)
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
            os.dup2(log_end, 2)
            os.execv(sys.executable, command)

        self._gateway = gateway = _Process(run, [ready_end, log_end], "gwd")
        os.close(ready_end)
        os.close(log_end)
        os.set_blocking(self._log_fd, False)
        self._poller.register(gateway.pidfd, self._gateway_ended)
        self._poller.register(self._log_fd, self._read_log)
        self._poller.register(ready, lambda: self._gateway_ready(ready))

    def _gateway_ready(self, fd: int) -> None:
        self._ready = bool(os.read(fd, 4096))  # nothing: it ended, and its pidfd says so
        self._poller.unregister(fd)
        os.close(fd)

    def _healthy(self, instance: _Instance) -> None:
        """Make sure that `instance` answers before we say so."""
        connection = http.client.HTTPConnection(ports.HOST, instance.reservation.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            good = connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            good = False
        finally:
            connection.close()
        if not good:
            raise _End(FAILED, f"{instance.name} does not answer")

    def _places(self, service: str) -> tuple[list[int], list[int]]:
        """Ports and process ids of the instances of `service`."""
        them = [i for i in self._instances if i.service == service]
        pids = [i.process.pid for i in them if i.process is not None]
        return [i.reservation.port for i in them], pids

    # what happens

    def _turn(self, until: float) -> None:
        """Wait for whatever comes first, at most until `until`, and take care of it."""
        if self._signals:
            raise _End(0)
        self._poller.wait(max(0.0, min(until - time.monotonic(), 3600.0)))
        if self._signals:
            raise _End(0)
        now = time.monotonic()
        for instance in self._instances:
            if instance.start_at <= now:
                self._restart(instance)

    def _next_start(self) -> float:
        return min((i.start_at for i in self._instances), default=float("inf"))

    def _watch(self, instance: _Instance, process: _Process) -> None:
        self._poller.register(process.pidfd, lambda: self._instance_ended(instance, process))

    def _instance_ended(self, instance: _Instance, process: _Process) -> None:
        pidfd = process.pidfd
        if process.status() is None:
            return
        self._poller.unregister(pidfd)
        instance.process = None
        instance.start_at = time.monotonic() + RESTART_AFTER
        self._event(f"{instance.name} (process {process.pid}) ended; back in {RESTART_AFTER:g} s")

    def _restart(self, instance: _Instance) -> None:
        try:
            listener = instance.reservation.listener()
        except OSError as error:
            instance.start_at = time.monotonic() + 1.0
            self._event(f"{instance.name} cannot return yet: {error.strerror}")
            return
        instance.start_at = float("inf")
        process = instance.start(listener)
        self._watch(instance, process)
        self._event(f"{instance.name} is back as process {process.pid}")

    def _gateway_ended(self) -> None:
        assert self._gateway is not None
        pidfd = self._gateway.pidfd
        status = self._gateway.status()
        if status is None:
            return
        self._poller.unregister(pidfd)
        self._gateway = None
        self._read_log()
        if self._signals:
            return
        raise _End(status if status > 0 else FAILED, "the gateway has ended")

    def _read_log(self) -> None:
        """Tell what the gateway's log says."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._log_fd, 65536):
                *lines, self._log = (self._log + data).split(b"\n")
                for line in lines:
                    self._log_line(line)
            self._poller.unregister(self._log_fd)

    def _log_line(self, line: bytes) -> None:
        event = event_of(line)
        if event is None:
            if self._shown or not line.startswith(b"listening on "):
                sys.stderr.buffer.write(line + b"\n")
                sys.stderr.flush()
        elif self._shown and not self._signals:
            self._event(event)

    def _event(self, text: str) -> None:
        print(event_line(text, datetime.now()), flush=True)

    # the end

    @contextlib.contextmanager
    def _signals_noted(self) -> Iterator[None]:
        """Count the signals that end the demo, and have them wake the loop."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)

        def note(signum: int, frame: object) -> None:
            self._signals += 1

        before = [(signum, signal.signal(signum, note)) for signum in _SIGNALS]
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._poller.register(reader, lambda: _drain(reader))
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for signum, handler in before:
                signal.signal(signum, handler)
            self._poller.unregister(reader)
            os.close(reader)
            os.close(writer)

    def _end_all(self) -> None:
        """End the gateway, then the services, and wait for them."""
        if self._gateway is not None:
            # Before it is ready it may not have its handlers yet, and INT is ignored by default.
            signum = signal.SIGINT if self._ready else signal.SIGTERM
            self._finish([self._gateway], signum)
        self._finish([i.process for i in self._instances if i.process], signal.SIGTERM)
        for instance in self._instances:
            instance.reservation.close()
        if self._log_fd >= 0:
            self._poller.unregister(self._log_fd)
            os.close(self._log_fd)

    def _finish(self, processes: list[_Process], signum: signal.Signals) -> None:
        first = self._signals
        deadline = time.monotonic() + END_TIME
        for process in processes:
            self._poller.unregister(process.pidfd)
            process.signal(signum)
        while processes := [p for p in processes if p.status() is None]:
            if time.monotonic() > deadline or self._signals > max(first, 1):
                for process in processes:
                    process.signal(signal.SIGKILL)
            time.sleep(0.01)


def _drain(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(fd, 4096):
            pass
