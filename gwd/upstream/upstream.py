"""A named upstream of one worker: its endpoints, the balancer over them, and the retry budget.

Strategy. The object lives as long as the name does; a reload gives it new settings and endpoints
in place (`configure`), and endpoints whose address stays keep their connections. An exchange
remembers the settings it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from operator import attrgetter

from gwd.clock import Clock
from gwd.config import snapshot as plain
from gwd.outbox import Outbox
from gwd.segment.endpoints import EndpointTable
from gwd.upstream.balance import make_balancer
from gwd.upstream.endpoint import Endpoint

BUDGET_SHARE, BUDGET_LEAST = 0.2, 3
"""Retries under way, at most: this share of the exchanges under way, but always this many."""


class Upstream:
    __slots__ = (
        "_column",
        "_endpoints",
        "_loop",
        "_outbox",
        "_retired",
        "_table",
        "clock",
        "config",
        "host_line",
        "name",
        "pick",
        "preserves_host",
        "retrying",
        "write_timeout",
    )

    def __init__(
        self,
        config: plain.Upstream,
        workers: int,
        write_timeout: float,
        table: EndpointTable,
        column: int,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
    ) -> None:
        self.name = config.name
        self.retrying = 0
        self._table, self._column = table, column
        self.clock = clock
        self._loop, self._outbox = loop, outbox
        self._endpoints: dict[str, Endpoint] = {}
        self._retired: list[Endpoint] = []
        self.configure(config, workers, write_timeout)

    def configure(self, config: plain.Upstream, workers: int, write_timeout: float) -> None:
        """Take a (new) config. Endpoints it does not name are retired. `write_timeout`: seconds for
        which an endpoint may read nothing of a request."""
        self.config = config
        self.write_timeout = write_timeout
        self.preserves_host = config.host_header == "preserve"
        literal = config.host_header not in ("preserve", "endpoint")
        self.host_line = f"Host: {config.host_header}\r\n".encode() if literal else b""
        """In place of the client's, unless that is preserved; b"": the endpoint's."""
        before = self._endpoints
        self._endpoints = {}
        for each in config.endpoints:
            endpoint = before.pop(each.address, None)
            if endpoint is None:
                endpoint = Endpoint(
                    config, each, self._table, self._column, self.clock, self._loop, self._outbox
                )
            endpoint.configure(config, each, workers)
            self._endpoints[each.address] = endpoint
        self._retire(before.values())
        balancer = make_balancer(config.balance, tuple(self._endpoints.values()))
        self.pick = balancer.pick
        """The balancer's choice: a usable endpoint that has not been tried, or None."""

    def share(self, workers: int) -> None:
        """There are so many workers now: each of them is sure of so much of every endpoint."""
        for each in self.config.endpoints:
            self._endpoints[each.address].configure(self.config, each, workers)

    @property
    def endpoints(self) -> Iterable[Endpoint]:
        return self._endpoints.values()

    def choose(self, tried: Collection[Endpoint]) -> Endpoint | None:
        """As `pick`, but with less to choose from: None only if health checks forbid them all.

        When every endpoint is avoided by this worker, but none by the health checks, one of them
        is tried all the same: a refusal a moment ago is no reason to refuse everybody.
        """
        endpoint = self.pick(tried)
        if endpoint is not None:
            return endpoint
        rest = [e for e in self._endpoints.values() if e not in tried and e.eligible()]
        return min(rest, key=attrgetter("in_flight"), default=None)

    def full(self) -> bool:
        """Whether nobody more may wait for a connection."""
        waiting = 0
        for endpoint in self._endpoints.values():
            waiting += len(endpoint.waiting)
        return waiting >= self.config.max_pending

    def retry_allowed(self) -> bool:
        """Whether one more exchange may begin to retry."""
        under_way = 0
        for endpoint in self._endpoints.values():
            under_way += endpoint.in_flight - endpoint.handed_over
        return self.retrying < max(BUDGET_LEAST, BUDGET_SHARE * under_way)

    def tick(self, now: float) -> None:
        for endpoint in self._endpoints.values():
            endpoint.tick(now)
        if self._retired:
            for endpoint in self._retired:
                endpoint.tick(now)
            self._retired = [e for e in self._retired if not e.finished()]

    def publish(self) -> None:
        """Tell the other processes what is not told yet: before this one ends."""
        for endpoint in self._endpoints.values():
            endpoint.publish()

    def retire(self) -> None:
        """The config names it no longer. Tick it until it is `finished`."""
        self._retire(self._endpoints.values())
        self._endpoints = {}

    def finished(self) -> bool:
        return not self._retired and not self._endpoints

    def _retire(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            endpoint.retire()
            self._retired.append(endpoint)
