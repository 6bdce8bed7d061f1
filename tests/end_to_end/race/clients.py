"""A few keep-alive clients that ask a numbered question each, and pause as the race needs it.

Pauses are as long as the upstream's idle times, so that what is sent meets connections that are
just being closed. A client whose connection ends opens another; that is counted, too.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import uvloop
from rig.client import request

PAUSES = 0.5
"""The share of requests that are preceded by a pause."""
PATIENCE = 30.0


@dataclass
class Tally:
    statuses: dict[str, int] = field(default_factory=dict)
    """By method and target, as the upstream counts."""
    strangers: list[str] = field(default_factory=list)
    """Answers that were somebody else's."""
    ended: int = 0
    """Connections that the gateway ended."""

    def count(self, method: str) -> Counter[int]:
        """How many requests of `method` got each status."""
        return Counter(s for asked, s in self.statuses.items() if asked.startswith(f"{method} "))


def ask_all(
    address: tuple[str, int], asked: list[tuple[str, str]], *, clients: int, most_pause: float
) -> Tally:
    """Ask every (method, target) once, shared out over `clients`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_ask_all(address, asked, clients, most_pause))


async def _ask_all(
    address: tuple[str, int], asked: list[tuple[str, str]], clients: int, most_pause: float
) -> Tally:
    tally = Tally()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            mine = asked[number::clients]
            group.create_task(_ask(address, mine, tally, random.Random(number), most_pause))
    return tally


async def _ask(
    address: tuple[str, int],
    asked: list[tuple[str, str]],
    tally: Tally,
    chance: random.Random,
    most_pause: float,
) -> None:
    reader, writer = await asyncio.open_connection(*address)
    for method, target in asked:
        if chance.random() < PAUSES:
            await asyncio.sleep(chance.uniform(0, most_pause))
        writer.write(request(target, method=method, body=b"x" if method == "POST" else None))
        async with asyncio.timeout(PATIENCE):
            status, closes, body = await _answer(reader)
        tally.statuses[f"{method} {target}"] = status
        if status == 200 and body != target.encode():
            tally.strangers.append(f"{method} {target} was answered {body!r}")
        if closes:
            tally.ended += 1
            writer.close()
            reader, writer = await asyncio.open_connection(*address)
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    """Status, whether the connection ends, body. The gateway's heads are canonical."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    (length,) = (int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    body = await reader.readexactly(length)
    return int(lines[0].split(b" ")[1]), b"connection: close" in lines, body
