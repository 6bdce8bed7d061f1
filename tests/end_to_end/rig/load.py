"""Verified load: every answer is looked at, every failure is kept."""

from __future__ import annotations

import threading
from collections import Counter

from rig.client import Broken, Client


class Load:
    """Clients that ask one after another while this is entered, each on its own connection, or
    with `anew` on a new one for each request.

    `failures` are answers that were not as expected and connections that ended without saying so;
    `done` counts good answers.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        clients: int = 4,
        target: str = "/x",
        anew: bool = False,
    ) -> None:
        self.done = 0
        self.failures: Counter[str] = Counter()
        self._address = address
        self._target = target
        self._fields = ("Connection: close",) if anew else ()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        client: Client | None = None
        while not self._over.is_set():
            try:
                if client is None:
                    client = Client(self._address)
                answer = client.get(self._target, *self._fields)
            except (Broken, OSError) as error:
                self._failed(repr(error))
                if client is not None:
                    client.close()
                client = None
                continue
            if answer.status == 200 and answer.body:
                with self._lock:
                    self.done += 1
            else:
                self._failed(f"{answer.status} {answer.body[:300]!r}")
            if answer.closes:
                client.close()
                client = None
        if client is not None:
            client.close()

    def _failed(self, what: str) -> None:
        with self._lock:
            self.failures[what] += 1
