"""The proxies under comparison: which there are, what each can do, and how one is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.compare.place import LIMITED, PARTS, PLAIN, TOKENS, Place, Writer
from loadtests.compare.probe import check
from loadtests.compare.proxies import caddy, envoy, gwd, haproxy, nginx, python
from loadtests.compare.running import Running, free_port, program
from loadtests.compare.tokens import Keys
from loadtests.compare.work import Work

__all__ = ["PEERS", "Peer", "Running", "another_gwd", "free_port", "program", "start"]

_AIOHTTP = "from importlib.metadata import version as v; print('aiohttp', v('aiohttp'))"


@dataclass(frozen=True, slots=True)
class Peer:
    """`writers` by kind of work: a peer without one takes no part in works of that kind."""

    name: str
    find: Callable[[], str | None]
    """Where its program is; None if it is not installed."""
    version: tuple[str, ...]
    """What to ask the program for its version."""
    writers: Mapping[str, Writer]


PEERS = (
    Peer(
        "gwd",
        lambda: sys.executable,
        ("-m", "gwd", "--version"),
        gwd.writers(),
    ),
    Peer(
        "nginx",
        lambda: program("nginx"),
        ("-v",),
        {PLAIN: nginx.plain, LIMITED: nginx.limited},
    ),
    Peer(
        "haproxy",
        lambda: program("haproxy"),
        ("-v",),
        {PLAIN: haproxy.plain, TOKENS: haproxy.tokens, LIMITED: haproxy.limited},
    ),
    Peer(
        "envoy",
        lambda: program("envoy"),
        ("--version",),
        {PLAIN: envoy.plain, TOKENS: envoy.tokens, LIMITED: envoy.limited},
    ),
    Peer("caddy", lambda: program("caddy"), ("version",), {PLAIN: caddy.plain}),
    Peer(
        "python",
        python.interpreter,
        ("-c", _AIOHTTP),
        {PLAIN: python.plain, PARTS: python.plain},
    ),
)


def another_gwd(name: str, python: str) -> Peer:
    """gwd as another interpreter has it installed: the compiled form, or another Python."""
    return Peer(name, lambda: program(python), ("-m", "gwd", "--version"), gwd.writers(python))


def start(
    peer: Peer, kind: str, works: list[Work], room: Path, service: int, keys: Keys
) -> Running:
    """Start `peer` for works of `kind`. Raises RuntimeError unless its answers to all their probes
    are what they must be."""
    room.mkdir(parents=True)
    room.chmod(0o755)
    place = Place(room, free_port(), service, keys)
    setup = peer.writers[kind](place)
    for name, text in setup.files.items():
        (room / name).write_text(text)
    running = Running(room, setup.command, place.port, setup.environ or None)
    probes = [probe for work in works for probe in work.checks(keys)]
    wrong = [text for probe in probes if (text := check(probe, running.port, service))]
    if wrong:
        running.stop()
        raise RuntimeError(f"{peer.name}, {kind}: " + "; ".join(wrong))
    return running
