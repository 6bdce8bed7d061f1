"""Echo gateways, ended and looked over after each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from echo_rig import Gateway, descendants, is_alive, until


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of two echo workers, config written, not started."""
    gateway = Gateway(tmp_path)
    gateway.write()
    yield gateway
    process = getattr(gateway, "process", None)
    if process is not None:
        below = descendants(process.pid) if process.poll() is None else set()
        process.kill()
        process.wait()
        until(lambda: not any(map(is_alive, below)), "the end of all children")
