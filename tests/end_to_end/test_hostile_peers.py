"""Peers that hold what others need: bounded in time and memory, and others are served (SEC-25,
SEC-27)."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time

import pytest
from rig.client import Client, request
from rig.configs import config
from rig.gateway import rss, until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.upstream import Connection, Hang, response

BIG = 30_000_000
HERE = '[[routes]]\nname = "here"\npath = "/here"\nrespond = { body = "x" }\n'
ANY = '[[routes]]\nname = "app"\npath = "/*"\nupstream = "app"\n'


def _answer_early(connection: Connection) -> None:
    """A large answer as soon as the head is here; the body is never looked at."""
    connection.read_head()
    with contextlib.suppress(OSError):
        connection.send(response(b"x" * BIG))


def _read(client: Client, size: int, pause: float) -> int:
    """Read up to `size` bytes, 4 KiB at a time, with a pause before each."""
    taken = 0
    while taken < size:
        time.sleep(pause)
        data = client.sock.recv(4096)
        if not data:
            break
        taken += len(data)
    return taken


# readers


def test_who_goes_on_sending_must_read_all_the_same(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.behaviour = _answer_early
    running = gateway(config(up.address, server=('write_timeout = "600ms"',)))
    client = connect(running, small_window=True)
    client.send(request("/x", "Content-Length: 1000000", method="POST"))
    assert until(lambda: not client.send(b"x") or time.sleep(0.05), 10), "it waits on"


def test_a_body_that_ends_during_a_stall_does_not_end_the_watch(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.behaviour = _answer_early
    running = gateway(config(up.address, server=('write_timeout = "600ms"',)))
    client = connect(running, small_window=True)
    client.send(request("/x", "Content-Length: 10", method="POST"))
    time.sleep(0.3)
    client.send(b"0123456789")
    assert running.logged(1, reason="write_timeout")


def test_a_last_answer_is_not_cut_because_its_reader_is_slow(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    size = 4_000_000
    up.on("/x", response(b"x" * size))
    client = connect(gateway(config(up.address)))
    client.send(request("/x", "Connection: close"))
    taken = 0
    while data := client.sock.recv(32768):  # what is left at the end takes longer than it lingers
        taken += len(data)
        time.sleep(0.04)
    assert taken > size


def test_a_reader_that_goes_on_reading_is_not_cut(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/x", response(b"x" * BIG))
    running = gateway(config(up.address, server=('write_timeout = "1s"',)))
    client = connect(running, small_window=True)
    client.send(request("/x"))
    assert _read(client, 160_000, 0.1) >= 160_000  # for four seconds, a few KiB at a time
    assert not running.log()


@pytest.mark.slow  # the rate is asked for after ten seconds
def test_min_write_rate(gateway: StartGateway, upstream: StartUpstream, connect: Connect) -> None:
    up = upstream()
    up.on("/x", response(b"x" * BIG))
    server = ('min_write_rate = "64KiB/s"', 'write_timeout = "5s"')
    running = gateway(config(up.address, server=server))
    client = connect(running, small_window=True)
    client.send(request("/x"))
    with contextlib.suppress(ConnectionError):
        assert _read(client, 1_000_000, 0.2) < 1_000_000
    assert running.logged(1, reason="write_too_slow")


def test_who_does_not_take_its_answer_is_not_left_to_the_kernel(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/x", response(b"x" * 150_000))  # all of it is the kernel's, soon
    server = ('idle_timeout = "300ms"', 'write_timeout = "1s"')
    running = gateway(config(up.address, server=server))
    idle, last = connect(running, small_window=True), connect(running, small_window=True)
    idle.send(request("/x"))
    last.send(request("/x", "Connection: close"))
    assert until(lambda: len(running.logged(2)) == 2)
    time.sleep(5.0)
    assert idle.end() == last.end() == "reset"


def test_who_takes_its_answer_late_gets_it_whole_and_an_orderly_end(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/x", response(b"x" * 150_000))
    running = gateway(config(up.address, server=('idle_timeout = "300ms"',)))
    client = connect(running, small_window=True)
    client.send(request("/x"))
    time.sleep(1.5)
    assert len(client.response().body) == 150_000
    assert client.end() == "closed"


# memory


def test_who_sends_faster_than_it_is_served_is_not_read_ahead(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address))
    (worker,) = running.workers()
    client = connect(running)
    many = request("/x") * 20_000
    sending = threading.Thread(target=client.send, args=(many * 40,))
    sending.start()
    before = most = rss(worker)
    until_then = time.monotonic() + 3.0
    while time.monotonic() < until_then:
        client.sock.recv(262144)
        most = max(most, rss(worker))
    client.sock.shutdown(socket.SHUT_RDWR)
    sending.join()
    assert most - before < 8 * 1024 * 1024


def test_requests_read_ahead_count_on_the_budget(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/x", Hang())
    running = gateway(config(up.address, server=('buffer_budget = "1MiB"',)))
    (worker,) = running.workers()
    before = rss(worker)
    clients = [connect(running) for _ in range(60)]
    for client in clients:
        client.send(request("/x"))
    time.sleep(0.2)
    threads = [
        threading.Thread(target=client.send, args=(request("/x") * 5000,)) for client in clients
    ]
    for thread in threads:
        thread.start()
    assert len(running.logged(20, reason="buffer_budget")) >= 20
    assert rss(worker) - before < 60 * 200_000
    assert connect(running).get("/nothing").status == 200
    for client in clients:
        client.reset()
    for thread in threads:
        thread.join()


def test_unfinished_heads_count_on_the_budget(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=('buffer_budget = "1MiB"',)))
    clients = [connect(running) for _ in range(100)]
    for client in clients:
        client.send(b"GET /x HTTP/1.1\r\nHost: gw.test\r\nX-A: " + b"a" * 30_000)
    assert until(lambda: sum(c.end(0) != "open" for c in clients) >= 60, 5)
    assert connect(running).get("/x").status == 200
    assert sum(c.end(0) == "open" for c in clients) >= 30


def test_bodies_held_for_an_upstream_count_on_the_budget(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.behaviour = lambda connection: connection.read_head() and threading.Event().wait(3) and None
    running = gateway(config(up.address, server=('buffer_budget = "1MiB"',)))
    clients = [connect(running) for _ in range(60)]
    for client in clients:
        client.send(request("/x", "Content-Length: 100000", method="PUT") + b"x" * 60_000)
    assert len(running.logged(40, reason="buffer_budget")) >= 40


# places


def test_idle_clients_give_their_descriptors_back(gateway: StartGateway, connect: Connect) -> None:
    running = gateway(config(routes=HERE))
    (worker,) = running.workers()
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (64, 64))
    for _ in range(100):
        assert connect(running).get("/here").status == 200
    assert "out of file descriptors" in running.said()


def test_silent_clients_do_not_keep_all_places(gateway: StartGateway, connect: Connect) -> None:
    server = ("max_connections = 20", 'head_timeout = "60s"')
    running = gateway(config(routes=HERE, server=server))
    crowd = [connect(running, source="127.0.9.9") for _ in range(20)]
    for number, client in enumerate(crowd):
        if number % 2:
            client.send(b"GET /here HT")
    neighbours = [connect(running, source=f"127.0.8.{n}") for n in range(1, 8)]
    assert all(client.get("/here").status == 200 for client in neighbours)
    assert running.logged(1, reason="head_timeout", status=408)


def test_busy_clients_keep_their_places_and_others_wait(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up, go_on = upstream(), threading.Event()

    def dawdle(connection: Connection) -> None:
        connection.read_request()
        go_on.wait(20)
        connection.send(response(b"done"))

    up.behaviour = dawdle
    running = gateway(config(up.address, server=("max_connections = 10",), routes=HERE + ANY))
    busy = [connect(running) for _ in range(10)]
    for client in busy:
        client.send(request("/x"))
    late = connect(running)
    late.send(request("/here"))
    assert late.end(1.5) == "open"
    assert not late.buffer
    go_on.set()
    assert all(client.response().body == b"done" for client in busy)
    assert late.response().status == 200


def test_one_address_with_its_share_leaves_room_for_others(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/x", Hang())
    more = '[limits.per_ip]\nrate = "1000/s"\nburst = 100\nconnections = 5\n'
    running = gateway(
        config(up.address, server=("max_connections = 10",), routes=HERE + ANY, more=more)
    )
    crowd = [connect(running, source="127.0.9.9") for _ in range(30)]
    for client in crowd:
        client.send(request("/x"))
    assert until(lambda: sum(c.end(0) != "open" for c in crowd) == 25, 5)
    neighbour = connect(running, source="127.0.8.1")
    assert all(neighbour.get("/here").status == 200 for _ in range(20))


def test_a_crowd_of_addresses_and_a_neighbour(gateway: StartGateway, connect: Connect) -> None:
    more = '[limits.per_ip]\nrate = "1000/s"\nburst = 100\nconnections = 5\n'
    running = gateway(config(routes=HERE, server=("max_connections = 100",), more=more))
    for number in range(300):
        connect(running, source=f"127.1.{number // 250}.{number % 250 + 1}").send(b"GET ")
        if number % 30 == 0:
            assert connect(running, source="127.0.8.1").get("/here").status == 200
    assert connect(running, source="127.0.8.2").get("/here").status == 200
