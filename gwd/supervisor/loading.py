"""Loading a config where it can hurt nobody: in a short-lived child.

`load_checked` is the one judgement that `gwd check`, `gwd run` and a reload share: the file is
valid, and everything a worker would build from it can be built. In the daemon it runs in a child
that ends right after: what parsers and validators import, leak or crash on stays there. What the
child found good leaves it as a packed snapshot in a memfd sealed against every change, the very fd
that workers are given later; what it has to say leaves it in a second memfd.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgpack

from gwd.config.snapshot import Route, Snapshot, pack, unpack
from gwd.supervisor.spawn import fork_child

if TYPE_CHECKING:
    from gwd.config.load import Loaded
    from gwd.config.problems import Problem

TIME_OUT = 30.0
"""Seconds a load may take; files and keys come from a disk, nothing from a network."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_MAX_REPORT = 1 << 20


class Good(Protocol):
    """What a load that succeeded has to give."""

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def warnings(self) -> list[Problem]: ...


Loader = Callable[[str, Mapping[str, str]], Good]


def load_checked(path: str, environ: Mapping[str, str]) -> Loaded:
    """Load the config at `path` and build from it, for trial, all that workers build. Warnings
    are the file's, and what this machine is too small for.

    Raises ConfigError with every problem found.
    """
    from gwd.config.load import load
    from gwd.config.problems import ConfigError, in_order

    loaded = load(path, environ)
    problems = list(_trial(loaded))
    if problems:
        raise ConfigError(in_order([*problems, *loaded.warnings]))
    warnings = in_order([*loaded.warnings, *_short_of_descriptors(loaded)])
    return dataclasses.replace(loaded, warnings=warnings)


def _short_of_descriptors(loaded: Loaded) -> Iterator[Problem]:
    """What this machine's limit of open files is too low for.

    Only of a number that somebody wrote: the default says how many there may be, not how many are
    wanted. Of the hard limit, to which the supervisor raises the soft one. Not refused, because a
    service may have another limit than the shell in which its file is checked, and because
    workers make room at their descriptors as they do at `max_connections`.
    """
    from gwd.supervisor.compatible import worker_count
    from gwd.worker.room import places

    snapshot = loaded.snapshot
    path = ("server", "max_connections")
    if loaded.draft.get(path) is None:
        return
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    workers = worker_count(None, snapshot)
    room = workers * places(0, snapshot.upstreams, limit)
    if snapshot.server.max_connections > room:
        count = f"{workers} worker" + "s" * (workers > 1)
        yield loaded.draft.problem(
            path,
            f"{loaded.draft.shown(path)} connections are more than the descriptors are "
            f"enough for: {room} in {count}, at a hard limit of {limit} open files each here; "
            "raise that limit (LimitNOFILE) or lower this",
            severity="warning",
            at_key=True,
        )


def renewed_checked(snapshot: Snapshot) -> Good:
    """`snapshot` with its certificates as their files hold them now, and built for trial.

    Raises ConfigError.
    """
    from gwd.config.problems import ConfigError, Problem
    from gwd.config.tls_files import renewed
    from gwd.tls.contexts import BadCertificate, ListenerContexts

    found = renewed(snapshot)
    try:
        ListenerContexts.make(found.snapshot)
    except BadCertificate as error:
        tls = found.snapshot.server.tls
        assert tls is not None
        file = tls.client_ca_file if error.index < 0 else tls.certificates[error.index].cert_file
        raise ConfigError([Problem(file, f"OpenSSL does not take it: {error}")]) from None
    return found


def _trial(loaded: Loaded) -> Iterator[Problem]:
    """What cannot be built of a valid config, each at its place in the file."""
    from gwd.policies.assemble import build_authenticators, route_policies
    from gwd.policies.keys import BadVerifier
    from gwd.routing.table import conflicts
    from gwd.tls.contexts import BadCertificate, ListenerContexts

    snapshot = loaded.snapshot
    try:
        ListenerContexts.make(snapshot)
    except BadCertificate as error:
        what = "client_ca" if error.index < 0 else "a certificate"
        yield loaded.problem(
            "server", "tls", message=f"OpenSSL does not take {what}: {error}; have it issued anew"
        )
    for index, route in enumerate(snapshot.routes):
        for key, build in _route_builders(route):
            try:
                build()
            except ValueError as error:
                yield loaded.problem("routes", index, *key, message=str(error))
    with suppress(ValueError):  # a bad pattern was told above
        for conflict in conflicts(snapshot.routes):
            index = snapshot.routes.index(conflict.second)
            yield loaded.problem("routes", index, "path", message=str(conflict))
    verifiers = {}
    for config in snapshot.auth:
        try:
            verifiers.update(build_authenticators([config]))
        except BadVerifier as error:
            yield loaded.problem("auth", error.name, error.key, message=error.message)
    if len(verifiers) == len(snapshot.auth):
        for index, route in enumerate(snapshot.routes):
            try:
                route_policies(route, verifiers)
            except ValueError as error:
                yield loaded.problem("routes", index, message=str(error))


