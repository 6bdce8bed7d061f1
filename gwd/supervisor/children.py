"""The living children: fork them, hear them, bury them, follow them up.

Invariants:

- a seat is a role and a slot; at most one child sits on it, others with the same seat are
  retiring (they drain and are not followed up);
- a child's column is touched by us only before it is forked and after `waitid` returned;
- a seat whose child died is filled again, after the delay its `Respawn` gives, for as long as it
  is wanted (`fill` .. `abandon`); on the same listeners, as those are the slot's.

Decisions that concern the whole gateway (a reload, the end) are the supervisor's, which is told of
every message and every death.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgpack

from gwd.process.child import WORKER, Child
from gwd.process.control import MAX_MESSAGE
from gwd.process.events import Log
from gwd.segment.processes import ProcessTable
from gwd.supervisor.hung import hung
from gwd.supervisor.poller import Poller
from gwd.supervisor.respawn import Respawn
from gwd.supervisor.spawn import fork_child

START_TIME = 30.0
"""Seconds from the fork within which a child must say that it is ready."""
END_TIME = 5.0
"""Seconds a child has for its end once it has closed its channel."""
ABORT_TIME = 1.0
"""Seconds between SIGABRT, which prints the stack, and SIGKILL."""

Seat = tuple[str, int]
Entry = Callable[[Child], int]


@dataclass(slots=True, eq=False)
class ChildProcess:
    """One forked child as the supervisor knows it. Times are monotonic seconds."""

    seat: Seat
    column: int
    pid: int
    pidfd: int
    channel: socket.socket
    started: float
    ready: bool = False
    retiring: bool = False
    condemned: bool = False
    """It is being ended for what it did not do."""
    kill_at: float = field(default=float("inf"))

    @property
    def name(self) -> str:
        role, slot = self.seat
        return f"worker {slot}" if role == WORKER else role


class Owner(Protocol):
    """Who makes children complete and hears what becomes of them: the supervisor."""

    def child_for(self, seat: Seat, column: int, channel: socket.socket) -> Child: ...

    def forked(self, child: ChildProcess) -> None: ...

    def heard(self, child: ChildProcess, message: Mapping[str, Any]) -> None: ...

    def retires(self, child: ChildProcess) -> None:
        """It drains from now on, and has no seat any more."""

    def ended(self, child: ChildProcess) -> None:
        """Reaped; whether its seat is filled again is settled already."""


class Children:
    def __init__(
        self,
        owner: Owner,
        poller: Poller,
        table: ProcessTable,
        role_codes: Mapping[str, int],
        entries: Mapping[str, Entry],
        segment_fd: int,
        log: Log,
    ) -> None:
        self._owner = owner
        self._poller = poller
        self._table = table
        self._role_codes = role_codes
        self._entries = entries
        self._segment_fd = segment_fd
        self._log = log
        self._alive: dict[int, ChildProcess] = {}
        self._seated: dict[Seat, ChildProcess] = {}
        self._due: dict[Seat, float] = {}
        self._respawns: dict[Seat, Respawn] = {}

    # --- who there is ------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._alive)

    def __iter__(self) -> Iterator[ChildProcess]:
        return iter(list(self._alive.values()))

    def seated(self) -> list[ChildProcess]:
        """The children that hold a seat; not those that retire."""
        return list(self._seated.values())

    def on(self, seat: Seat) -> ChildProcess | None:
        """Who holds `seat`."""
        return self._seated.get(seat)

    def get(self, pid: int) -> ChildProcess | None:
        return self._alive.get(pid)

    def next_due(self) -> float:
        """The next moment at which `tick` has to do something, monotonic seconds."""
        kills = (child.kill_at for child in self._alive.values())
        return min([*self._due.values(), *kills], default=float("inf"))

    # --- coming and going --------------------------------------------------------------------

    def fill(self, seat: Seat) -> None:
        """Have a child on `seat` from now on, if there is none."""
        self._respawns[seat] = Respawn()
        if seat not in self._seated:
            self._due.pop(seat, None)
            self._spawn(seat)

    def empty(self, seat: Seat) -> None:
        """Have nobody follow who sits on `seat`."""
        self._respawns.pop(seat, None)
        self._due.pop(seat, None)

    def abandon(self) -> None:
        """Follow nobody up any more."""
        self._due.clear()
        self._respawns.clear()

    def tick(self, now: float) -> None:
        """Do what has become due."""
        for seat, due in list(self._due.items()):
            if due <= now:
                del self._due[seat]
                self._spawn(seat)
        for child in self:
            if child.kill_at <= now:
                self.kill(child, signal.SIGKILL)

    def replace(self, child: ChildProcess, why: str) -> None:
        """End `child`, stack on stderr first: it does not do what it should."""
        if child.kill_at == float("inf") and not child.condemned:
            child.condemned = True
            self._log("error", "child replaced", child=child.name, pid=child.pid, reason=why)
            self.kill(child, signal.SIGABRT)
            child.kill_at = time.monotonic() + ABORT_TIME

    def kill(self, child: ChildProcess, signum: signal.Signals) -> None:
        if signum is signal.SIGKILL:
            child.kill_at = float("inf")
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, signum)

    def beats(self) -> dict[int, float]:
        """The last heartbeat of each ready child by its pid, monotonic seconds."""
        beats = {}
        for row in self._table.live():
            child = self._alive.get(row.pid)
            if child is not None and child.ready:
                beats[child.pid] = row.heartbeat_ns / 1e9
        return beats

    def replace_hung(
        self, beats: Mapping[int, float], *, now: float, awake_since: float, watchdog: float
    ) -> None:
        """End the children whose heart stands still, and those that never begin."""
        for pid in hung(beats, now=now, awake_since=awake_since, watchdog=watchdog):
            self.replace(self._alive[pid], f"no heartbeat for {now - beats[pid]:.1f} s")
        for child in self:
            if not child.ready and now - max(child.started, awake_since) > START_TIME:
                self.replace(child, f"not ready within {START_TIME:g} s")

    def freshest_worker_beat(self) -> float:
        """Monotonic seconds of the newest heartbeat of any ready worker, 0.0 for none."""
        newest = 0
        for row in self._table.live():
            child = self._alive.get(row.pid)
            if child is not None and child.ready and child.seat[0] == WORKER:
                newest = max(newest, row.heartbeat_ns)
        return newest / 1e9

    def _spawn(self, seat: Seat) -> None:
        role, slot = seat
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            column = self._table.claim(self._role_codes[role], slot, 0)
        except Exception as error:
            # Columns of draining children free themselves as those end: try again then.
            ours.close()
            theirs.close()
            self._log("error", "child not started", child=f"{role} {slot}", reason=str(error))
            self._due[seat] = time.monotonic() + 1.0
            return
        child = self._owner.child_for(seat, column, theirs)
        entry = self._entries[role]
        keep = [theirs.fileno(), self._segment_fd, *(s.fileno() for s in child.listeners)]
        name = f"gwd-worker-{slot}" if role == WORKER else f"gwd-{role}"
        try:
            pid, pidfd = fork_child(lambda: entry(child), keep=keep, name=name)
        except OSError as error:
            self._table.release(column)
            ours.close()
            theirs.close()
            self._log("error", "child not started", child=f"{role} {slot}", reason=str(error))
            self._due[seat] = time.monotonic() + 1.0
            return
        theirs.close()
        self._table.set_pid(column, pid)
        process = ChildProcess(seat, column, pid, pidfd, ours, time.monotonic())
        self._alive[pid] = process
        self._seated[seat] = process
        self._poller.register(pidfd, lambda: self._reap(process))
        self._poller.register(ours.fileno(), lambda: self._hear(process))
        self._log("info", "child started", child=process.name, pid=pid)
        self._owner.forked(process)

    def _reap(self, child: ChildProcess) -> None:
        self._hear(child)  # its last words may still lie in the channel
        ended = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        if ended is None:
            return
        self._poller.unregister(child.pidfd)
        os.close(child.pidfd)
        self._hang_up(child)
        del self._alive[child.pid]
        self._table.release(child.column)
        respawn = None
        if self._seated.get(child.seat) is child:
            del self._seated[child.seat]
            respawn = self._respawns.get(child.seat)
        fields: dict[str, object] = {"child": child.name, "pid": child.pid}
        if ended.si_code == os.CLD_EXITED:
            fields["status"] = ended.si_status
        else:
            fields["signal"] = _signal_name(ended.si_status)
        if respawn is None:
            self._log("info", "child ended", **fields)
        else:
            now = time.monotonic()
            delay = respawn.delay(now)
            self._due[child.seat] = now + delay
            self._log("error", "child died", restart_in=delay, **fields)
        self._owner.ended(child)

    # --- the channel -------------------------------------------------------------------------

    def tell(self, children: Iterable[ChildProcess], message: Mapping[str, Any], *fds: int) -> None:
        """Send `message`, with `fds`, MAX_FDS at most. A child whose queue is full is replaced."""
        packet = msgpack.packb(message)
        for child in children:
            try:
                if fds:
                    socket.send_fds(child.channel, [packet], fds)
                else:
                    child.channel.send(packet)
            except BlockingIOError:
                self.replace(child, "does not read its control channel")
            except OSError:
                pass  # it is dying: its pidfd tells

    def retire(self, child: ChildProcess) -> None:
        """`child` drains: its seat is for a successor now, if it is to have one."""
        if not child.retiring:
            child.retiring = True
            if self._seated.get(child.seat) is child:
                del self._seated[child.seat]
                if child.seat in self._respawns:
                    self._due[child.seat] = time.monotonic()
            self._owner.retires(child)

    def _hear(self, child: ChildProcess) -> None:
        while child.channel.fileno() != -1:
            try:
                packet = child.channel.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                # It has closed its end, so it is dying or about to: its pidfd tells.
                self._hang_up(child)
                child.kill_at = min(child.kill_at, time.monotonic() + END_TIME)
                return
            try:
                message = msgpack.unpackb(packet)
                op = message["op"]
            except (ValueError, KeyError, TypeError) as error:
                self.replace(child, f"sent nonsense ({error})")
                return
            if op == "ready":
                child.ready = True
            elif op == "retiring":
                self.retire(child)
            self._owner.heard(child, message)

    def _hang_up(self, child: ChildProcess) -> None:
        if child.channel.fileno() != -1:
            self._poller.unregister(child.channel.fileno())
            child.channel.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
