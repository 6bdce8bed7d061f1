"""An upstream that is always about to close: a process of its own, to race the gateway in earnest.

It closes each connection after a random idle time of 0 to MOST_IDLE seconds behind an answer,
whatever is on its way to it by then, and counts what it executed by method and target. Run as a
program it prints its port, serves until its stdin ends, and then prints what it counted as JSON.

    python server.py SEED MOST_IDLE
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import cast

sys.path.append(str(Path(__file__).parents[1]))

import uvloop
from rig.upstream import end_of_message, response


class Server:
    """What all connections share."""

    def __init__(self, seed: int, most_idle: float) -> None:
        self.most_idle = most_idle
        self.random = random.Random(seed)
        self.executed: Counter[str] = Counter()
        self.connections = 0
        self.closed_idle = 0
        """Connections that we closed, rather than the gateway."""

    def told(self) -> dict[str, object]:
        return {
            "executed": dict(self.executed),
            "connections": self.connections,
            "closed_idle": self.closed_idle,
        }


class Racer(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections += 1

    def data_received(self, data: bytes) -> None:
        self._stop_timer()
        buffer = self._buffer
        buffer += data
        while (found := end_of_message(buffer, 0)) is not None:
            _, end, _ = found
            method, target, _ = bytes(buffer[:end]).split(b" ", 2)
            del buffer[:end]
            self._server.executed[f"{method.decode()} {target.decode()}"] += 1
            self._transport.write(response(target))
        if not buffer:
            idle = self._server.random.uniform(0, self._server.most_idle)
            self._timer = asyncio.get_running_loop().call_later(idle, self._close)

    def _close(self) -> None:
        self._server.closed_idle += 1
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def main(seed: int, most_idle: float) -> None:
    loop = asyncio.get_running_loop()
    server = Server(seed, most_idle)
    listener = await loop.create_server(lambda: Racer(server), "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    listener.close()
    print(json.dumps(server.told()), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), float(sys.argv[2])))
