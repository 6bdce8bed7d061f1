"""Tokens of all sorts under load: each gets the status that its sort deserves, every time.

    locust -f loadtests/tokens.py --config loadtests/locust.conf --headless

The demo keeps its private key nowhere. So this makes a key of its own, adds the public half to the
demo's key set, and reloads the gateway: a rotation of keys, as an operator does it. Then every
client has tokens of its own, signed by that key, good and bad ones in turn; the good ones are asked
for again and again, as a gateway that remembers tokens must not take a bad one for them.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

from locust import between, events, task
from locust.env import Environment

from gwd.demo.config import AUDIENCE, ISSUER
from gwd.policies.signing import key_set, make_key_set, sign
from gwd.segment.board import OK
from loadtests import criteria  # noqa: F401 - its listeners
from loadtests.client import DemoClient, expect
from loadtests.compare import tokens as compared
from loadtests.compare.tokens import tampered
from loadtests.demo import own
from loadtests.hooks import listen

_key, _ = make_key_set()
_stranger, _ = make_key_set()
_users = itertools.count(1)


@listen(events.test_start)
def rotate_keys(environment: Environment, **_: Any) -> None:
    """Have the demo's gateway accept what `_key` signs, beside what it accepted before."""
    demo = own()
    path = demo.config.with_name("jwks.json")
    there = json.loads(path.read_text())
    there["keys"] += json.loads(key_set(_key))["keys"]
    path.write_text(json.dumps(there))
    with demo.daemon() as daemon:
        view = daemon.reload(30)
    if view is None or view.state != OK:
        raise SystemExit(f"the gateway did not take the new key: {view}")


def claims(user: str, **others: Any) -> dict[str, Any]:
    return {**compared.claims(ISSUER, AUDIENCE, user, 3600), **others}


class Holder(DemoClient):
    """A client with tokens of all sorts."""

    wait_time = between(0.05, 0.15)

    def on_start(self) -> None:
        super().on_start()
        now, user = int(time.time()), f"user-{next(_users)}"
        good = sign(_key, claims(user))
        self.sorts = (
            ("valid", 200, good),
            ("of the demo", 200, self.token),
            ("expired", 401, sign(_key, claims(user, exp=now - 3600))),
            ("not valid yet", 401, sign(_key, claims(user, nbf=now + 3600))),
            ("tampered", 401, tampered(good)),
            ("of another key", 401, sign(_stranger, claims(user))),
            ("of another issuer", 401, sign(_key, claims(user, iss="https://other.example"))),
            ("for another audience", 401, sign(_key, claims(user, aud="others"))),
            ("without the scope", 403, sign(_key, claims(user, scope="cart:read"))),
            ("none", 401, ""),
        )

    @task(3)
    def valid(self) -> None:
        self.show(0)

    @task(2)
    def any_sort(self) -> None:
        self.show(next(self.turn) % len(self.sorts))

    def show(self, which: int) -> None:
        sort, status, self.token = self.sorts[which]
        with self.ask("GET", "/orders/42", f"/orders/[id], token {sort}: {status}") as response:
            expect(response, status, served_by="orders" if status == 200 else "")
