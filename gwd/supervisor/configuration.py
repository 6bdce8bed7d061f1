"""The config in force, and how another takes its place: HUP in two phases.

    idle --request--> loading --good--> rolling out (rollout.py) --> idle
                         '----bad-----> idle, refused

`loading` is a child (loading.py), rolling out is a conversation with all children, and both have a
time limit, so a reload always ends. Requests that come meanwhile are one request, acted on after.
However it ends, the result goes to the Board of the segment (where `gwd reload` waits for it), to
the log and to the service manager.

Certificates that change in their files come in by the same rollout, but without the file: what is
offered then is the config in force with other certificates (`renew_certificates`). Only the log
hears of it, as nobody has asked for it.

Rows of the segment (endpoints, routes) that the new config needs are added before anybody
prepares. Those that only the old one had stay until the next reload: requests that began on the
old tables still count on them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from gwd.config.snapshot import Snapshot
from gwd.process.events import Log
from gwd.segment.board import Board
from gwd.segment.endpoints import EndpointTable
from gwd.segment.memory import Segment
from gwd.segment.metrics import RouteMetrics
from gwd.supervisor.children import ChildProcess, Children
from gwd.supervisor.cores import usable_cores
from gwd.supervisor.listeners import BindError
from gwd.supervisor.loading import Loader, Loading, Outcome, renewed_checked
from gwd.supervisor.poller import Poller
from gwd.supervisor.rollout import Phase, Rollout
from gwd.supervisor.slots import Slots
from gwd.supervisor.systemd import Notifier
from gwd.tls.contexts import BadCertificate, ListenerContexts, Prepared

PHASE_TIME = 10.0
"""Seconds children have to prepare, to commit, to abort."""


class Configuration:
    """Owns the snapshot, its memfd and its generation; tells `children` about every change."""

    def __init__(
        self,
        *,
        snapshot: Snapshot,
        snapshot_fd: int,
        tls: ListenerContexts,
        path: str,
        workers_option: int | None,
        environ: Mapping[str, str],
        segment: Segment,
        poller: Poller,
        notifier: Notifier,
        log: Log,
        loader: Loader | None,
    ) -> None:
        self.snapshot = snapshot
        self.generation = 1
        self.workers = worker_count(workers_option, snapshot)
        self.tls = tls
        """What children are forked with; always of `snapshot`."""
        self.board = Board(segment)
        self._snapshot_fd = snapshot_fd
        self._path = path
        self._workers_option = workers_option
        self._environ = environ
        self._endpoints = EndpointTable(segment)
        self._metrics = RouteMetrics(segment)
        self._poller = poller
        self._notifier = notifier
        self._log = log
        self._loader = loader
        self._children: Children
        self._slots: Slots
        self._publish: Callable[[], None]
        self._wanted = False
        self._renewal_wanted = False
        self._renewing = False
        self._renewal_refused: tuple[str, ...] = ()
        self._loading: Loading | None = None
        self._rollout: Rollout | None = None
        self._offered = self.generation
        """The generation offered last, taken or not: no two reloads share a number."""
        self._next: Snapshot | None = None
        self._next_fd = -1
        self._next_tls: Prepared | None = None
        self._next_workers = self.workers
        self._deadline = float("inf")
        self._endpoints.assign(endpoint_names(snapshot))
        self._metrics.assign(route_names(snapshot))
        self.board.loaded(self.generation, snapshot.digest)

    def begin(self, children: Children, slots: Slots, publish: Callable[[], None]) -> None:
        """From now on there are children to tell. `publish` is called when a config comes
        into force and when `workers` changes."""
        self._children = children
        self._slots = slots
        self._publish = publish

    @property
    def adopted(self) -> Mapping[int, int]:
        """`Slots.adopted`, for whoever publishes what is in force."""
        return self._slots.adopted()

    def pids(self) -> tuple[int, ...]:
        """The process that loads a config just now, if there is one."""
        return (self._loading.pid,) if self._loading is not None else ()

    def status(self) -> str:
        """One line for people."""
        return (
            f"{self.workers} worker{'s' if self.workers != 1 else ''}, "
            f"config {self.snapshot.digest}"
        )

    # --- asked from outside ------------------------------------------------------------------

    def request(self) -> None:
        """A reload is wanted: now, or after the one that is under way."""
        if self._loading is not None or self._rollout is not None:
            self._wanted = True
            return
        self._wanted = self._renewing = False
        self.board.reload_begun()
        self._notifier.reloading()
        self._log("info", "reload begun", config=self._path)
        if self._path == "-":
            self._refuse(("the config came from standard input, which cannot be read again",))
            return
        self._load(Loading(self._path, self._environ, self._loader))

    def renew_certificates(self, generation: int) -> None:
        """Files of `[server.tls]` are not what they were in config `generation`: take them.

        The rest of the config stays what it is, whatever lies in its file.
        """
        if self._loading is not None or self._rollout is not None:
            self._renewal_wanted = True
            return
        self._renewal_wanted = False
        if generation != self.generation:
            return  # a reload has read them meanwhile; the controller looks again
        self._renewing = True
        snapshot = self.snapshot
        self._load(Loading("", {}, lambda _path, _environ: renewed_checked(snapshot)))

    def _load(self, loading: Loading) -> None:
        self._loading = loading
        self._poller.register(loading.pidfd, self._loaded)
        self._deadline = loading.deadline

    def give_up(self) -> None:
        """The gateway stops: whatever is under way ends without effect."""
        self._wanted = self._renewal_wanted = False
        if self._loading is not None:
            self._loading.kill()
            self._poller.unregister(self._loading.pidfd)
            outcome = self._loading.finish()
            self._loading = None
            if outcome.snapshot_fd >= 0:
                os.close(outcome.snapshot_fd)
            self._refuse(("gwd is stopping",))
        elif self._rollout is not None:
            committed = self._rollout.phase is Phase.COMMITTING
            self._rollout = None
            self._drop_next()
            if committed:
                self._report(True, "taken while gwd was stopping")
            else:
                self._refuse(("gwd is stopping",))

    def close(self) -> None:
        os.close(self._snapshot_fd)

    # --- what happens meanwhile --------------------------------------------------------------

    def next_due(self) -> float:
        return self._deadline

    def tick(self, now: float) -> None:
        if now < self._deadline:
            return
        self._deadline = float("inf")
        if self._loading is not None:
            self._loading.kill(timed_out=True)
        elif self._rollout is not None:
            for pid in self._rollout.time_is_up():
                child = self._children.get(pid)
                if child is not None:
                    self._children.replace(child, f"no answer to a reload in {PHASE_TIME:g} s")
            self._advance()

    def forked(self, child: ChildProcess) -> None:
        if self._rollout is not None and self._rollout.joined(child.pid):
            self._ask_to_prepare(child)

    def heard(self, child: ChildProcess, message: Mapping[str, Any]) -> None:
        rollout = self._rollout
        if rollout is None or message.get("generation") != self._offered:
            return  # not about a reload, or about one that is over
        match message["op"]:
            case "prepared":
                rollout.prepared(child.pid)
            case "failed":
                rollout.failed(child.pid, f"{child.name}: {message['error']}")
            case "committed" | "aborted":
                rollout.answered(child.pid)
        self._advance()

    def retires(self, child: ChildProcess) -> None:
        if self._rollout is not None:
            self._rollout.left(child.pid)
            self._advance()

    def ended(self, child: ChildProcess) -> None:
        if self._rollout is not None:
            self._rollout.died(child.pid, was_ready=child.ready)
            self._advance()

    # --- the steps ---------------------------------------------------------------------------

    def _loaded(self) -> None:
        assert self._loading is not None
        loading, self._loading = self._loading, None
        self._poller.unregister(loading.pidfd)
        self._deadline = float("inf")
        outcome = loading.finish()
        for warning in outcome.warnings:
            self._log("warning", "config", detail=warning)
        if outcome.snapshot is None:
            self._refuse(outcome.errors)
            return
        if self._renewing and outcome.snapshot == self.snapshot:
            os.close(outcome.snapshot_fd)
            self._deadline = float("inf")
            self._next_request()
            return
        errors = (
            self._unchangeable(outcome)
            or self._prepare_tls(outcome.snapshot)
            or self._make_rows(outcome.snapshot)
        )
        if errors:
            os.close(outcome.snapshot_fd)
            self._refuse(tuple(errors))
            return
        self._next, self._next_fd = outcome.snapshot, outcome.snapshot_fd
        self._next_workers = self._workers_for(outcome.snapshot)
        self._offered += 1
        self._rollout = Rollout(child.pid for child in self._children.seated())
        self._advance()

    def _unchangeable(self, outcome: Outcome) -> list[str]:
        """What the new config wants that only a restart can do."""
        old, new = self.snapshot, outcome.snapshot
        assert new is not None
        errors = []
        if _addresses(new) != _addresses(old):
            errors.append("server.bind has changed, which needs a restart")
        if new.segment != old.segment:
            errors.append("[segment] has changed, which needs a restart")
        if new.admin_bind != old.admin_bind:
            errors.append("admin.bind has changed, which needs a restart")
        return [f"{self._path}: {error}" for error in errors]

    def _prepare_tls(self, new: Snapshot) -> list[str]:
        """Have the contexts that later children are forked with; errors if OpenSSL refuses."""
        try:
            self._next_tls = self.tls.prepare_at_once(new)
        except BadCertificate as error:
            return [f"{self._path}: server.tls: OpenSSL does not take it: {error}"]
        return []

    def _workers_for(self, snapshot: Snapshot) -> int:
        """How many workers `snapshot` means. "auto" is decided at the start, once."""
        if self._workers_option or snapshot.server.workers == self.snapshot.server.workers:
            return self.workers
        return worker_count(None, snapshot)

    def _make_rows(self, new: Snapshot) -> list[str]:
        """Have rows for the old and the new names; errors if the segment is too small for both."""
        sizes = self.snapshot.segment
        endpoints = dict.fromkeys([*endpoint_names(self.snapshot), *endpoint_names(new)])
        routes = dict.fromkeys([*route_names(self.snapshot), *route_names(new)])
        errors = [
            f"{self._path}: old and new config together have {count} {what}, above "
            f"segment.{key} ({room}), which needs a restart"
            for count, what, key, room in (
                (len(endpoints), "endpoints", "max_endpoints", sizes.max_endpoints),
                (len(routes), "routes", "max_routes", sizes.max_routes),
            )
            if count > room
        ]
        if not errors:
            self._endpoints.assign(endpoints)
            self._metrics.assign(routes)
        return errors

    def _ask_to_prepare(self, child: ChildProcess) -> None:
        message = {"op": "prepare", "generation": self._offered}
        self._children.tell([child], message, self._next_fd)
        self._deadline = time.monotonic() + PHASE_TIME

    def _advance(self) -> None:
        while self._rollout is not None and (phase := self._rollout.step()) is not None:
            rollout = self._rollout
            self._deadline = time.monotonic() + PHASE_TIME
            asked = [child for child in self._children if child.pid in rollout.asked]
            match phase:
                case Phase.PREPARING:
                    for child in asked:
                        self._ask_to_prepare(child)
                case Phase.COMMITTING:
                    self._switch()
                    self._children.tell(asked, {"op": "commit", "generation": self.generation})
                case Phase.ABORTING:
                    self._children.tell(asked, {"op": "abort", "generation": self._offered})
                case Phase.COMMITTED:
                    self._rollout = None
                    self._report(True, self._resize())
                case Phase.ABORTED:
                    self._rollout = None
                    self._drop_next()
                    self._refuse((f"{self._path}: {rollout.error}",))

    def _switch(self) -> None:
        """From here on the new config is the one in force."""
        assert self._next is not None
        os.close(self._snapshot_fd)
        self.snapshot, self._snapshot_fd = self._next, self._next_fd
        self._next, self._next_fd = None, -1
        assert self._next_tls is not None
        self.tls.install(self._next_tls)
        self._next_tls = None
        self.generation = self._offered
        self._publish()

    def _resize(self) -> str:
        """Have as many workers as the new config says; what to tell the operator."""
        before, wanted = self.workers, self._next_workers
        if wanted == before:
            return "reloaded"
        try:
            self._slots.resize(wanted)
        except BindError as error:
            return f"reloaded, but there are still {before} workers: {error}"
        self.workers = wanted
        self._publish()
        return f"reloaded, {wanted} worker{'s' if wanted != 1 else ''} instead of {before}"

    def _drop_next(self) -> None:
        if self._next_fd >= 0:
            os.close(self._next_fd)
        self._next, self._next_fd, self._next_tls = None, -1, None

    # --- the result --------------------------------------------------------------------------

    def _refuse(self, errors: tuple[str, ...]) -> None:
        if self._renewing:
            # It is tried again and again: the same trouble is told once.
            if errors != self._renewal_refused:
                for error in errors:
                    self._log("error", "certificates not renewed", detail=error)
            self._renewal_refused = errors
            self._next_request()
            return
        for error in errors:
            self._log("error", "reload refused", detail=error)
        self._report(False, "\n".join(errors))

    def _report(self, ok: bool, message: str) -> None:
        if ok:
            self._renewal_refused = ()
        if self._renewing:
            self._renewed()
            return
        digest = self.snapshot.digest
        self.board.reload_done(ok, message, self.generation, digest)
        if ok:
            self._log("info", "reload done", detail=message, config=digest)
            self._notifier.ready(self.status())
        else:
            first = message.partition("\n")[0]
            self._notifier.ready(f"{self.status()}; last reload refused: {first}")
        self._next_request()

    def _renewed(self) -> None:
        self.board.loaded(self.generation, self.snapshot.digest)
        tls = self.snapshot.server.tls
        files = [certificate.cert_file for certificate in tls.certificates] if tls else []
        self._log("info", "certificates renewed", files=files)
        self._next_request()

    def _next_request(self) -> None:
        """One thing is over: do what was asked for meanwhile."""
        self._deadline = float("inf")
        if self._wanted:
            self.request()
        elif self._renewal_wanted:
            self.renew_certificates(self.generation)


def _addresses(snapshot: Snapshot) -> list[tuple[str, int]]:
    return [(bind.host, bind.port) for bind in snapshot.server.bind]


def worker_count(option: int | None, snapshot: Snapshot) -> int:
    """How many workers there are to be: --workers, else the config's, else the usable cores."""
    automatic = min(usable_cores(), snapshot.segment.max_workers)
    return option or snapshot.server.workers or automatic


def endpoint_names(snapshot: Snapshot) -> list[bytes]:
    """The names of all endpoints as the segment knows them: upstream, NUL, address."""
    names = (
        f"{upstream.name}\0{endpoint.address}".encode()
        for upstream in snapshot.upstreams
        for endpoint in upstream.endpoints
    )
    return list(dict.fromkeys(names))


def route_names(snapshot: Snapshot) -> list[bytes]:
    """The names of all routes as the segment knows them."""
    return list(dict.fromkeys(route.name.encode() for route in snapshot.routes))
