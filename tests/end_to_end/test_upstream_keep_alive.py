"""The race of keep-alive: an upstream closes the very connection on which a request is sent.

A GET never fails of it; a POST is never executed twice (DESIGN's rules for retries, RFC 9112
section 9.3.1). The upstream closes after a random idle time, counts what it executed, and knows
every request by its number.
"""

from __future__ import annotations

import contextlib
import random
import select
import threading
from collections import Counter

from rig.client import Broken, Client, request
from rig.configs import config
from rig.kinds import StartGateway, StartUpstream
from rig.scale import amount
from rig.upstream import Connection, response

CLIENTS = 8
SHORT = 0.05
"""Most seconds for which the upstream keeps an idle connection."""


class _Server:
    """Executes what it reads, and closes when it was idle for a random short time."""

    def __init__(self) -> None:
        self.executed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._random = random.Random(7)

    def __call__(self, connection: Connection) -> None:
        while True:
            idle = self._random.uniform(0, SHORT)
            if not connection.received[connection.taken :]:
                ready, _, _ = select.select([connection.sock], [], [], idle)
                if not ready:
                    return
            asked = connection.read_request()
            if asked is None:
                return
            with self._lock:
                self.executed[f"{asked.method} {asked.target}"] += 1
            connection.send(response(asked.target.encode()))


def _ask(
    address: tuple[str, int], method: str, numbers: range, statuses: Counter[int], seed: int
) -> None:
    chance = random.Random(seed)
    client = Client(address)
    for number in numbers:
        body = b"x" if method == "POST" else None
        client.send(request(f"/{number}", method=method, body=body))
        answer = client.response(method)
        statuses[answer.status] += 1
        if answer.status == 200:
            assert answer.body == f"/{number}".encode(), "somebody else's answer"
        if chance.random() < 0.2:
            threading.Event().wait(chance.uniform(0, SHORT))
    client.close()


def _run(
    gateway: StartGateway, upstream: StartUpstream, method: str
) -> tuple[Counter[int], _Server]:
    server = _Server()
    up = upstream()
    up.behaviour = server
    running = gateway(config(up.address, server=('access_log = "off"',)), workers=1)
    each = amount(150, 100_000 // CLIENTS)
    statuses: Counter[int] = Counter()
    broken: list[BaseException] = []

    def client(number: int) -> None:
        try:
            numbers = range(number * each, (number + 1) * each)
            _ask(running.address, method, numbers, statuses, number)
        except (Broken, AssertionError) as error:
            broken.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with contextlib.suppress(IndexError):
        raise broken[0]
    assert statuses.total() == each * CLIENTS
    return statuses, server


def test_no_get_fails(gateway: StartGateway, upstream: StartUpstream) -> None:
    statuses, server = _run(gateway, upstream, "GET")
    assert set(statuses) == {200}
    assert server.executed.total() >= statuses[200]


def test_no_post_is_executed_twice(gateway: StartGateway, upstream: StartUpstream) -> None:
    statuses, server = _run(gateway, upstream, "POST")
    assert max(server.executed.values()) == 1
    assert set(statuses) <= {200, 502}
    assert statuses[502] <= statuses.total() // 50
