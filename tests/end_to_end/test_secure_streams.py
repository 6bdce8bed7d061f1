"""What lasts, over TLS: tunnels, event streams, big bodies, slow readers, and how they end.

There TLS has buffers of its own, no half-close and an end that takes two to agree on it.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from rig.client import request
from rig.gateway import rss, until
from rig.kinds import Outside, StartGateway, StartUpstream
from rig.site import A, Site
from rig.tls import SecureClient, context
from rig.upstream import Connection, Hang, Pause, RecordingUpstream, Reset, Wait, response
from rig.websocket import (
    CLOSE,
    WebSocket,
    echo,
    frame,
    handshake,
    switching,
)


@pytest.fixture
def site(gateway: StartGateway, tmp_path: Path, outside: Outside) -> Site:
    return Site(gateway, tmp_path, outside)


@pytest.fixture
def up(upstream: StartUpstream) -> RecordingUpstream:
    running = upstream()
    running.behaviour = echo
    return running


def open_tunnel(site: Site, *, small_window: bool = False) -> WebSocket:
    return WebSocket(site.connect(None, small_window=small_window))


# tunnels


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_messages_of_all_sizes_come_back(
    site: Site, up: RecordingUpstream, version: ssl.TLSVersion
) -> None:
    site.start(up.address)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(cadata=site.authority.pem.decode())
    tls.check_hostname = False
    tls.maximum_version = version
    ws = WebSocket(site.connect(None, tls=tls))
    for size in (0, 1, 125, 126, 16384, 65536, 300_000):
        assert ws.echoes(random.Random(size).randbytes(size))
    assert up.requests[0].get("x-forwarded-proto") == "https"


def test_megabytes_go_both_ways_at_once_past_a_slow_reader(
    site: Site, up: RecordingUpstream
) -> None:
    site.start(up.address)
    (worker,) = site.running.workers()
    before = rss(worker)
    ws = open_tunnel(site, small_window=True)
    payloads = [random.Random(number).randbytes(500_000) for number in range(40)]

    def send() -> None:
        for payload in payloads:
            ws.send(payload)

    # A TLS connection takes one thread at a time in each direction.
    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(1.0)  # everything on the way is full
    assert rss(worker) - before < 9_000_000
    got = [ws.next() for _ in payloads]
    sender.join()
    assert [found.payload for found in got if found] == payloads


def test_the_last_words_reach_a_slow_reader(site: Site, upstream: StartUpstream) -> None:
    up = upstream()
    words = frame(random.Random(1).randbytes(2_000_000), mask=False)
    last = words + frame(b"\x03\xe8", CLOSE, mask=False)

    def talk(connection: Connection) -> None:
        wanted = connection.read_request()
        assert wanted is not None
        connection.send(switching(wanted.get("sec-websocket-key") or "") + last)
        connection.sock.close()

    up.behaviour = talk
    site.start(up.address)
    ws = open_tunnel(site, small_window=True)
    time.sleep(3.0)
    found = ws.next()
    assert found is not None
    assert len(found.payload) == 2_000_000
    final = ws.next()
    assert final is not None
    assert final.opcode == CLOSE
    assert ws.ended == "closed"


def test_a_tunnels_reader_is_cut_when_it_stops_reading_and_not_before(
    site: Site, upstream: StartUpstream
) -> None:
    up = upstream()
    up.on("/ws", switching(), frame(bytes(30_000_000), mask=False), Hang())
    running = site.start(up.address, server=('write_timeout = "2s"',))
    client = site.connect(None, small_window=True)
    client.send(handshake())
    over = time.monotonic() + 7.0
    while time.monotonic() < over:
        assert client.sock.recv(4096)
        time.sleep(0.05)
    assert not running.log()
    assert running.logged(1, status=101, reason="write_timeout")


def test_a_client_that_ends_its_side_ends_the_tunnel(site: Site, upstream: StartUpstream) -> None:
    up = upstream()
    enough = threading.Event()

    def pour(connection: Connection) -> None:
        wanted = connection.read_request()
        assert wanted is not None
        connection.send(switching(wanted.get("sec-websocket-key") or ""))
        connection.sock.settimeout(0.01)
        try:
            while not enough.is_set():
                connection.send(frame(b"still here", mask=False))
                time.sleep(0.002)
        except OSError as error:
            connection.ended = repr(error)

    up.behaviour = pour
    site.start(up.address)
    ws = open_tunnel(site)
    assert ws.next() is not None
    # close_notify, and nothing of what still comes is read: the gateway's is not answered.
    assert isinstance(ws.client, SecureClient)
    # Something has come already: else the gateway's might, at once, and be taken for an answer.
    assert select.select([ws.client.tls], [], [], 10)[0]
    ws.client.tls.setblocking(False)
    with pytest.raises(ssl.SSLError):
        ws.client.tls.unwrap()
    assert until(lambda: up.connections[0].ended, 10)
    enough.set()
    (line,) = site.running.logged(1, status=101)
    assert line["reason"] == "client_gone"


def test_a_close_frame_ends_it_in_good_order(site: Site, up: RecordingUpstream) -> None:
    site.start(up.address)
    ws = open_tunnel(site)
    assert ws.echoes(b"x")
    ws.send(b"\x03\xe8bye", CLOSE)
    answer = ws.next()
    assert answer is not None
    assert answer.payload == b"\x03\xe8bye"
    assert ws.ended == "closed"
    assert until(lambda: up.connections[0].ended == "code 1000")
    (line,) = site.running.logged(1, status=101)
    assert not line.get("reason")


def test_an_upstream_that_is_reset_cuts_the_client(site: Site, upstream: StartUpstream) -> None:
    up = upstream()
    up.on("/ws", switching(), frame(b"hello", mask=False), Pause(0.3), Reset())
    site.start(up.address)
    ws = open_tunnel(site)
    assert ws.next() is not None
    assert ws.client.end() in ("reset", "cut")


def test_a_drain_says_1001_and_waits_for_the_answer(site: Site, up: RecordingUpstream) -> None:
    running = site.start(up.address)
    ws = open_tunnel(site)
    assert ws.echoes(b"x")
    running.kill(signal.SIGTERM)
    last = ws.next()
    assert last is not None
    assert (last.opcode, last.code) == (CLOSE, 1001)
    time.sleep(0.3)
    ws.send(last.payload, CLOSE)
    assert ws.ended == "closed"
    assert running.process.wait(20) == 0
    assert running.logged(1, status=101, reason="shutdown")


def test_reloads_and_new_certificates_touch_no_tunnel(
    site: Site, up: RecordingUpstream, tmp_path: Path
) -> None:
    running = site.start(up.address, workers=2)
    workers = running.workers()
    tunnels = [open_tunnel(site) for _ in range(8)]
    for turn in range(4):
        site.authority.issue(A, kind="rsa" if turn % 2 else "ec").write(tmp_path, "a")
        text = running.config.read_text().replace("max_fields = 99\n", "")
        if turn % 2:
            text = text.replace("[server]\n", "[server]\nmax_fields = 99\n", 1)
        assert running.reload(text).returncode == 0, running.said()
        for number, ws in enumerate(tunnels):
            assert ws.echoes(random.Random(turn * 100 + number).randbytes(20_000))
    assert running.workers() == workers
    assert len(up.connections) == 8


def test_a_ban_cuts_a_tunnel(site: Site, up: RecordingUpstream) -> None:
    running = site.start(up.address)
    ws = WebSocket(site.connect(None, source="127.0.0.5"))
    other = open_tunnel(site)
    assert ws.echoes(b"x")
    assert running.command("ban", "127.0.0.5", "--for", "1h").returncode == 0
    assert ws.client.end(5) in ("reset", "cut")
    assert other.echoes(b"x")


# answers


def test_events_pass_at_once(site: Site, upstream: StartUpstream) -> None:
    up = upstream()
    say = threading.Event()
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    first, second = b"7\r\ndata: 1\r\n", b"9\r\ndata: 2\n\n\r\n"
    up.on("/x", head, first, Wait(say), second, Hang())
    site.start(up.address)
    client = site.connect()
    client.send(request("/x", "Accept: text/event-stream", host=A))
    while b"data: 1" not in client.buffer:
        assert client._more()
    say.set()
    while b"data: 2" not in client.buffer:
        assert client._more()
    client.close()
    assert until(lambda: up.connections[0].ended)


def test_an_early_answer_comes_whole_while_the_body_does(
    site: Site, upstream: StartUpstream
) -> None:
    up = upstream()
    up.on("/x", response(b"no" * 50_000, status="403 Forbidden"), early=True)
    site.start(up.address)
    client = site.connect()
    client.send(request("/x", "Content-Length: 5000000", method="POST", host=A))
    for _ in range(10):
        client.send(bytes(10_000))
        time.sleep(0.005)
    answer = client.response()
    assert (answer.status, len(answer.body), answer.closes) == (403, 100_000, True)
    assert client.end(3) == "closed"


def test_requests_in_one_go_are_answered_in_order(site: Site, upstream: StartUpstream) -> None:
    up = upstream()
    for number in range(50):
        up.on(f"/{number}", response(b"%d" % number * 1000))
    site.start(up.address)
    client = site.connect()
    client.send(b"".join(request(f"/{number}", host=A) for number in range(50)))
    for number in range(50):
        assert client.response().body == b"%d" % number * 1000


@pytest.mark.parametrize("keep", [False, True])
def test_http_1_0_is_answered_as_it_asks(site: Site, upstream: StartUpstream, keep: bool) -> None:
    up = upstream()
    up.on("/x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    up.on("/y", response(b"hello"))
    site.start(up.address)
    client = site.connect()
    fields = ("Connection: keep-alive",) if keep else ()
    target = "/y" if keep else "/x"
    for _ in range(2 if keep else 1):
        client.send(request(target, *fields, host=A).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"hello")
    assert client.end(1) == ("open" if keep else "closed")


def test_a_slow_upstream_holds_the_body_and_a_slow_client_the_answer(
    site: Site, upstream: StartUpstream
) -> None:
    up = upstream()
    go_on = threading.Event()
    answer = random.Random(2).randbytes(20_000_000)

    def lazy(connection: Connection) -> None:
        connection.read_head()
        go_on.wait(20)
        wanted = connection.read_request()
        assert wanted is not None
        connection.upstream.record(wanted)
        connection.send(response(answer))

    up.behaviour = lazy
    site.start(up.address, server=('max_body = "64MiB"',))
    (worker,) = site.running.workers()
    client = site.connect(small_window=True)
    before = rss(worker)
    body = random.Random(3).randbytes(20_000_000)
    sender = threading.Thread(
        target=client.send, args=(request("/x", method="POST", body=body, host=A),)
    )
    sender.start()
    time.sleep(1.0)
    assert rss(worker) - before < 4_000_000
    go_on.set()
    sender.join()
    assert until(lambda: up.requests)
    assert up.requests[0].body == body
    time.sleep(1.0)
    assert rss(worker) - before < 6_000_000
    assert client.response().body == answer


def test_a_last_answer_is_not_cut_because_its_reader_is_slow(
    site: Site, upstream: StartUpstream
) -> None:
    up = upstream()
    size = 1_000_000
    up.on("/x", response(b"x" * size))
    site.start(up.address)
    client = site.connect(small_window=True)
    client.send(request("/x", "Connection: close", host=A))
    taken = 0
    while client._more():  # what is left at the end takes longer than an end of TLS may
        taken += len(client.buffer)
        client.buffer = b""
        time.sleep(0.1)
    assert client.ended == "closed"
    assert taken > size


def test_who_does_not_take_its_last_answer_is_cut(site: Site, upstream: StartUpstream) -> None:
    up = upstream()
    up.on("/x", response(b"x" * 8_000_000))
    site.start(up.address, server=('write_timeout = "600ms"',))
    client = site.connect(small_window=True)
    client.send(request("/x", "Connection: close", host=A))
    time.sleep(2.0)
    client._more()
    assert len(client.rest(5)) < 8_000_000
    assert client.ended in ("reset", "cut")


def test_who_is_told_the_end_and_does_not_answer_is_left(
    site: Site, upstream: StartUpstream
) -> None:
    site.start(upstream().address)
    client = site.connect()
    client.send(request("/x", "Connection: close", host=A))
    assert client.response().status == 200
    assert client.end(1) == "closed"  # its close_notify; ours does not follow
    with socket.socket(fileno=os.dup(client.sock.fileno())) as below:
        below.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert below.recv(1) == b""


def test_asyncios_own_loop_ends_them_as_well(site: Site, up: RecordingUpstream) -> None:
    site.start(up.address, environ={"GWD_EVENT_LOOP": "asyncio"})
    client = site.connect()
    client.send(request("/x", "Connection: close", host=A))
    assert client.response().status == 200
    assert client.end(3) == "closed"
    client.close()
    ws = open_tunnel(site)
    ws.send(b"\x03\xe8", CLOSE)
    assert ws.ended == "closed"


# workers that come and go


def test_fewer_workers_and_more_again_reset_no_handshake(site: Site, up: RecordingUpstream) -> None:
    running = site.start(up.address, workers=0, server=("workers = 4",))
    failures: list[BaseException] = []
    served: list[int] = []
    over = threading.Event()
    tls = context(site.authority.pem)

    def ask() -> None:
        while not over.is_set():
            try:
                with SecureClient(site.address(), tls, A) as client:
                    served.append(client.request(request("/x", host=A)).status)
            except Exception as failure:
                failures.append(failure)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    text = running.config.read_text()
    try:
        for count in (1, 4):
            changed = text.replace("\nworkers = 4", f"\nworkers = {count}")
            assert running.reload(changed).returncode == 0
            assert until(lambda: len(running.workers()) == count)  # noqa: B023
            before = len(served)
            assert until(lambda: len(served) > before + 50)  # noqa: B023
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert failures == []
    assert set(served) == {200}


# time


@pytest.mark.parametrize("first", ["nothing", "a part"])
def test_sec_25_the_first_heads_time_runs_since_the_accept(
    site: Site, upstream: StartUpstream, first: str
) -> None:
    site.start(upstream().address, server=('head_timeout = "3s"',))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    plain = site.plain()
    began = time.monotonic()
    time.sleep(2.5)
    plain.sock = tls.wrap_socket(plain.sock)
    if first == "a part":
        plain.send(b"GET / HT")
    assert plain.end(10) != "open"
    assert time.monotonic() - began < 5  # 3, and not 2.5 and 3
