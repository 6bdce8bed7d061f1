"""The types of the fixtures of this directory's conftest.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rig.client import Client
from rig.gateway import Gateway
from rig.programs import Nginx
from rig.upstream import RecordingUpstream

Outside = list[Client | RecordingUpstream | Nginx]


class StartGateway(Protocol):
    def __call__(
        self,
        config: str,
        *,
        workers: int = 1,
        arguments: Sequence[str] = (),
        environ: dict[str, str] | None = None,
    ) -> Gateway:
        """Start a gateway with this config, and wait until it is ready."""
        ...


class StartUpstream(Protocol):
    def __call__(self, name: str = "up", *, port: int = 0) -> RecordingUpstream: ...


class StartNginx(Protocol):
    def __call__(self, *, locations: str = "", keepalive: str = "75s") -> Nginx: ...


class Connect(Protocol):
    def __call__(
        self, running: Gateway, *, source: str | None = None, small_window: bool = False
    ) -> Client:
        """Open a client's connection to this gateway."""
        ...
