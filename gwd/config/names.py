"""Host names of endpoints and listeners, resolved while the file is judged.

Strategy: all names are asked for side by side, in daemon threads, because getaddrinfo cannot be
interrupted; what has not answered after `WITHIN` seconds counts as an error, and its thread is
left behind in a process that soon ends. So the data path never resolves anything: an endpoint
keeps the address it had when its file was loaded, and a reload asks again.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Iterable

from gwd.config.units import NotAllowed

WITHIN = 5.0
"""Seconds for all names of a file together."""

_SIDE_BY_SIDE = 16

Answer = str | NotAllowed


def resolve(names: Iterable[str], within: float = WITHIN) -> dict[str, Answer]:
    """One IP address per name, or why there is none.

    IPv4 is preferred: one address must do, and what listens on one family only mostly listens on
    that. Link-local, multicast and 0.0.0.0/8 answers are refused (SECURITY §5, SSRF).
    """
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    answered: queue.SimpleQueue[tuple[str, Answer]] = queue.SimpleQueue()
    asked = list(dict.fromkeys(names))
    for name in asked:
        waiting.put(name)

    def work() -> None:
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            answered.put((name, _ask(name)))

    for _ in range(min(_SIDE_BY_SIDE, len(asked))):
        threading.Thread(target=work, daemon=True, name="resolve").start()
    answers: dict[str, Answer] = {}
    deadline = time.monotonic() + within
    while len(answers) < len(asked):
        try:
            name, answer = answered.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        answers[name] = answer
    late = NotAllowed(f"did not resolve within {within:g} s; check the name and the resolver")
    return {name: answers.get(name, late) for name in asked}


def _ask(name: str) -> Answer:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a name"
        return NotAllowed(f"does not resolve: {reason.lower()}; check the name")
    candidates = [str(entry[4][0]).partition("%")[0] for entry in found]
    good = [ip for ip in candidates if not _unfit(ip)]
    if not good:
        return NotAllowed("resolves to no address one can connect to; check the name")
    return min(good, key=lambda ip: ":" in ip)


def _unfit(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.version == 4 and address.packed[0] == 0)
    )
