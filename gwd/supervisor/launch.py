"""From a command line to a running tree: `gwd run` in order, each step undone if a later one fails.

load the config (in a child) → take the addresses → take the runtime directory → make the segment →
write gwd.pid → fork. Nothing is forked to stay before everything that can be refused has been
asked, so bad input leaves no half-started tree. What fails is one clear line each on stderr.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence

from gwd.config.snapshot import Bind
from gwd.process.child import CONTROLLER, WORKER
from gwd.process.events import EventLog
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import CONTROLLER as CONTROLLER_CODE
from gwd.segment.processes import WORKER as WORKER_CODE
from gwd.supervisor.children import Entry
from gwd.supervisor.configuration import Configuration, worker_count
from gwd.supervisor.listeners import BindError, Listeners
from gwd.supervisor.loading import Loader, Loading
from gwd.supervisor.pidfile import AlreadyRunning, PidFile, path_for_daemon
from gwd.supervisor.poller import Poller
from gwd.supervisor.supervisor import Supervisor, raise_file_limit
from gwd.supervisor.systemd import Notifier
from gwd.tls.contexts import ListenerContexts

GOOD = 0
FAILED = 1
RETRY = 4
"""Exit statuses of DESIGN §1.1: a restart cannot help; a restart may help."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. `ready_fd` is -1 for none."""

    config: str
    workers: int | None = None
    admin: str | None = None
    ready_fd: int = -1


def launch(
    options: Options,
    environ: MutableMapping[str, str],
    *,
    entries: Mapping[str, Entry],
    preload: Callable[[], None] | None = None,
    loader: Loader | None = None,
) -> int:
    """Run a gateway until it is told to stop; its exit status.

    `entries`: what each role runs; `preload` imports it, once the config was found good.
    `loader`: what loads the config, `load_checked` if None.
    """
    notifier = Notifier(environ)
    if options.ready_fd >= 0:
        os.set_inheritable(options.ready_fd, False)
    outcome = Loading(options.config, environ, loader).finish()
    _say(outcome.warnings)
    if outcome.snapshot is None:
        _say(outcome.errors)
        return FAILED
    snapshot = outcome.snapshot
    workers = worker_count(options.workers, snapshot)
    if workers > snapshot.segment.max_workers:
        most = snapshot.segment.max_workers
        _say(
            [f"gwd: --workers {workers} is more than segment.max_workers ({most}); raise that too"]
        )
        return FAILED
    raise_file_limit()
    if preload is not None:
        preload()
    with contextlib.ExitStack() as taken:
        taken.callback(notifier.close)
        try:
            listeners = Listeners(snapshot.server.bind, workers)
            taken.callback(listeners.close)
            pid_path = path_for_daemon(options.admin, snapshot.admin_bind, environ)
            pidfile = PidFile(pid_path)
            taken.callback(pidfile.close)
        except BindError as error:
            _say([f"gwd: {error}"])
            return RETRY if error.temporary else FAILED
        except AlreadyRunning as error:
            _say([f"gwd: {error}"])
            return RETRY
        except OSError as error:
            _say([f"gwd: cannot use the runtime directory: {error.strerror}: {error.filename}"])
            return FAILED
        contexts = ListenerContexts.make(snapshot)
        segment = Segment.create(Sizes(**dataclasses.asdict(snapshot.segment)))
        taken.callback(segment.close)
        poller = Poller()
        log = EventLog()
        configuration = Configuration(
            snapshot=snapshot,
            snapshot_fd=outcome.snapshot_fd,
            tls=contexts,
            path=options.config,
            workers_option=options.workers,
            environ=environ,
            segment=segment,
            poller=poller,
            notifier=notifier,
            log=log,
            loader=loader,
        )
        taken.callback(configuration.close)
        started = time.time()

        def publish() -> None:
            limits, server = configuration.snapshot.limits, configuration.snapshot.server
            per_ip, ban = limits.per_ip, limits.ban
            pidfile.write(
                pid=os.getpid(),
                segment_fd=segment.fd,
                started=started,
                addresses=listeners.addresses,
                workers=configuration.workers,
                adopted=configuration.adopted,
                ipv6_prefix=limits.ipv6_prefix,
                never_banned={
                    "limits.exempt": limits.exempt,
                    "server.trusted_proxies": server.trusted_proxies,
                },
                ban_action=limits.ban_action,
                bans_by_rate=ban is not None and per_ip is not None and per_ip.mode != "observe",
            )

        supervisor = Supervisor(
            configuration=configuration,
            segment=segment,
            listeners=listeners,
            poller=poller,
            notifier=notifier,
            entries=entries,
            role_codes={WORKER: WORKER_CODE, CONTROLLER: CONTROLLER_CODE},
            log=log,
            announce=_announcer(options.ready_fd, snapshot.server.bind),
            publish=publish,
        )
        return supervisor.run()


def _announcer(ready_fd: int, binds: Sequence[Bind]) -> Callable[[list[str]], None]:
    def announce(addresses: list[str]) -> None:
        for bind, address in zip(binds, addresses, strict=True):
            _say([f"listening on {'https' if bind.tls else 'http'}://{address}"])
        if ready_fd >= 0:
            record = {"pid": os.getpid(), "addresses": addresses}
            with contextlib.suppress(OSError):
                os.write(ready_fd, json.dumps(record).encode() + b"\n")
            os.close(ready_fd)

    return announce


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
    sys.stderr.flush()
