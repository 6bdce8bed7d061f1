"""A steady load on the demo: many clients, each with an address of its own, at a human pace.

    locust -f loadtests/steady.py --config loadtests/locust.conf --headless

starts a demo on a free port, loads it, prints locust's table and ends with status 1 if a single
request failed or none was made. To load a gateway that runs already, give its address and a token
that it accepts: `GWD_URL=http://127.0.0.1:8080 TOKEN=… locust …`.

A response counts as failed if its status, its body or the service's signature is not what it must
be; a fast wrong answer is no good answer. Clients say who they are by X-Forwarded-For, which the
demo believes from this machine, so that the limit per address, 100/s, is not what is measured.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

from locust import FastHttpUser, between, events, task
from locust.env import Environment

ROOT = Path(__file__).resolve().parents[1]
READY_LINES = re.compile(r"(?s)gateway +(http://\S+).*export TOKEN=(\S+)")
_numbers = itertools.count(1)
_demo: subprocess.Popen[str] | None = None


@events.init.add_listener
def find_gateway(environment: Environment, **_: Any) -> None:
    """Point the users at $GWD_URL, or at a demo that is started for them."""
    global _demo
    if environment.host is None:
        environment.host = os.environ.get("GWD_URL")
    if environment.host is None:
        _demo, environment.host, os.environ["TOKEN"] = start_demo()
    if "TOKEN" not in os.environ:
        raise SystemExit("TOKEN is not set: the demo prints the line that sets it")


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Status 1 if anything failed, or if nothing was tried."""
    total = environment.stats.total
    if total.num_failures or not total.num_requests:
        environment.process_exit_code = 1


@events.quit.add_listener
def end_demo(exit_code: int, **_: Any) -> None:
    if _demo is not None:
        _demo.send_signal(signal.SIGTERM)
        _demo.wait(30)


def start_demo() -> tuple[subprocess.Popen[str], str, str]:
    """A fresh demo: its process, the gateway's URL, a token. Raises SystemExit if it fails."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gwd", "demo", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if found := READY_LINES.search(printed):
            return process, found[1], found[2]
    raise SystemExit("the demo did not start")


class Client(FastHttpUser):
    """One client: at most five requests a second, most of them for orders."""

    wait_time = between(0.1, 0.3)
    connection_timeout = 5.0
    network_timeout = 10.0

    def on_start(self) -> None:
        number = next(_numbers)
        self.fields = {
            "Authorization": f"Bearer {os.environ['TOKEN']}",
            "X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        }
        self.turn = itertools.count(number * 37)

    @task(6)
    def order(self) -> None:
        number = next(self.turn) % 1000
        with self.ask("GET", f"/orders/{number}", "/orders/[id]") as response:
            expect(response, 200, served_by="orders")
            if response.status_code == 200 and response.json()["id"] != number:
                response.failure(f"asked for order {number}, got {response.text!r}")

    @task(2)
    def home(self) -> None:
        with self.ask("GET", "/home/ada", "/home/[user]") as response:
            expect(response, 200)
            if response.status_code == 200:
                missing = {"profile", "orders", "cart"} - response.json().keys()
                if missing or "Gwd-Incomplete" in response.headers:
                    response.failure(f"incomplete: without {missing}")

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
            headers={"X-Forwarded-For": self.fields["X-Forwarded-For"]},
            name="/orders/[id] without token",
            catch_response=True,
        ) as response:
            expect(response, 401)

    def ask(self, method: str, path: str, name: str, data: bytes | None = None) -> Any:
        """A request with this client's fields, whose outcome the caller judges."""
        return self.client.request(
            method, path, headers=self.fields, data=data, name=name, catch_response=True
        )


DOWNLOAD = zlib.crc32((bytes(range(256)) * 391)[:100_000])
"""What /bytes/100000 of a sample service must be."""


def expect(response: Any, status: int, served_by: str = "") -> None:
    """Fail `response` unless it has `status` and comes from the service `served_by`."""
    if response.status_code != status:
        response.failure(f"status {response.status_code} instead of {status}")
    elif served_by and not response.headers.get("X-Served-By", "").startswith(served_by):
        response.failure(f"served by {response.headers.get('X-Served-By')}")
    else:
        response.success()