def _route_builders(route: Route) -> Iterator[tuple[tuple[str, ...], Callable[[], object]]]:
    """What of `route` is compiled by itself, with the key that it comes from."""
    from gwd.aggregate.plan import Plan
    from gwd.routing.pattern import PathPattern
    from gwd.routing.rewrite import compile_rewrite, compile_template

    yield ("path",), lambda: PathPattern(route.path)
    if route.rewrite is not None:
        yield ("rewrite",), lambda: compile_rewrite(route.path, route.rewrite)
    if route.parts:
        yield ("parts",), lambda: Plan(route)
    if route.respond is not None and (redirect := route.respond.redirect) is not None:
        yield ("respond", "redirect"), lambda: compile_template(route.path, redirect)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a load came to. `snapshot_fd` is a sealed memfd, the receiver's to close."""

    snapshot: Snapshot | None
    snapshot_fd: int
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


class Loading:
    """A load under way in a child of its own: wait for `pidfd`, then call `finish`."""

    def __init__(self, path: str, environ: Mapping[str, str], loader: Loader | None = None) -> None:
        """`loader`: what the child calls, `load_checked` unless a test has its own."""
        self.deadline = time.monotonic() + TIME_OUT
        self._timed_out = False
        self._snapshot_fd = os.memfd_create("gwd-snapshot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._report_fd = os.memfd_create("gwd-report", os.MFD_CLOEXEC)

        def run() -> int:
            return _load(loader or load_checked, path, environ, self._snapshot_fd, self._report_fd)

        keep = (self._snapshot_fd, self._report_fd)
        self.pid, self.pidfd = fork_child(run, keep=keep, name="gwd-load")

    def kill(self, *, timed_out: bool = False) -> None:
        """End it; `pidfd` becomes readable, `finish` says why."""
        self._timed_out = timed_out
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def finish(self) -> Outcome:
        """Wait for the child's end, reap it, return what it left. To be called once."""
        ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        try:
            outcome = self._outcome(ended)
        finally:
            os.close(self._report_fd)
        if outcome.snapshot is None:
            os.close(self._snapshot_fd)
        return outcome

    def _outcome(self, ended: os.waitid_result | None) -> Outcome:
        if self._timed_out:
            return _refused(f"the config was not loaded within {TIME_OUT:g} s")
        if ended is None or ended.si_code != os.CLD_EXITED or ended.si_status != 0:
            how = f"{_how(ended)}; its own words stand above in the log"
            return _refused(f"the process that loads the config {how}")
        report = msgpack.unpackb(os.pread(self._report_fd, _MAX_REPORT, 0))
        errors, warnings = tuple(report["errors"]), tuple(report["warnings"])
        if errors:
            return Outcome(None, -1, errors, warnings)
        if fcntl.fcntl(self._snapshot_fd, fcntl.F_GET_SEALS) != _SEALS:
            return _refused("the loaded config was not sealed")
        snapshot = unpack(os.pread(self._snapshot_fd, os.fstat(self._snapshot_fd).st_size, 0))
        return Outcome(snapshot, self._snapshot_fd, (), warnings)


def _refused(why: str) -> Outcome:
    return Outcome(None, -1, (why,), ())


def _how(ended: os.waitid_result | None) -> str:
    if ended is None:
        return "is gone"
    if ended.si_code == os.CLD_EXITED:
        return f"ended with status {ended.si_status}"
    return f"died of signal {ended.si_status}"


def _load(
    loader: Loader, path: str, environ: Mapping[str, str], snapshot_fd: int, report_fd: int
) -> int:
    """In the child: load, leave snapshot and report in the two memfds."""
    from gwd.config.problems import ConfigError

    report: dict[str, Any] = {"errors": [], "warnings": []}
    try:
        loaded = loader(path, environ)
    except ConfigError as error:
        report["errors"] = [str(problem) for problem in error.problems]
    else:
        report["warnings"] = [str(problem) for problem in loaded.warnings]
        _write(snapshot_fd, pack(loaded.snapshot))
        fcntl.fcntl(snapshot_fd, fcntl.F_ADD_SEALS, _SEALS)
    _write(report_fd, _bounded(report))
    return 0


def _bounded(report: dict[str, Any]) -> bytes:
    """The report as msgpack, with as many of its errors as fit."""
    while True:
        data = bytes(msgpack.packb(report))
        if len(data) <= _MAX_REPORT:
            return data
        errors = report["errors"]
        report["errors"] = [*errors[: len(errors) // 2], "… and more of them"]
        report["warnings"] = []


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
