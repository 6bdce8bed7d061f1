"""The gateway reloads five times a second under load, and no request is lost.

    locust -f loadtests/reload.py --config loadtests/locust.conf --headless

HUP goes to the demo's gateway every 200 ms while the clients of steady.py read, post and download;
the config is the same every time, which a gateway takes as seriously as another one. The run is
good if nothing failed, no reload was refused, and at least one in five signals brought one: those
that come while a reload is under way are no further ones, and a busy machine takes its time.
"""

from __future__ import annotations

import signal

import gevent  # type: ignore[import-untyped]

from gwd.segment.board import REFUSED
from loadtests.beside import Running, beside_the_load
from loadtests.criteria import must
from loadtests.demo import own
from loadtests.steady import Client

__all__ = ["Client"]

EVERY = 0.2
SIGNALS_PER_RELOAD = 5


class _Count:
    signals = 0
    reloads = 0
    refused = ""


@beside_the_load
def reload(running: Running) -> None:
    with own().daemon() as daemon:
        before = daemon.board.read().sequence
        while running():
            daemon.signal(signal.SIGHUP)
            _Count.signals += 1
            gevent.sleep(EVERY)
            view = daemon.board.read()
            _Count.reloads = view.sequence - before
            if view.state == REFUSED:
                _Count.refused = view.message


@must
def gateway_reloaded() -> str:
    print(f"{_Count.signals} signals, {_Count.reloads} reloads")
    if _Count.refused:
        return f"a reload was refused: {_Count.refused}"
    if _Count.reloads * SIGNALS_PER_RELOAD < _Count.signals:
        return f"{_Count.signals} signals brought {_Count.reloads} reloads"
    return ""
