"""Fixtures of the end-to-end tests: real processes, real sockets, and a look for leaks after each.

The order of an end matters: clients and upstreams go first, then the gateway must be as if nobody
had ever been there, and then it must end without a trace.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from rig.client import Client
from rig.gateway import Gateway
from rig.kinds import Connect, Outside, StartGateway, StartNginx, StartUpstream
from rig.programs import Nginx
from rig.upstream import RecordingUpstream


@pytest.fixture
def outside() -> Iterator[Outside]:
    """What a test opened around the gateway, to be closed before the gateway is judged."""
    opened: Outside = []
    yield opened
    _close(opened)


def _close(opened: Outside) -> None:
    while opened:
        thing = opened.pop()
        if isinstance(thing, Nginx):
            thing.stop()
        else:
            thing.close()


@pytest.fixture
def gateway(tmp_path: Path, outside: Outside) -> Iterator[StartGateway]:
    """`gateway(config_text, workers=1, …)` starts one; several may run."""
    started: list[Gateway] = []

    def start(
        config: str,
        *,
        workers: int = 1,
        arguments: Sequence[str] = (),
        environ: dict[str, str] | None = None,
    ) -> Gateway:
        directory = tmp_path / f"gateway-{len(started)}"
        running = Gateway(directory, config, workers=workers, arguments=arguments, environ=environ)
        started.append(running)
        return running

    yield start
    _close(outside)
    for running in started:
        running.close()


@pytest.fixture
def upstream(outside: Outside) -> StartUpstream:
    """`upstream(name)` starts a RecordingUpstream."""

    def start(name: str = "up", *, port: int = 0) -> RecordingUpstream:
        running = RecordingUpstream(name, port=port)
        outside.append(running)
        return running

    return start


@pytest.fixture
def nginx(tmp_path: Path, outside: Outside) -> StartNginx:
    """`nginx(…)` starts an nginx of our own."""

    def start(*, locations: str = "", keepalive: str = "75s") -> Nginx:
        running = Nginx(
            tmp_path / f"nginx-{len(outside)}", locations=locations, keepalive=keepalive
        )
        outside.append(running)
        return running

    return start


@pytest.fixture
def connect(outside: Outside) -> Connect:
    """`connect(gateway)` opens a client's connection to it."""

    def open_one(
        running: Gateway, *, source: str | None = None, small_window: bool = False
    ) -> Client:
        client = Client(running.address, source=source, small_window=small_window)
        outside.append(client)
        return client

    return open_one
