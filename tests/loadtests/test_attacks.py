"""The attacks' clients against sockets of ours, and how a run is told."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loadtests.attacks import report
from loadtests.attacks.attacks import ATTACKS
from loadtests.attacks.crowd import Crowd, loiter, sources
from loadtests.attacks.measure import Asked, Outcome, kernel_memory
from loadtests.limits.neighbour import lost
from loadtests.limits.paced import Told


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """A server that gives every connection to `serve`, then closes it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.settimeout(5)

    def run() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            with accepted:
                serve(accepted)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_those_who_are_ended_come_back_and_are_counted() -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    with serving(refuse) as address:
        told = loiter(address, Crowd(3, b"GET "), 0.6)
    assert told["408"] >= 6
    assert told["opened"] >= told["closed"] >= 6
    assert told["open at the end"] <= 3


def test_a_drip_follows_the_opening() -> None:
    got: list[bytes] = []

    def listen(sock: socket.socket) -> None:
        sock.settimeout(2)
        while len(got) < 5:
            got.append(sock.recv(100))

    with serving(listen) as address:
        loiter(address, Crowd(1, b"begin", b"x", 0.05, again=False), 1.0)
    assert b"".join(got).startswith(b"beginxxx")


def test_a_reader_takes_no_more_than_it_may() -> None:
    def pour(sock: socket.socket) -> None:
        sock.settimeout(0.4)
        sock.recv(100)
        try:
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 20_000_000)
        except OSError:
            return

    with serving(pour) as address:
        told = loiter(address, Crowd(1, b"GET", every=0.05, reads=10, again=False), 0.8)
    assert 0 < told["bytes"] <= 200


def test_nobody_there_is_told_as_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    told = loiter(address, Crowd(2, b"x"), 0.25)
    assert told["refused"] >= 2
    assert told["open at the end"] == 0


def test_attacks_are_bounded_and_named_once() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert all(attack.seconds <= 30 for attack in ATTACKS)
    assert len(set(sources(1000))) == 1000


def test_a_row_says_what_the_neighbour_lost() -> None:
    good = Told(100, 100, 2.0, Counter({200: 100}), delays=[0.001] * 100)
    bad = Told(100, 90, 2.0, Counter({200: 80, 503: 5}), cut=3, silent=2, delays=[0.5] * 80)
    assert lost(good) == ""
    assert lost(bad) == " (5 503, 3 cut, 2 silent, 10 unsent)"
    asked = Asked(good, bad)
    assert report.answered(asked) == "90.0% (5 503, 3 cut, 2 silent, 10 unsent)"
    assert report.delays(Asked(good, good)) == "1.0/1.0"
    show = report.table()
    met = Counter({"408": 7, "bytes": 9999})
    mib = 1 << 20
    outcome = Outcome(
        Asked(good, good), asked, Asked(good, good), met, (mib, 3 * mib, 2 * mib), mib, 0.5, 12
    )
    report.add(show, ATTACKS[0], outcome)
    assert show.rows[0][:6] == (ATTACKS[0].name, "7 408", "12", "1 → 3 → 2", "1", "0.50")


def test_the_kernel_tells_its_memory_for_tcp() -> None:
    assert kernel_memory() >= 0
