"""Processes with TLS listeners, ended after each test."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from handshakes import Served, Workers

from gwd.config.snapshot import Snapshot
from gwd.tls.contexts import ListenerContexts


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


@pytest.fixture
def forked() -> Iterator[Callable[..., Workers]]:
    made: list[Workers] = []

    def fork(snapshot: Snapshot, count: int = 2, before: Snapshot | None = None) -> Workers:
        """Workers of `snapshot`; if there is a `before`, they are forked with that, and renewed."""
        assert threading.active_count() == 1, threading.enumerate()
        workers = Workers(ListenerContexts.make(before or snapshot), before or snapshot, count)
        made.append(workers)
        if before is not None:
            assert workers.renew(snapshot) == [""] * count
        return workers

    yield fork
    for workers in made:
        workers.stop()
