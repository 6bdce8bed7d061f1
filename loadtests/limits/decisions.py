"""The decision alone: `Limiter.admit`, and a token bucket in Redis, by the CPU of both ends.

Redis is asked as a gateway in Python would ask it: over a Unix socket, which is cheaper than TCP,
by a protocol on uvloop that speaks RESP itself, with a script that is loaded once (EVALSHA). One
decision at a time is what a lone request waits for; 64 at a time share reads and writes, the best
case. The client library of Redis would come on top.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import cast

import psutil
import uvloop

from gwd.segment.limiter import Limiter
from gwd.segment.memory import Segment, Sizes
from gwd.segment.processes import WORKER, ProcessTable
from loadtests.compare.running import program

RATE, BURST = 100, 50
KEYS = 8
"""Addresses that Redis is asked for: so few that it must refuse some, which is checked."""
SCRIPT = b"""
local now, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local had = redis.call('HMGET', KEYS[1], 't', 'n')
local tokens = burst
if had[1] then tokens = math.min(burst, had[2] + (now - had[1]) * rate / 1e6) end
local good = tokens >= 1
if good then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 't', now, 'n', tokens)
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000))
return good and 1 or 0
"""


def in_process(addresses: int, seconds: float) -> float:
    """CPU µs per decision of gwd's limiter, one process, asked for so many addresses in turn."""
    segment = Segment.create(Sizes(max_workers=4, max_ips=131072, max_endpoints=1, max_routes=1))
    try:
        column = ProcessTable(segment).claim(WORKER, 0, os.getpid())
        admit = Limiter(segment, column, b"r", RATE, BURST).admit
        keys = [(0x0A000000 + number).to_bytes(4, "big") for number in range(addresses)]
        clock = time.monotonic_ns
        for key in keys:
            admit(key, clock() // 1000)
        keys *= max(1, 1000 // addresses)
        count, spent = 0, time.process_time()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for key in keys:
                admit(key, clock() // 1000)
            count += len(keys)
        return (time.process_time() - spent) * 1e6 / count
    finally:
        segment.close()


def in_redis(room: Path, at_once: int, seconds: float) -> tuple[float, float] | None:
    """CPU µs per decision, of the client and of redis-server; None if that is not installed."""
    server = program("redis-server")
    if server is None:
        return None
    room.mkdir(parents=True)
    path = room / "redis.sock"
    command = [server, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(room)]
    with (room / "output.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 10
        while not path.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((room / "output.log").read_text(errors="replace")[-1000:])
            time.sleep(0.02)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_ask(str(path), process.pid, at_once, seconds))
    finally:
        process.terminate()
        process.wait(10)


def _command(*words: bytes) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


class _Redis(asyncio.Protocol):
    """One connection: replies come in the order of the commands, each a number, an error or one
    bulk string."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, command: bytes) -> asyncio.Future[bytes]:
        assert self._transport is not None
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._transport.write(command)
        return future

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if line[:1] == b"-":
                self._waiting.popleft().set_exception(RuntimeError(line.decode()))
            elif line[:1] != b"$":
                self._waiting.popleft().set_result(line)


async def _ask(path: str, server: int, at_once: int, seconds: float) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    transport, redis = await loop.create_unix_connection(_Redis, path)
    digest = await redis.ask(_command(b"SCRIPT", b"LOAD", SCRIPT))
    rate, burst = b"%d" % RATE, b"%d" % BURST
    count = admitted = 0
    until = time.monotonic() + seconds

    async def decide() -> None:
        nonlocal count, admitted
        while time.monotonic() < until:
            now = b"%d" % (time.monotonic_ns() // 1000)
            key = b"ip:10.0.0.%d" % (count % KEYS)
            answer = await redis.ask(_command(b"EVALSHA", digest, b"1", key, now, rate, burst))
            count += 1
            admitted += answer == b":1"

    before, mine = _cpu(server), time.process_time()
    await asyncio.gather(*(decide() for _ in range(at_once)))
    mine = time.process_time() - mine
    theirs = _cpu(server) - before
    transport.close()
    if not 0 < admitted < count:
        raise RuntimeError(f"the script does not limit: {admitted} of {count} admitted")
    return mine * 1e6 / count, theirs * 1e6 / count


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
