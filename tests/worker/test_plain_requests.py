"""What a plain request costs in objects of the event loop: none (docs/decisions.md).

A real worker, on either loop, whose clients and service work by callbacks, too. What is made
through the loop's own methods is counted. uvloop makes some futures below them, which only
asyncio's loop lets us see; and so both are asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from in_process import BODY, PlainRig

from gwd.clock import TICK
from gwd.http.head import NO_HEAD

CLIENTS = 3
GET = b"GET /items/%d HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\nCookie: a=%d\r\n\r\n"
POST = b"POST /items HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n" + BODY


class Client(asyncio.Protocol):
    """Sends the next request when the last one is answered, `left` of them."""

    left = 0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def ask(self, number: int, done: asyncio.Future[None]) -> None:
        self.left, self.done = number, done
        self._send()

    def _send(self) -> None:
        self.got = b""
        post = self.left % 3 == 0
        self.transport.write(POST if post else GET % (self.left, self.left))

    def data_received(self, data: bytes) -> None:
        self.got += data
        if not self.got.endswith(BODY):
            return
        if not self.got.startswith(b"HTTP/1.1 200 "):
            self.done.set_exception(AssertionError(self.got))
            return
        self.left -= 1
        if self.left:
            self._send()
        else:
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self.left and not self.done.done():
            self.done.set_exception(AssertionError("the gateway has closed the connection"))


class CountingRig(PlainRig):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.clients = [self._connect() for _ in range(CLIENTS)]
        self.made = {"create_task": 0, "create_future": 0}
        self.timers: list[object] = []
        for name in self.made:
            self._count(name)
        for name in ("call_later", "call_at"):
            self._note(name)

    def _connect(self) -> Client:
        _, client = self.run(self.loop.create_connection(Client, *self.address))
        return client

    def _count(self, name: str) -> None:
        method = getattr(self.loop, name)

        def counted(*arguments, **rest):
            self.made[name] += 1
            return method(*arguments, **rest)

        setattr(self.loop, name, counted)

    def _note(self, name: str) -> None:
        method = getattr(self.loop, name)

        def noted(when, callback, *arguments, **rest):
            self.timers.append(callback)
            return method(when, callback, *arguments, **rest)

        setattr(self.loop, name, noted)

    def ask(self, number: int) -> dict[str, int]:
        """Have each client send `number` requests; how much was made meanwhile, which is a future
        per client in any case: it is what we wait for."""
        before = {**self.made}
        for ended in [self._asked(client, number) for client in self.clients]:
            self.loop.run_until_complete(ended)
        return {name: made - before[name] for name, made in self.made.items()}

    def _asked(self, client: Client, number: int) -> asyncio.Future[None]:
        done = self.loop.create_future()
        client.ask(number, done)
        return done

    def leave(self) -> None:
        super().leave()
        for client in self.clients:
            client.transport.abort()


@pytest.fixture(params=["uvloop", "asyncio"])
def rig(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CountingRig]:
    monkeypatch.setenv("GWD_EVENT_LOOP", request.param)
    with closing(CountingRig(tmp_path)) as made:
        yield made


def test_a_connection_between_two_requests_keeps_no_head(rig: CountingRig) -> None:
    rig.ask(1)
    connections = rig.worker.census.connections
    assert len(connections) == CLIENTS
    assert all(each.idle and each.head is NO_HEAD for each in connections)


def test_ten_times_the_requests_make_no_more_tasks_futures_or_timers(rig: CountingRig) -> None:
    opened = rig.ask(10)
    assert opened["create_task"] > 0, "connections to the service take a task, so tasks are seen"
    asked = 10
    for _ in range(CLIENTS):
        asked += 550
        rig.timers.clear()
        began = time.monotonic()
        few = rig.ask(50)
        many = rig.ask(500)
        ticks = (time.monotonic() - began) / TICK + 2
        if not few["create_task"] + many["create_task"]:
            break  # else one more connection was needed, of which each client needs one at most
    assert few == many == {"create_task": 0, "create_future": CLIENTS}
    clock, beating = rig.worker.clock, rig.worker._control
    owners = [getattr(timer, "__self__", None) for timer in rig.timers]
    owners = [owner for owner in owners if owner is not beating]  # once in a while, whoever asks
    assert all(owner is clock for owner in owners)
    # asyncio's call_later is a call_at, too.
    assert len(owners) <= 2 * ticks
    rig.worker.account.flush()
    assert rig.log.read_text().count("\n") == CLIENTS * asked
