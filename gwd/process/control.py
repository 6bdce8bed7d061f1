"""The child's end of the control channel: the supervisor's words become calls on an `Actor`.

Strategy: the channel is a SOCK_SEQPACKET pair, so a message is a packet, whole or not at all: a
msgpack map of at most 64 KiB with an "op", sometimes with fds beside it. The supervisor speaks
`prepare`, `commit`, `abort`, `workers`, `adopt`, `release`, `unready`, `drain`, `stop`,
`reopen_logs`; the child answers `ready`, `prepared`, `failed`, `committed`, `aborted`, `adopted`,
`not_adopted`, `retiring`, `drained`, and the controller says `ban_filter` and
`certificates_changed`. Packets keep their order, so an abort can never overtake its prepare, nor a
release its adopt.

Everything that every child owes the supervisor is done here, once: the heartbeat, the state and
generation cells of its column, SIGTERM, and the end when the supervisor is gone. The heartbeat is
written from the event loop on purpose: it stops when the loop does.

A reload in a child is one small machine (`_Reload`):

    IDLE --prepare--> PREPARING --generator ends--> PREPARED --commit--> IDLE   (new tables)
                          |  '--generator raises--> IDLE                        (old tables)
                          '------abort--> IDLE <--abort-- PREPARED              (old tables)

A commit that raises leaves nobody knows what: the process ends, and its successor starts from the
new snapshot.
"""

from __future__ import annotations

import asyncio
import enum
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgpack

from gwd.config.snapshot import Snapshot, unpack
from gwd.process.child import Child
from gwd.segment.processes import DRAINING, READY, ProcessTable

MAX_MESSAGE = 65536
MAX_FDS = 253
"""Beside one message: SCM_MAX_FD of <net/scm.h>."""
HEARTBEAT_INTERVAL = 0.25
"""Seconds between two heartbeats; the shortest judgement the supervisor passes is one second."""
COMMIT_FAILED_STATUS = 70
"""EX_SOFTWARE of sysexits.h: exit status of a child whose commit raised."""


class Actor(Protocol):
    """What a worker or the controller does when it is told to."""

    def prepare(self, snapshot: Snapshot, generation: int) -> Iterator[None]:
        """Build the tables of `snapshot` beside the living ones, at most 5 ms between two yields.

        A generator that raises has failed: nothing has changed, the error goes to the operator.
        """

    def commit(self) -> None:
        """Swap in what was prepared. Must not fail."""

    def abort(self) -> None:
        """Throw away what was prepared, wholly or in part (not called after prepare raised)."""

    def drain(self, grace: float) -> None:
        """Stop accepting, finish what is in flight within `grace` seconds, call
        `Control.drained()` and stop the loop. Called once.
        """

    def stop(self) -> None:
        """Stop the loop at once. May be called more than once, also while draining."""

    def reopen_logs(self) -> None:
        """Close and open the log files anew (SIGUSR1, logrotate)."""


class Adopter(Protocol):
    """What a worker does beside: its slot is one of several, whose listeners it may have to serve
    too, and whose number is its share of what is limited for all.
    """

    def adopt(self, slot: int, listeners: list[socket.socket]) -> bool:
        """Accept from the non-blocking `listeners` of `slot` too, in place of those it may have
        adopted from that slot before; they are the worker's from now on. False, and the listeners
        closed, if it accepts no more.
        """

    def release(self, slot: int) -> None:
        """Close the listeners adopted from `slot`, if there are any: others serve them."""

    def share(self, workers: int) -> None:
        """There are so many worker slots from now on."""


class _Reload(enum.Enum):
    IDLE = enum.auto()
    PREPARING = enum.auto()
    PREPARED = enum.auto()


