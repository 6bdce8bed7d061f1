"""A steady load on the demo: many clients, each with an address of its own, at a human pace.

    locust -f loadtests/steady.py --config loadtests/locust.conf --headless

starts a demo on a free port, loads it, prints locust's table and ends with status 1 if a single
request failed or none was made. To load a gateway that runs already, give its address and a token
that it accepts: `GWD_URL=http://127.0.0.1:8080 TOKEN=… locust …`.
"""

from __future__ import annotations

import zlib

from locust import between, task

from loadtests import criteria, demo  # noqa: F401 - their listeners
from loadtests.client import DemoClient, expect

DOWNLOAD = zlib.crc32((bytes(range(256)) * 391)[:100_000])
"""What /bytes/100000 of a sample service must be."""


class Client(DemoClient):
    """One client: at most ten requests a second, most of them for orders."""

    wait_time = between(0.1, 0.3)

    @task(6)
    def orders(self) -> None:
        self.order()

    @task(2)
    def homes(self) -> None:
        self.home()

    @task(1)
    def upload(self) -> None:
        data = bytes([next(self.turn) % 256]) * 20_000
        with self.ask("POST", "/cart/echo", "/cart/echo, 20 kB", data=data) as response:
            expect(response, 200, served_by="cart")
            if response.status_code == 200 and response.json()["length"] != len(data):
                response.failure("the body did not arrive whole")

    @task(1)
    def download(self) -> None:
        with self.ask("GET", "/profile/bytes/100000", "/profile/bytes, 100 kB") as response:
            expect(response, 200, served_by="profile")
            if response.status_code == 200 and zlib.crc32(response.content) != DOWNLOAD:
                response.failure("the body is not what was sent")

    @task(1)
    def stranger(self) -> None:
        with self.client.request(
            "GET",
            "/orders/42",
            headers={"X-Forwarded-For": self.address},
            name="/orders/[id] without token",
            catch_response=True,
        ) as response:
            expect(response, 401)
