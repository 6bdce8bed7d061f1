"""The loop that owns it all: signals, children, listeners, the segment, the end.

One thread, one poll(2), no event loop. Everything that happens is a readable fd (a signal in the
wakeup pipe, the pidfd of a child that ended, a word on a control channel, a load that is done) or a
moment that has come (`_tick`). Each signal has one method:

    TERM  terminate     stop gracefully; again: at once; once more: by SIGKILL
    INT   interrupt     stop at once; again: by SIGKILL
    HUP   reload        take the config anew
    USR1  reopen_logs   passed on to the children
    USR2  upgrade       not built: a log line
    CHLD  -             children have pidfds; as PID 1, strangers are reaped

How the gateway ends:

    SERVING --TERM--> DELAYING --shutdown_delay--> DRAINING --all workers gone--> ENDING --> over
       '------------------INT or another TERM------------------------------------^
                                                    (KILLING: whoever is late, or asked twice)
"""

from __future__ import annotations

import contextlib
import enum
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gwd.process.child import CONTROLLER, WORKER, Child
from gwd.process.events import Log
from gwd.segment.bans import Bans
from gwd.segment.memory import Segment
from gwd.segment.processes import ProcessTable
from gwd.supervisor.ban_filter import BanFilter
from gwd.supervisor.children import ChildProcess, Children, Entry, Seat
from gwd.supervisor.configuration import Configuration
from gwd.supervisor.hung import LATE_TICK
from gwd.supervisor.listeners import Listeners
from gwd.supervisor.poller import Poller
from gwd.supervisor.slots import Slots
from gwd.supervisor.systemd import Notifier

TICK = 0.25
"""Longest sleep of the loop, in seconds."""
READY_PATIENCE = 10.0
"""Seconds after which one ready worker is enough to call the gateway ready."""
DRAIN_MARGIN = 5.0
"""Seconds a worker may take beyond `shutdown_grace` before it is killed."""
END_TIME = 3.0
"""Seconds from "stop" to SIGKILL."""


class Stage(enum.IntEnum):
    SERVING = 0
    DELAYING = 1
    DRAINING = 2
    ENDING = 3
    KILLING = 4