class Control:
    """Binds `actor` to the supervisor's channel on `loop`.

    Create it when the loop exists, call `ready()` when the child can do its work. `serving` is
    what a readiness probe on the data port should say: True from `ready()` until the gateway
    begins to stop (`shutdown_delay`: not ready, still serving) or this child drains.
    `workers` is the number of worker slots; a reload may change it. `adopter`: in a worker,
    who is told of that, and of the listeners of other slots.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        child: Child,
        actor: Actor,
        adopter: Adopter | None = None,
    ) -> None:
        self.serving = False
        self.workers = child.workers
        self._loop = loop
        self._child = child
        self._actor = actor
        self._adopter = adopter
        self._channel: socket.socket | None = child.channel
        self._table = ProcessTable(child.segment)
        self._grace = child.snapshot.server.shutdown_grace
        self._draining = False
        self._state = _Reload.IDLE
        self._generation = child.generation
        self._next: Snapshot | None = None
        self._slices: Iterator[None] | None = None
        self._unsent: list[bytes] = []
        self._table.set_generation(child.column, child.generation)
        self._beat()
        loop.add_reader(child.channel.fileno(), self._on_readable)

    # --- what the actor says -----------------------------------------------------------------

    def ready(self) -> None:
        """The child works from now on; to be called right before the loop runs, or in it."""
        # Only now: before, there is nothing to finish and SIGTERM may simply end the process;
        # and uvloop loses signals that come before it runs.
        self._loop.add_signal_handler(signal.SIGTERM, self._on_sigterm)
        self.serving = not self._draining
        self._table.set_state(self._child.column, DRAINING if self._draining else READY)
        self._send({"op": "ready"})

    def drained(self) -> None:
        """Everything this child had in flight is done; it is about to stop its loop."""
        self._send({"op": "drained"})

    def tell(self, message: dict[str, object]) -> bool:
        """Say something that only this kind of child says; at most MAX_MESSAGE bytes, packed.

        False if it does not read just now, and nothing was said: say later what is true then.
        """
        if self._unsent or self._channel is None:
            return False
        self._send(message)
        return True

    # --- the channel -------------------------------------------------------------------------

    def _on_readable(self) -> None:
        channel = self._channel
        while channel is not None:
            try:
                data, fds, _flags, _address = socket.recv_fds(
                    channel, MAX_MESSAGE, MAX_FDS, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            try:
                if not data:
                    self._supervisor_gone()
                    return
                self._on_message(msgpack.unpackb(data), fds)
            finally:
                for fd in fds:
                    os.close(fd)
            channel = self._channel

    def _on_message(self, message: dict[str, Any], fds: list[int]) -> None:
        match message["op"]:
            case "prepare":
                self._prepare(fds[0], message["generation"])
            case "commit":
                self._commit(message["generation"])
            case "abort":
                self._abort()
            case "workers":
                self.workers = message["count"]
                if self._adopter is not None:
                    self._adopter.share(self.workers)
            case "adopt":
                self._adopt(message, fds)
            case "release" if self._adopter is not None:
                self._adopter.release(message["slot"])
            case "unready":
                self.serving = False
                self._table.set_state(self._child.column, DRAINING)
            case "drain":
                self._drain(message["grace"])
            case "stop":
                self.serving = False
                self._actor.stop()
            case "reopen_logs":
                self._actor.reopen_logs()
            case unknown:
                raise ValueError(f"the supervisor said {unknown!r}")

    def _send(self, message: Mapping[str, Any]) -> None:
        self._unsent.append(msgpack.packb(message))
        self._flush()

    def _flush(self) -> None:
        channel = self._channel
        while channel is not None and self._unsent:
            try:
                channel.send(self._unsent[0])
            except BlockingIOError:
                self._loop.call_later(0.05, self._flush)
                return
            except OSError:
                self._unsent.clear()  # the supervisor is gone; the reader will see it
                return
            del self._unsent[0]

    def _supervisor_gone(self) -> None:
        if self._channel is not None:
            self._loop.remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
        self.serving = False
        self._actor.stop()

    def _adopt(self, message: Mapping[str, Any], fds: list[int]) -> None:
        """Have the worker serve another slot too. The kernel leaves out fds for which there is no
        room: then none is taken, and another worker is asked."""
        slot, taken = message["slot"], False
        if len(fds) == message["listeners"] and self._adopter is not None:
            listeners = [socket.socket(fileno=fd) for fd in fds]
            fds.clear()
            taken = self._adopter.adopt(slot, listeners)
        op = "adopted" if taken else "not_adopted"
        self._send({"op": op, "slot": slot, "number": message["number"]})

    # --- a reload ----------------------------------------------------------------------------

    def _prepare(self, fd: int, generation: int) -> None:
        self._abandon()
        self._generation = generation
        try:
            self._next = unpack(os.pread(fd, os.fstat(fd).st_size, 0))
            self._slices = self._actor.prepare(self._next, generation)
        except Exception as error:
            self._prepare_failed(error)
            return
        self._state = _Reload.PREPARING
        self._loop.call_soon(self._slice, self._slices)

    def _slice(self, slices: Iterator[None]) -> None:
        if slices is not self._slices:
            return  # aborted meanwhile
        try:
            next(slices)
        except StopIteration:
            self._slices = None
            self._state = _Reload.PREPARED
            self._send({"op": "prepared", "generation": self._generation})
        except Exception as error:
            self._prepare_failed(error)
        else:
            self._loop.call_soon(self._slice, slices)

    def _prepare_failed(self, error: Exception) -> None:
        self._slices = self._next = None
        self._state = _Reload.IDLE
        text = f"{type(error).__name__}: {error}"[:2048]
        self._send({"op": "failed", "generation": self._generation, "error": text})

    def _commit(self, generation: int) -> None:
        if self._state is not _Reload.PREPARED or generation != self._generation:
            return  # the supervisor's time-out replaces us
        assert self._next is not None
        try:
            self._actor.commit()
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(COMMIT_FAILED_STATUS)
        self._grace = self._next.server.shutdown_grace
        self._next = None
        self._state = _Reload.IDLE
        self._table.set_generation(self._child.column, generation)
        self._send({"op": "committed", "generation": generation})

    def _abort(self) -> None:
        self._abandon()
        self._send({"op": "aborted", "generation": self._generation})

    def _abandon(self) -> None:
        if self._state is not _Reload.IDLE:
            slices, self._slices, self._next = self._slices, None, None
            self._state = _Reload.IDLE
            close = getattr(slices, "close", None)
            if close is not None:
                close()
            self._actor.abort()

    # --- the end -----------------------------------------------------------------------------

    def _drain(self, grace: float) -> None:
        if not self._draining:
            self._draining = True
            self.serving = False
            self._table.set_state(self._child.column, DRAINING)
            self._actor.drain(grace)

    def _on_sigterm(self) -> None:
        """SIGTERM to one child retires it gently; the supervisor puts another in its place."""
        if not self._draining:
            self._send({"op": "retiring"})
            self._drain(self._grace)

    def _beat(self) -> None:
        self._table.beat(self._child.column, time.monotonic_ns())
        self._loop.call_later(HEARTBEAT_INTERVAL, self._beat)
