"""Many tunnels and streams through a gateway that reloads five times a second: who is closed, and
what is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from dataclasses import dataclass

from loadtests.tunnels.delays import PAYLOAD, message, open_events, open_websocket
from loadtests.tunnels.service import EVENT
from loadtests.tunnels.ways import CHANGED, Way

EVERY = 0.2
"""Seconds between two reloads."""


class Reloading:
    """Reloads a gateway while it is entered, every time with another config. `count`: how often."""

    def __init__(self, way: Way) -> None:
        self.count = 0
        self._way = way
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            self.count += 1
            self._way.config.write_text(self._way.text + CHANGED * (self.count % 2))
            os.kill(self._way.running.pid, signal.SIGHUP)

    def __enter__(self) -> Reloading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@dataclass(slots=True)
class Outcome:
    """`closed` connections of `tunnels` and `streams`; `wrong` messages and events that were not
    what had to come next; how many of both came right; `reloads` asked for."""

    tunnels: int
    streams: int
    closed: int = 0
    wrong: int = 0
    messages: int = 0
    events: int = 0
    reloads: int = 0

    @property
    def good(self) -> bool:
        return not (self.closed or self.wrong)


async def _converse(port: int, outcome: Outcome, over: float) -> None:
    reader, writer = await asyncio.open_connection(sock=open_websocket(port))
    try:
        while time.monotonic() < over:
            payload = os.urandom(PAYLOAD)
            writer.write(message(payload))
            if (await reader.readexactly(2 + PAYLOAD))[2:] == payload:
                outcome.messages += 1
            else:
                outcome.wrong += 1
            await asyncio.sleep(0.02)
    except (asyncio.IncompleteReadError, ConnectionError):
        outcome.closed += 1
    finally:
        writer.close()


async def _listen(port: int, outcome: Outcome, over: float) -> None:
    sock, data = open_events(port, 0.02)
    reader, writer = await asyncio.open_connection(sock=sock)
    expected = 0
    try:
        while time.monotonic() < over:
            more = await reader.read(65536)
            if not more:
                outcome.closed += 1
                return
            data += more
            end = 0
            for match in EVENT.finditer(data):
                outcome.wrong += int(match[1]) != expected
                outcome.events += 1
                expected += 1
                end = match.end()
            data = data[end:]
    except ConnectionError:
        outcome.closed += 1
    finally:
        writer.close()


def hold(way: Way, tunnels: int, streams: int, seconds: float) -> Outcome:
    """Hold so many open through `way` for so long, while it reloads."""
    outcome = Outcome(tunnels, streams)

    async def all_of_them() -> None:
        over = time.monotonic() + seconds
        await asyncio.gather(
            *(_converse(way.port, outcome, over) for _ in range(tunnels)),
            *(_listen(way.port, outcome, over) for _ in range(streams)),
        )

    with Reloading(way) as reloading:
        asyncio.run(all_of_them())
    outcome.reloads = reloading.count
    return outcome
