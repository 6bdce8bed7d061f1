"""One answer made of three services, while one of them is away for a time.

    locust -f loadtests/aggregate.py --config loadtests/locust.conf --headless

Every answer is compared, value by value, with what the three services answer for that user. After
three seconds both instances of the cart, which the answer may lack, are killed; they return ten
seconds later. In between an answer may lack the cart, and must say so; it may lack nothing else,
and nothing at any other time.
"""

from __future__ import annotations

import os
import signal
import time

import gevent  # type: ignore[import-untyped]
from locust import between, task

from loadtests.beside import Running, beside_the_load
from loadtests.client import DemoClient
from loadtests.criteria import must
from loadtests.demo import own

FIRST = 3.0
"""Seconds of whole answers before the cart goes."""
SETTLE = 2.5
"""Seconds from the return of the cart to the last answer that may lack it."""
CARTS = ("cart-1", "cart-2")
USERS = ("ada", "grace", "edsger", "barbara", "tony")


class _Cart:
    away_from = float("inf")
    back_at = float("inf")
    missed = 0

    @classmethod
    def may_lack(cls, since: float) -> bool:
        """Whether an answer to a request that was sent at `since` and came now may lack it."""
        return time.monotonic() >= cls.away_from and since <= cls.back_at + SETTLE


@beside_the_load
def take_the_cart_away(running: Running) -> None:
    gevent.sleep(FIRST)
    demo = own()
    there = demo.instances()
    _Cart.away_from = time.monotonic()
    for name in CARTS:
        os.kill(there[name], signal.SIGKILL)
    gevent.sleep(1.0)
    while running() and not set(CARTS) <= demo.instances().keys():
        gevent.sleep(0.2)
    _Cart.back_at = time.monotonic()


@must
def cart_was_away() -> str:
    print(f"{_Cart.missed} answers came without the cart")
    return "" if _Cart.missed else "the cart was never missing"


class Visitor(DemoClient):
    wait_time = between(0.1, 0.3)

    @task
    def visit(self) -> None:
        since = time.monotonic()
        user = USERS[next(self.turn) % len(USERS)]
        lacking = self.home(user, may_lack=lambda: ("cart",) if _Cart.may_lack(since) else ())
        _Cart.missed += bool(lacking)
