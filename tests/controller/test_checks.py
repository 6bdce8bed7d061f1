"""The running checks: real services, the real endpoint table."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator

import pytest

from gwd.config.snapshot import Endpoint, Health, Snapshot, Upstream
from gwd.controller.checks import Change, Check, Checks, plan
from gwd.segment.endpoints import HEALTHY, UNHEALTHY, UNKNOWN, EndpointTable
from gwd.segment.memory import Segment, Sizes
from gwd.upstream.endpoint import table_name

HEALTH = Health(path="/healthz", interval=0.02, timeout=20.0, rise=2, fall=3)


@pytest.fixture
def table() -> Iterator[EndpointTable]:
    segment = Segment.create(Sizes(max_workers=2, max_ips=1024, max_endpoints=16, max_routes=16))
    yield EndpointTable(segment)
    segment.close()


def name(port: int, upstream: str = "orders") -> bytes:
    return table_name(upstream, f"127.0.0.1:{port}")


def config(
    snapshot: Snapshot, ports: list[int], health: Health | None = HEALTH, **settings: object
) -> Snapshot:
    endpoints = tuple(Endpoint("127.0.0.1", port, 1, f"127.0.0.1:{port}") for port in ports)
    orders: Upstream = dataclasses.replace(
        snapshot.upstreams[0], name="orders", endpoints=endpoints, health=health, **settings
    )
    return dataclasses.replace(snapshot, upstreams=(orders,))


class Bench:
    """Checks of one table on one loop, and what they reported."""

    def __init__(self, table: EndpointTable) -> None:
        self.table = table
        self.changes: list[Change] = []
        self.broken: list[BaseException] = []
        self.checks = Checks(
            asyncio.get_running_loop(), table, self.changes.append, self.broken.append
        )

    def check(self, snapshot: Snapshot) -> None:
        self.checks.replace(plan(snapshot, self.table.find))

    def state(self, port: int) -> int:
        return self.table.health(self.table.find(name(port))).state

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - the other side is a word of the segment
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        tasks = self.checks.stop()
        if tasks:
            await asyncio.wait(tasks)
        assert not self.broken


def play(table: EndpointTable, script: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench(table)
        try:
            await script(bench)
        finally:
            await bench.end()

    asyncio.run(run())


def test_an_endpoint_that_answers_becomes_healthy_and_nobody_is_told(table, service, snapshot):
    async def script(bench: Bench) -> None:
        await service.start()
        table.assign([name(service.port)])
        bench.check(config(snapshot, [service.port]))
        await bench.until(lambda: bench.state(service.port) == HEALTHY)
        await service.stop()
        assert bench.changes == []

    play(table, script)


def test_going_down_and_coming_back_are_told_with_what_is_left(table, service, snapshot):
    async def script(bench: Bench) -> None:
        await service.start()
        ports = [service.port, 1]
        table.assign([name(port) for port in ports])
        table.set_health(table.find(name(1)), HEALTHY, 1, "")
        long = dataclasses.replace(HEALTH, interval=3600.0, fall=3)
        bench.check(config(snapshot, ports))
        await bench.until(lambda: len(bench.changes) == 1)
        assert str(bench.changes[0]) == "orders 127.0.0.1:1 down (connection refused), 1 of 2 left"
        await bench.until(lambda: bench.state(service.port) == HEALTHY)
        await service.stop()
        await bench.until(lambda: len(bench.changes) == 2)
        assert bench.changes[1].left == 0
        assert bench.state(service.port) == UNHEALTHY
        await service.start()
        await bench.until(lambda: len(bench.changes) == 3)
        assert str(bench.changes[2]) == f"orders 127.0.0.1:{service.port} up, 1 of 2"
        assert bench.state(service.port) == HEALTHY
        bench.check(config(snapshot, ports, long))
        await service.stop()

    play(table, script)


def test_it_takes_fall_bad_checks_to_go_down(table, service, snapshot):
    async def script(bench: Bench) -> None:
        service.answer = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"
        await service.start()
        table.assign([name(service.port)])
        table.set_health(table.find(name(service.port)), HEALTHY, 1, "")
        bench.check(config(snapshot, [service.port]))
        await bench.until(lambda: bool(bench.changes))
        assert len(service.requests) == 3
        assert bench.changes[0].reason == "status 503"
        await service.stop()

    play(table, script)


def test_the_first_check_is_at_once(table, service, snapshot):
    async def script(bench: Bench) -> None:
        await service.start()
        table.assign([name(service.port)])
        hourly = dataclasses.replace(HEALTH, interval=3600.0)
        bench.check(config(snapshot, [service.port], hourly))
        await bench.until(lambda: bench.state(service.port) == HEALTHY)
        assert len(service.requests) == 1
        await service.stop()

    play(table, script)


def test_a_reload_leaves_alone_what_stays(table, service, snapshot):
    async def script(bench: Bench) -> None:
        await service.start()
        table.assign([name(service.port), name(1)])
        hourly = dataclasses.replace(HEALTH, interval=3600.0)
        bench.check(config(snapshot, [service.port], hourly))
        await bench.until(lambda: bench.state(service.port) == HEALTHY)
        bench.check(config(snapshot, [service.port, 1], hourly))
        await bench.until(lambda: bench.state(1) == UNHEALTHY)
        assert len(service.requests) == 1
        await service.stop()

    play(table, script)


def test_changed_settings_go_on_from_the_health_there_was(table, service, snapshot):
    async def script(bench: Bench) -> None:
        await service.start()
        table.assign([name(service.port)])
        table.set_health(table.find(name(service.port)), UNHEALTHY, 1, "")
        hourly = dataclasses.replace(HEALTH, interval=3600.0)
        bench.check(config(snapshot, [service.port], hourly))
        await bench.until(lambda: len(service.requests) == 1)
        bench.check(config(snapshot, [service.port], dataclasses.replace(hourly, path="/other")))
        await bench.until(lambda: len(service.requests) == 2)
        assert service.requests[1].startswith(b"GET /other ")
        assert bench.state(service.port) == UNHEALTHY  # `rise` is 2, and the count began anew
        await service.stop()

    play(table, script)


def test_an_endpoint_that_nobody_checks_any_more_is_unknown(table, snapshot):
    async def script(bench: Bench) -> None:
        table.assign([name(1)])
        bench.check(config(snapshot, [1]))
        await bench.until(lambda: bench.state(1) == UNHEALTHY)
        bench.check(config(snapshot, [1], None))
        assert bench.state(1) == UNKNOWN

    play(table, script)


def test_a_plan_needs_a_row_for_every_endpoint(table, snapshot):
    table.assign([name(1)])
    with pytest.raises(KeyError):
        plan(config(snapshot, [1, 2]), table.find)


@pytest.mark.parametrize(
    ("setting", "host"),
    [
        ("preserve", "127.0.0.1:1"),
        ("endpoint", "127.0.0.1:1"),
        ("orders.example", "orders.example"),
    ],
)
def test_the_host_of_a_check_is_that_of_requests_as_far_as_there_is_one(
    table, snapshot, setting, host
):
    table.assign([name(1)])
    (check,) = plan(config(snapshot, [1], host_header=setting), table.find).checks
    assert isinstance(check, Check)
    assert check.target.host_header == host


def test_a_fault_of_our_own_is_not_swallowed(table, service, snapshot):
    async def run() -> BaseException:
        await service.start()
        table.assign([name(service.port)])
        broken: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        checks = Checks(asyncio.get_running_loop(), table, lambda change: None, broken.set_result)
        bad = plan(config(snapshot, [service.port]), table.find).checks[0]
        bad = dataclasses.replace(bad, target=bad.target._replace(path=None))  # type: ignore[arg-type]
        checks.replace(dataclasses.replace(plan(config(snapshot, []), table.find), checks=(bad,)))
        async with asyncio.timeout(20):
            error = await broken
        await asyncio.wait(checks.stop())
        await service.stop()
        return error

    assert isinstance(asyncio.run(run()), Exception)