class Supervisor:
    """Makes the tree and keeps it, until a signal ends it. Use `run` once."""

    def __init__(
        self,
        *,
        configuration: Configuration,
        segment: Segment,
        listeners: Listeners,
        poller: Poller,
        notifier: Notifier,
        entries: Mapping[str, Entry],
        role_codes: Mapping[str, int],
        log: Log,
        announce: Callable[[list[str]], None],
        publish: Callable[[], None],
    ) -> None:
        """`announce` is called once, with the addresses, when the gateway is ready; `publish` at
        first and whenever what gwd.pid says has changed.
        """
        self._configuration = configuration
        self._segment = segment
        self._listeners = listeners
        self._ban_filter = BanFilter(listeners, Bans(segment), log)
        self._poller = poller
        self._notifier = notifier
        self._log = log
        self._announce = announce
        self._children = Children(
            owner=self,
            poller=poller,
            table=ProcessTable(segment),
            role_codes=role_codes,
            entries=entries,
            segment_fd=segment.fd,
            log=log,
        )
        self._slots = Slots(
            workers=configuration.workers,
            children=self._children,
            listeners=listeners,
            log=log,
            grow=self._ban_filter.grow,
            grace=lambda: configuration.snapshot.server.shutdown_grace,
            changed=publish,
        )
        configuration.begin(self._children, self._slots, publish)
        publish()
        self._pid = os.getpid()
        self._status = 0
        self._stage = Stage.SERVING
        self._stage_until = float("inf")
        self._announced = False
        self._ever_ready = False
        self._failed_slots: set[int] = set()
        self._started = self._last_tick = self._awake_since = time.monotonic()
        self._next_alive = self._started
        self._wakeup, self._wakeup_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._signals: dict[int, Callable[[], None]] = {
            signal.SIGTERM: self.terminate,
            signal.SIGINT: self.interrupt,
            signal.SIGHUP: self.reload,
            signal.SIGUSR1: self.reopen_logs,
            signal.SIGUSR2: self.upgrade,
            signal.SIGCHLD: self._reap_strangers,
        }

    def run(self) -> int:
        """Serve until told to stop. The exit status: 0, or 4 if no worker could live."""
        with self._signal_handlers():
            self._slots.fill()
            self._children.fill((CONTROLLER, 0))
            while len(self._children) or self._stage < Stage.ENDING:
                self._poller.wait(self._sleep())
                # A signal to the whole process group ends children too, and these may be seen
                # first: nobody is followed up before we know why.
                self._read_signals()
                self._tick(time.monotonic())
        self._log("info", "gwd stopped", status=self._status)
        return self._status

    # --- signals -----------------------------------------------------------------------------

    def terminate(self) -> None:
        if self._stage is Stage.SERVING:
            self._stop_begins()
            delay = self._configuration.snapshot.server.shutdown_delay
            if delay > 0 and self._announced:
                self._enter(Stage.DELAYING, delay)
                self._children.tell(self._workers(), {"op": "unready"})
            else:
                self._drain()
        else:
            self.interrupt()

    def interrupt(self) -> None:
        if self._stage is Stage.SERVING:
            self._stop_begins()
        if self._stage < Stage.ENDING:
            self._end()
        else:
            self._kill()

    def reload(self) -> None:
        if self._stage is Stage.SERVING:
            self._configuration.request()
        else:
            self._log("warning", "reload ignored", detail="gwd is stopping")

    def reopen_logs(self) -> None:
        self._children.tell(self._children, {"op": "reopen_logs"})
        self._log("info", "logs reopened")

    def upgrade(self) -> None:
        self._log("warning", "upgrade refused", detail="this version cannot upgrade in place")

    def _reap_strangers(self) -> None:
        """As PID 1 we inherit the orphans of the container; ours are reaped by their pidfds."""
        while self._pid == 1:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or self._children.get(ended.si_pid) is not None:
                return
            if ended.si_pid in self._configuration.pids():
                return
            os.waitid(os.P_PID, ended.si_pid, os.WEXITED | os.WNOHANG)

    @contextlib.contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        """Signals become bytes in the wakeup pipe, and are acted on in the loop only."""
        self._poller.register(self._wakeup, self._read_signals)
        signal.set_wakeup_fd(self._wakeup_writer, warn_on_full_buffer=False)
        for number in self._signals:
            signal.signal(number, _noted)
        try:
            yield
        finally:
            # This process ends now: no signal may turn that into a death.
            for number in self._signals.keys() - {signal.SIGCHLD}:
                signal.signal(number, signal.SIG_IGN)
            signal.set_wakeup_fd(-1)
            self._poller.unregister(self._wakeup)
            os.close(self._wakeup)
            os.close(self._wakeup_writer)

    def _read_signals(self) -> None:
        try:
            numbers = os.read(self._wakeup, 512)
        except BlockingIOError:
            return
        # HUPs that lie here together are one: there is nothing between them to see.
        for number in dict.fromkeys(numbers):
            self._signals[number]()

    # --- time --------------------------------------------------------------------------------

    def _sleep(self) -> float:
        due = min(self._children.next_due(), self._configuration.next_due(), self._stage_until)
        return max(0.0, min(TICK, due - time.monotonic()))

    def _tick(self, now: float) -> None:
        if now - self._last_tick > TICK + LATE_TICK:
            self._awake_since = now
        self._last_tick = now
        self._children.tick(now)
        self._configuration.tick(now)
        if self._stage < Stage.ENDING:
            watchdog, awake_since = self._configuration.snapshot.server.watchdog, self._awake_since
            beats = self._children.beats()
            if self._stage < Stage.DRAINING:
                self._slots.tick(now, beats, awake_since)
            self._children.replace_hung(beats, now=now, awake_since=awake_since, watchdog=watchdog)
            self._tell_alive(now, watchdog)
        if self._stage is Stage.SERVING and not self._announced:
            self._look_ready(now)
        if now >= self._stage_until:
            self._stage_is_over()
        if self._pid == 1:
            self._reap_strangers()

    def _tell_alive(self, now: float, watchdog: float) -> None:
        """WATCHDOG=1 vouches for the workers, not for this loop alone."""
        if self._notifier.watchdog and now >= self._next_alive:
            beat = max(self._children.freshest_worker_beat(), self._awake_since)
            if now - beat <= watchdog:
                self._notifier.alive()
                self._next_alive = now + self._notifier.watchdog / 2

    def _look_ready(self, now: float) -> None:
        seated = self._children.seated()
        workers = [child for child in seated if child.seat[0] == WORKER and child.ready]
        everybody = self._configuration.workers + 1
        patient = now - self._started < READY_PATIENCE
        if sum(child.ready for child in seated) < everybody and (patient or not workers):
            return
        self._announced = True
        status = self._configuration.status()
        self._log("info", "gwd ready", addresses=self._listeners.addresses, status=status)
        self._announce(self._listeners.addresses)
        self._notifier.ready(status)

    # --- what children are given and say (children.Owner) --------------------------------------

    def child_for(self, seat: Seat, column: int, channel: socket.socket) -> Child:
        role, slot = seat
        return Child(
            role=role,
            slot=slot,
            column=column,
            segment=self._segment,
            channel=channel,
            listeners=self._listeners.of(slot) if role == WORKER else (),
            snapshot=self._configuration.snapshot,
            generation=self._configuration.generation,
            supervisor_pid=self._pid,
            workers=self._slots.wanted,
            tls=self._configuration.tls,
        )

    def forked(self, child: ChildProcess) -> None:
        self._configuration.forked(child)
        if self._stage is Stage.DELAYING and child.seat[0] == WORKER:
            self._children.tell([child], {"op": "unready"})

    def heard(self, child: ChildProcess, message: Mapping[str, Any]) -> None:
        if message["op"] == "ready" and child.seat[0] == WORKER:
            self._ever_ready = True
        match message["op"]:
            case "ban_filter" if self._stage < Stage.DRAINING:
                program, addresses = message["program"], message["addresses"]
                self._ban_filter.put(program, addresses, message["sequence"])
            case "ban_filter":
                pass  # the listeners are the workers' now, as they are
            case "certificates_changed":
                if self._stage is Stage.SERVING:
                    self._configuration.renew_certificates(message["generation"])
            case "adopted" | "not_adopted":
                self._slots.heard(message)
            case _:
                self._configuration.heard(child, message)

    def retires(self, child: ChildProcess) -> None:
        self._configuration.retires(child)

    def ended(self, child: ChildProcess) -> None:
        self._configuration.ended(child)
        self._slots.ended(child)
        role, slot = child.seat
        if self._stage is Stage.DRAINING and not self._workers():
            self._end()
        elif self._stage is Stage.SERVING and role == WORKER and not self._ever_ready:
            self._failed_slots.add(slot)
            if len(self._failed_slots) >= self._configuration.workers:
                self._log("error", "gwd cannot start", detail="every worker died at its start")
                self._status = 4
                self._stop_begins()
                self._end()

    def _workers(self) -> list[ChildProcess]:
        return [child for child in self._children if child.seat[0] == WORKER]

    # --- the end -----------------------------------------------------------------------------

    def _stop_begins(self) -> None:
        self._log("info", "gwd stopping")
        self._notifier.stopping("stopping")
        self._configuration.give_up()

    def _enter(self, stage: Stage, seconds: float) -> None:
        self._stage = stage
        self._stage_until = time.monotonic() + seconds

    def _stage_is_over(self) -> None:
        self._stage_until = float("inf")
        if self._stage is Stage.DELAYING:
            self._drain()
        elif self._stage is Stage.DRAINING:
            self._end()
        elif self._stage is Stage.ENDING:
            self._kill()

    def _drain(self) -> None:
        grace = self._configuration.snapshot.server.shutdown_grace
        self._enter(Stage.DRAINING, grace + DRAIN_MARGIN)
        self._children.abandon()
        self._slots.hand_over(time.monotonic(), self._children.beats())
        # Now the workers' copies are the last ones: when they close them, clients are refused
        # at once instead of waiting in a queue that nobody serves.
        self._listeners.close()
        self._children.tell(self._workers(), {"op": "drain", "grace": grace})
        if not self._workers():
            self._end()

    def _end(self) -> None:
        self._enter(Stage.ENDING, END_TIME)
        self._children.abandon()
        self._listeners.close()
        self._children.tell(self._children, {"op": "stop"})

    def _kill(self) -> None:
        self._enter(Stage.KILLING, float("inf"))
        for child in self._children:
            self._children.kill(child, signal.SIGKILL)


def raise_file_limit() -> None:
    """Lift RLIMIT_NOFILE to its hard limit: a connection is an fd, and 1,024 are few."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _noted(_number: int, _frame: object) -> None:
    """The wakeup pipe has the signal; Python only needs a handler to write into it."""
