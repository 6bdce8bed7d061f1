"""A client of the demo: who it is, what it asks, and when an answer is right.

A response counts as failed if its status, its body or the service's signature is not what it must
be; a fast wrong answer is no good answer. Clients say who they are by X-Forwarded-For, which the
demo believes from this machine, so each has an allowance of its own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

from locust import FastHttpUser

from gwd.demo import samples

_numbers = itertools.count(1)
PICKED = ("id", "total")
"""Of each order, in the aggregate of the demo."""


class DemoClient(FastHttpUser):
    """One client, with an address and a token."""

    abstract = True
    connection_timeout = 5.0
    network_timeout = 10.0

    def on_start(self) -> None:
        number = next(_numbers)
        self.address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self.token = os.environ["TOKEN"]
        self.turn = itertools.count(number * 37)

    def ask(self, method: str, path: str, name: str, data: Any = None) -> Any:
        """A request with this client's fields, whose outcome the caller judges."""
        fields = {"X-Forwarded-For": self.address}
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        return self.client.request(
            method, path, headers=fields, data=data, name=name, catch_response=True
        )

    def order(self) -> None:
        """Ask for an order, and look whether it is that one."""
        number = next(self.turn) % 1000
        with self.ask("GET", f"/orders/{number}", "/orders/[id]") as response:
            expect(response, 200, served_by="orders")
            if response.status_code == 200 and response.json()["id"] != number:
                response.failure(f"asked for order {number}, got {response.text!r}")

    def home(self, user: str = "ada", may_lack: Callable[[], tuple[str, ...]] = tuple) -> set[str]:
        """Ask for the answer that is made of three, and look whether it is. `may_lack`: which parts
        may be missing, as things are when the answer has come. Returns those that were."""
        lacking: set[str] = set()
        with self.ask("GET", f"/home/{user}", "/home/[user]") as response:
            expect(response, 200)
            if response.status_code == 200:
                wanted = whole_home(user)
                got = response.json()
                lacking = wanted.keys() - got.keys()
                if lacking - set(may_lack()):
                    response.failure(f"incomplete: without {sorted(lacking)}")
                elif bool(lacking) != ("Gwd-Incomplete" in response.headers):
                    response.failure("what is missing and what is said to be differ")
                elif any(got[name] != wanted[name] for name in got):
                    response.failure(f"not what the services answer: {got}")
        return lacking


def whole_home(user: str) -> dict[str, Any]:
    """What /home/`user` of the demo must be: its services' answers follow from the request."""
    orders = samples.orders([], {"user": [user]})
    assert orders is not None
    return {
        "profile": samples.profile([user], {}),
        "orders": {"items": [{k: item[k] for k in PICKED} for item in orders["items"]]},
        "cart": samples.cart([user], {}),
    }


def expect(response: Any, status: int, served_by: str = "") -> None:
    """Fail `response` unless it has `status` and comes from the service `served_by`."""
    if response.status_code != status:
        response.failure(f"status {response.status_code} instead of {status}")
    elif served_by and not response.headers.get("X-Served-By", "").startswith(served_by):
        response.failure(f"served by {response.headers.get('X-Served-By')}")
    else:
        response.success()
