"""WebSocket through the gateway: the handshake, frames both ways, and how a tunnel ends."""

from __future__ import annotations

import contextlib
import json
import random
import select
import signal
import socket
import threading
import time

import pytest
from rig.client import Client, request
from rig.configs import ANY_PATH, config
from rig.gateway import Gateway, rss, until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.scale import amount
from rig.upstream import Close, Connection, Hang, Pause, RecordingUpstream, Reset, response
from rig.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    Frames,
    WebSocket,
    accept,
    converse,
    echo,
    frame,
    handshake,
    head,
    switching,
)


@pytest.fixture
def up(upstream: StartUpstream) -> RecordingUpstream:
    running = upstream()
    running.behaviour = echo
    return running


def in_flight(running: Gateway) -> int:
    """Exchanges and tunnels at the endpoints, as `gwd status` adds them up."""
    status = json.loads(running.command("status", "--json").stdout)
    return int(status["total"]["in_flight"])


# the handshake


def test_messages_of_all_sizes_and_pings_come_back(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address))
    ws = WebSocket(connect(running), "/ws?x=1")
    for size in (0, 1, 125, 126, 65535, 65536, 3_000_000):
        assert ws.echoes(b"x" * size, TEXT if size < 200 else BINARY)
    ws.send(b"are you there", PING)
    pong = ws.next()
    assert pong is not None
    assert (pong.opcode, pong.payload) == (PONG, b"are you there")
    ws.send(b"\x03\xe8", CLOSE)
    answer = ws.next()
    assert answer is not None
    assert (answer.opcode, answer.code) == (CLOSE, 1000)
    assert ws.ended == "closed"
    assert until(lambda: up.connections[0].ended == "code 1000")
    (line,) = running.logged(1, status=101)
    assert (line["reason"], line["path"], line["attempts"]) == ("", "/ws", 1)
    assert line["bytes_in"] > line["bytes_out"] > 3_000_000  # type: ignore[operator]
    assert in_flight(running) == 0


def test_the_upstream_sees_a_handshake_of_the_gateways_own(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address))
    fields = (
        "Connection: keep-alive, Upgrade, X-Hop",
        "X-Hop: 1",
        "Sec-WebSocket-Protocol: chat, v2",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Origin: http://a.example",
        "Cookie: a=b",
    )
    lines = handshake("/a/../ws?q", *fields, leave_out="connection")
    client = connect(running)
    client.send(lines.replace(b"Upgrade: websocket", b"UPGRADE: foo/2, WebSocket"))
    answer = head(client)
    assert answer.status == 101
    assert (answer.get("upgrade"), answer.get("connection")) == ("websocket", "Upgrade")
    assert answer.get("x-request-id")
    (seen,) = up.requests
    assert seen.line == "GET /ws?q HTTP/1.1"
    assert (seen.get("upgrade"), seen.get("connection")) == ("websocket", "Upgrade")
    assert seen.get("x-hop") is None
    assert seen.get("sec-websocket-protocol") == "chat, v2"
    extensions = "permessage-deflate; client_max_window_bits"
    assert seen.get("sec-websocket-extensions") == extensions
    assert (seen.get("origin"), seen.get("cookie")) == ("http://a.example", "a=b")
    assert seen.get("x-forwarded-for") == "127.0.0.1"
    assert seen.get("content-length") is None


STRIPPED = {
    "h2c": handshake()
    .replace(b"websocket", b"h2c")
    .replace(b": Upgrade", b": Upgrade, HTTP2-Settings"),
    "websocket-in-another-token": handshake().replace(b": websocket", b": websockets"),
    "websocket-of-a-version": handshake().replace(b": websocket", b": websocket/13"),
    "connection-disagrees": handshake("/ws", "Connection: keep-alive", leave_out="connection"),
    "no-connection": handshake("/ws", leave_out="connection"),
    "no-upgrade": handshake("/ws", leave_out="upgrade"),
    "post": handshake().replace(b"GET", b"POST"),
    "http-1.0": handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "with-a-length": handshake("/ws", "Content-Length: 3") + b"abc",
    "with-chunks": handshake("/ws", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
}


@pytest.mark.parametrize("name", STRIPPED)
def test_what_does_not_ask_for_websocket_goes_on_as_plain_http(
    name: str, gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address))
    client = connect(running)
    client.send(STRIPPED[name])
    assert client.response().body == b"ok\n"
    (seen,) = up.requests
    assert seen.get("upgrade") is None
    assert seen.get("connection") is None
    assert seen.get("http2-settings") is None
    if name != "http-1.0":
        assert client.get("/again").status == 200  # and its connection goes on


VERSION = "sec-websocket-version"
REFUSED = {
    "version-8": (handshake("/ws", "Sec-WebSocket-Version: 8", leave_out=VERSION), 426),
    "no-version": (handshake("/ws", leave_out=VERSION), 426),
    "two-versions": (handshake("/ws", "Sec-WebSocket-Version: 8"), 426),
    "no-key": (handshake("/ws", leave_out="sec-websocket-key"), 400),
    "two-keys": (handshake("/ws", f"Sec-WebSocket-Key: {KEY}"), 400),
    "key-of-15-bytes": (handshake(key="YWJjZGVmZ2hpamtsbW5v"), 400),
    "key-not-base64": (handshake(key="dGhlIHNhbXBsZSBub25jZ_=="), 400),
    "key-taken-away": (
        handshake("/ws", "Connection: Upgrade, Sec-WebSocket-Key", leave_out="connection"),
        400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_handshake_that_is_none_is_refused_and_reaches_nobody(
    name: str, gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    wire, status = REFUSED[name]
    running = gateway(config(up.address))
    client = connect(running)
    client.send(wire + request("/smuggled"))
    answer = client.response()
    assert (answer.status, answer.closes) == (status, True)
    if status == 426:
        assert answer.get("sec-websocket-version") == "13"
        assert answer.get("upgrade") == "websocket"
    assert client.rest() == b""
    assert up.requests == []


OK = {"sec-websocket-accept": accept(KEY), "upgrade": "websocket", "connection": "Upgrade"}


def _switch(*more: str, start: str = "HTTP/1.1 101 Switching Protocols", **changed: str) -> bytes:
    fields = OK | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return "\r\n".join((start, *lines, *more, "", "")).encode()


WRONG = {
    "accept-missing": _switch(sec_websocket_accept=""),
    "accept-of-another-key": _switch(sec_websocket_accept=accept(KEY[::-1])),
    "accept-twice": _switch(f"Sec-WebSocket-Accept: {accept(KEY)}"),
    "upgrade-missing": _switch(upgrade=""),
    "upgrade-h2c": _switch(upgrade="h2c"),
    "upgrade-more": _switch(upgrade="websocket, h2c"),
    "connection-missing": _switch(connection=""),
    "connection-other": _switch(connection="keep-alive"),
    "protocol-unasked": _switch("Sec-WebSocket-Protocol: chat"),
    "extension-unasked": _switch("Sec-WebSocket-Extensions: permessage-deflate"),
    "with-a-length": _switch("Content-Length: 3"),
    "with-chunks": _switch("Transfer-Encoding: chunked"),
    "http-1.0": _switch(start="HTTP/1.0 101 Switching Protocols"),
    "bare": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_101_is_a_bad_gateway_and_gets_no_early_bytes(
    name: str, gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/ws", WRONG[name], Hang())
    running = gateway(config(up.address))
    client = connect(running)
    client.send(handshake() + request("/smuggled"))
    answer = client.response()
    assert (answer.status, answer.closes) == (502, True)
    assert until(lambda: up.connections[0].ended)
    assert bytes(up.connections[0].received) == up.requests[0].raw
    assert [seen.target for seen in up.requests] == ["/ws"]
    assert in_flight(running) == 0


def test_a_101_that_names_what_was_asked_for_passes(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    chosen = ("Sec-WebSocket-Protocol: v2", "Sec-WebSocket-Extensions: a; b=1", "Set-Cookie: c=d")
    up.on("/ws", b"HTTP/1.1 103 Early Hints\r\n\r\n" + switching(KEY, *chosen), Hang())
    asked = ("Sec-WebSocket-Protocol: v1, v2", "Sec-WebSocket-Extensions: a; b, c")
    ws = WebSocket(connect(gateway(config(up.address))), "/ws", *asked)
    assert ws.answer.get("sec-websocket-protocol") == "v2"
    assert ws.answer.get("sec-websocket-extensions") == "a; b=1"
    assert ws.answer.get("set-cookie") == "c=d"


def test_a_plain_answer_is_relayed_and_ends_the_connection(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/ws", response(b"who are you", status="401 Unauthorized"))
    up.on("/long", b"HTTP/1.1 200 OK\r\n\r\n", b"until the end", Close())
    running = gateway(config(up.address))
    for target, status, body in (("/ws", 401, b"who are you"), ("/long", 200, b"until the end")):
        client = connect(running)
        client.send(handshake(target) + request("/smuggled"))
        answer = client.response()
        assert (answer.status, answer.body, answer.closes) == (status, body, True)
        assert client.rest() == b""
    assert [seen.target for seen in up.requests] == ["/ws", "/long"]


def test_a_route_that_answers_itself_does_not_read_on(
    gateway: StartGateway, connect: Connect
) -> None:
    fixed = '[[routes]]\nname = "a"\npath = "/ws"\nrespond = { status = 200, body = "hi" }\n'
    client = connect(gateway(config(routes=fixed)))
    client.send(handshake() + request("/smuggled"))
    answer = client.response()
    assert (answer.status, answer.body, answer.closes) == (200, b"hi", True)
    assert client.rest() == b""


# early bytes


def _fill(sock: socket.socket) -> int:
    """Send until nothing more is taken for the socket's time-out. Returns how many bytes went."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sent += sock.send(bytes(100_000))
    return sent


def test_early_bytes_wait_for_the_101(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    may = threading.Event()
    before: list[int] = []

    def late(connection: Connection) -> None:
        wanted = connection.read_request()
        assert wanted is not None
        may.wait(20)
        ready, _, _ = select.select([connection.sock], [], [], 0)
        before.append(len(ready))
        connection.send(switching(wanted.get("sec-websocket-key") or "") + frame(b"hi", mask=False))
        converse(connection)

    up.behaviour = late
    client = connect(gateway(config(up.address)))
    client.send(handshake() + frame(b"one", mask=True))
    time.sleep(0.1)
    client.send(frame(b"two" * 100_000, mask=True))
    time.sleep(0.1)
    may.set()
    assert head(client).status == 101
    frames = Frames(client.sock, client.buffer)
    got = [frames.next() for _ in range(3)]
    assert [found.payload for found in got if found] == [b"hi", b"one", b"two" * 100_000]
    assert before == [0]


def test_early_bytes_are_bounded(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/ws", Hang())
    running = gateway(config(up.address))
    (worker,) = running.workers()
    client = connect(running)
    client.send(handshake())
    assert until(lambda: up.requests)
    before = rss(worker)
    client.sock.settimeout(1.0)
    _fill(client.sock)
    assert rss(worker) - before < 2_000_000


# flow


def test_thousands_of_small_frames_in_one_go(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    ws = WebSocket(connect(gateway(config(up.address))))
    count = 5000
    wire = b"".join(frame(b"%d" % n, TEXT, mask=True) for n in range(count))
    sender = threading.Thread(target=ws.client.sock.sendall, args=(wire,))
    sender.start()
    got = [ws.next() for _ in range(count)]
    sender.join()
    assert [found.payload for found in got if found] == [b"%d" % n for n in range(count)]


def test_a_slow_reader_holds_the_other_side_and_no_memory(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    size, piece = 64 * 1024 * 1024, frame(bytes(1_000_000), mask=False)
    poured: list[int] = []

    def pour(connection: Connection) -> None:
        wanted = connection.read_request()
        assert wanted is not None
        connection.send(switching(wanted.get("sec-websocket-key") or ""))
        while sum(poured) < size:
            connection.send(piece)
            poured.append(len(piece))
        while connection.more():  # now it is the other way round: nobody reads for a while
            time.sleep(0.001)

    up.behaviour = pour
    running = gateway(config(up.address))
    (worker,) = running.workers()
    before = rss(worker)
    client = connect(running, small_window=True)
    ws = WebSocket(client)
    time.sleep(1.0)
    held = sum(poured)
    assert held < 16_000_000
    assert rss(worker) - before < 4_000_000
    read = 0
    while read < sum(poured) or read < size:
        found = ws.next()
        assert found is not None
        read += len(found.payload) + 10
    assert rss(worker) - before < 8_000_000


def test_a_slow_upstream_holds_the_client(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    go_on = threading.Event()
    got: list[int] = []

    def lazy(connection: Connection) -> None:
        wanted = connection.read_request()
        assert wanted is not None
        connection.send(switching(wanted.get("sec-websocket-key") or ""))
        go_on.wait(20)
        while data := connection.sock.recv(262144):
            got.append(len(data))

    up.behaviour = lazy
    running = gateway(config(up.address))
    (worker,) = running.workers()
    ws = WebSocket(connect(running))
    before = rss(worker)
    ws.client.sock.settimeout(1.0)
    sent = _fill(ws.client.sock)
    assert sent < 50_000_000
    assert rss(worker) - before < 4_000_000
    go_on.set()
    ws.client.sock.settimeout(20)
    ws.client.finish_sending()
    assert until(lambda: sum(got) == sent)


def test_who_does_not_read_for_write_timeout_is_cut(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/ws", switching(), frame(bytes(30_000_000), mask=False), Hang())
    running = gateway(config(up.address, server=('write_timeout = "300ms"',)))
    client = connect(running, small_window=True)
    client.send(handshake())
    assert running.logged(1, status=101, reason="write_timeout")
    assert client.end() == "reset"


def _sip(sock: socket.socket, seconds: float, pause: float = 0.1) -> int:
    """Receive for so long, 4 KiB at a time, with a pause before each. Returns how many bytes."""
    over, taken = time.monotonic() + seconds, 0
    while time.monotonic() < over:
        time.sleep(pause)
        data = sock.recv(4096)
        if not data:
            break
        taken += len(data)
    return taken


def test_a_reader_that_goes_on_reading_is_not_cut(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/ws", switching(), frame(bytes(30_000_000), mask=False), Hang())
    running = gateway(config(up.address, server=('write_timeout = "1s"',)))
    client = connect(running, small_window=True)
    client.send(handshake())
    assert _sip(client.sock, 4.0) > 100_000
    assert not running.log()
    assert running.logged(1, status=101, reason="write_timeout")  # once it does not
    assert client.end() == "reset"


def test_an_upstream_that_goes_on_reading_is_not_cut(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    taken: list[int] = []

    def sip(connection: Connection) -> None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wanted = connection.read_request()
        assert wanted is not None
        connection.send(switching(wanted.get("sec-websocket-key") or ""))
        taken.append(_sip(connection.sock, 4.0))
        connection.ended = "read enough"
        time.sleep(3.0)

    up.behaviour = sip
    running = gateway(config(up.address, server=('write_timeout = "1s"',)))
    ws = WebSocket(connect(running))
    ws.client.sock.settimeout(0.5)
    _fill(ws.client.sock)
    assert until(lambda: taken)
    assert taken[0] > 100_000
    assert not running.log()
    assert running.logged(1, status=101, reason="upstream_write_timeout")


def test_the_last_words_are_not_cut_because_their_reader_is_slow(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    last = frame(bytes(500_000), mask=False) + frame(b"\x03\xe8", CLOSE, mask=False)
    up.on("/ws", switching(), last, Close())
    running = gateway(config(up.address, server=('write_timeout = "1s"',)))
    client = connect(running, small_window=True)
    client.send(handshake())
    assert head(client).status == 101
    taken = len(client.buffer)
    while data := client.sock.recv(4096):
        taken += len(data)
        time.sleep(0.05)
    assert taken == len(last)


@pytest.mark.slow  # the rate is asked for after ten seconds
def test_min_write_rate(gateway: StartGateway, upstream: StartUpstream, connect: Connect) -> None:
    up = upstream()
    up.on("/ws", switching(), frame(bytes(30_000_000), mask=False), Hang())
    server = ('min_write_rate = "64KiB/s"', 'write_timeout = "5s"')
    running = gateway(config(up.address, server=server))
    client = connect(running, small_window=True)
    client.send(handshake())
    with contextlib.suppress(ConnectionError):
        _sip(client.sock, 20.0, 0.5)  # so slowly that its first stall lasts
    assert running.logged(1, status=101, reason="write_too_slow")


def test_an_upstream_that_does_not_read_for_write_timeout_is_cut(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/ws", switching(), Pause(3))
    running = gateway(config(up.address, server=('write_timeout = "300ms"',)))
    ws = WebSocket(connect(running))
    ws.client.sock.settimeout(1.0)
    with pytest.raises(ConnectionResetError):
        _fill(ws.client.sock)
    assert running.logged(1, status=101, reason="upstream_write_timeout")


def test_the_last_words_reach_a_slow_reader(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    last = frame(bytes(2_000_000), mask=False) + frame(b"\x03\xe8", CLOSE, mask=False)
    up.on("/ws", switching() + last, Close())
    client = connect(gateway(config(up.address)), small_window=True)
    client.send(handshake())
    assert head(client).status == 101
    client.finish_sending()
    time.sleep(1.0)
    assert client.end() == "closed"
    assert client.buffer == last


# time and ends


def test_silence_ends_it_with_a_close_frame(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address, app=('stream_idle = "500ms"', 'response_timeout = "1s"')))
    ws = WebSocket(connect(running))
    for _ in range(6):
        time.sleep(0.3)
        assert ws.echoes(b"still here")  # longer than every other time-out
    last = ws.next()
    assert last is not None
    assert (last.opcode, last.code) == (CLOSE, 1001)
    ws.send(last.payload, CLOSE)
    assert ws.ended == "closed"
    assert until(lambda: up.connections[0].ended == "code 1001")
    (line,) = running.logged(1, status=101)
    assert line["reason"] == "stream_idle"


def test_pings_count_as_life(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address, app=('stream_idle = "500ms"',)))
    ws = WebSocket(connect(running))
    for _ in range(5):
        time.sleep(0.25)
        ws.send(b"", PING)
        found = ws.next()
        assert found is not None
        assert found.opcode == PONG


@pytest.mark.parametrize(
    ("step", "how", "reason"),
    [(Close(), "closed", "upstream_closed"), (Reset(), "reset", "upstream_closed")],
)
def test_the_upstreams_death_is_the_clients(
    step: Close | Reset,
    how: str,
    reason: str,
    gateway: StartGateway,
    upstream: StartUpstream,
    connect: Connect,
) -> None:
    up = upstream()
    up.on("/ws", switching(), frame(b"hello", mask=False), Pause(0.3), step)
    running = gateway(config(up.address))
    client = connect(running)
    ws = WebSocket(client)
    found = ws.next()
    assert found is not None
    assert found.payload == b"hello"
    assert ws.ended == how
    client.close()
    (line,) = running.logged(1, status=101)
    assert line["reason"] == reason
    assert in_flight(running) == 0


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_the_clients_death_is_the_upstreams(
    how: str, gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address))
    ws = WebSocket(connect(running))
    assert ws.echoes(b"x")
    assert until(lambda: in_flight(running) == 1)
    if how == "closed":
        ws.client.close()
    else:
        ws.client.reset()
    assert until(lambda: up.connections[0].ended == how)
    (line,) = running.logged(1, status=101)
    assert line["reason"] == "client_gone"
    assert until(lambda: in_flight(running) == 0)


def test_a_half_closed_client_still_hears(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    seen: list[str] = []

    def talkative(connection: Connection) -> None:
        wanted = connection.read_request()
        assert wanted is not None
        connection.send(switching(wanted.get("sec-websocket-key") or ""))
        while connection.more():
            pass
        seen.append(connection.ended)
        connection.send(frame(b"good bye", mask=False))

    up.behaviour = talkative
    running = gateway(config(up.address))
    ws = WebSocket(connect(running))
    ws.send(b"last words")
    ws.client.finish_sending()
    found = ws.next()
    assert found is not None
    assert found.payload == b"good bye"
    assert ws.ended == "closed"
    assert seen == ["closed"]
    assert running.logged(1, status=101)


def test_a_ban_ends_it(gateway: StartGateway, up: RecordingUpstream, connect: Connect) -> None:
    more = '[limits.per_ip]\nrate = "1000/s"\n[limits.ban]\naction = "close"\n'
    running = gateway(config(up.address, more=more))
    ws = WebSocket(connect(running, source="127.0.0.9"))
    assert ws.echoes(b"x")
    assert running.command("ban", "127.0.0.9", "--for", "1m").returncode == 0
    assert ws.ended == "reset"
    assert until(lambda: up.connections[0].ended == "reset")
    (line,) = running.logged(1, status=101)
    assert line["reason"] == "banned"


def test_it_is_one_connection_of_its_address_and_one_request_of_its_route(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    more = '[limits.per_ip]\nrate = "1000/s"\nconnections = 1\n'
    running = gateway(config(up.address, more=more))
    ws = WebSocket(connect(running, source="127.0.0.9"))
    assert connect(running, source="127.0.0.9").end() in ("closed", "reset")
    assert ws.echoes(b"x")
    ws.client.close()
    assert running.logged(1, status=101)

    def open_again() -> bool:
        client = connect(running, source="127.0.0.9")
        client.send(handshake())
        return client._more()

    assert until(open_again)
    status = json.loads(running.command("status", "--json").stdout)
    (route,) = [route for route in status["routes"] if route["route"] == "app"]
    assert route["by_class"]["1xx"] == route["requests"] == 2


def test_it_counts_among_the_endpoints_connections(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    app = ("max_connections = 2", 'pending_timeout = "300ms"')
    running = gateway(config(up.address, app=app))
    first, second = (WebSocket(connect(running)) for _ in range(2))
    assert connect(running).get("/x").status == 503
    assert first.echoes(b"x")
    first.client.close()
    assert until(lambda: connect(running).get("/x").status == 200)
    assert second.echoes(b"x")


# shutdown and reload


def test_a_drain_says_1001_to_both_sides(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address))
    ws = WebSocket(connect(running))
    assert ws.echoes(b"x")
    running.kill(signal.SIGTERM)
    last = ws.next()
    assert last is not None
    assert (last.opcode, last.code) == (CLOSE, 1001)
    assert until(lambda: up.connections[0].ended == "code 1001")
    time.sleep(0.5)  # the service is gone by now, and the client still has its say
    ws.send(last.payload, CLOSE)
    assert ws.ended == "closed"
    assert running.process.wait(20) == 0
    assert running.logged(1, status=101, reason="shutdown")


def test_a_drain_waits_for_the_end_of_a_frame_on_either_side(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    go_on = threading.Event()
    got: list[tuple[int, bytes]] = []

    def slow(connection: Connection) -> None:
        wanted = connection.read_request()
        assert wanted is not None
        connection.send(switching(wanted.get("sec-websocket-key") or ""))
        first = frame(b"a" * 1000, TEXT, mask=False, fin=False)
        second = frame(b"b" * 1000, CONTINUATION, mask=False)
        connection.send(first + second[:500])  # in the middle of a fragment
        go_on.wait(20)
        connection.send(second[500:] + frame(b"too late", mask=False))
        frames = Frames(connection.sock)
        while (found := frames.next()) is not None:
            got.append((found.opcode, found.payload))

    up.behaviour = slow
    running = gateway(config(up.address))
    ws = WebSocket(connect(running))
    first = ws.next()
    assert first is not None
    assert (first.payload, first.fin) == (b"a" * 1000, False)
    mine = frame(b"c" * 70_000, mask=True)
    ws.client.send(mine[:40_000])
    time.sleep(0.2)
    running.kill(signal.SIGTERM)
    time.sleep(0.3)
    go_on.set()
    ws.client.send(mine[40_000:] + frame(b"too late", mask=True))
    second, last = ws.next(), ws.next()
    assert second is not None
    assert (second.payload, second.fin) == (b"b" * 1000, True)
    assert last is not None
    assert (last.opcode, last.code) == (CLOSE, 1001)
    ws.send(last.payload, CLOSE)
    assert ws.ended == "closed"
    assert running.process.wait(20) == 0
    assert until(lambda: len(got) == 2)
    assert got == [(BINARY, b"c" * 70_000), (CLOSE, b"\x03\xe9")]


def test_a_drain_does_not_wait_for_ever(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/ws", switching(), frame(bytes(1000), mask=False)[:500], Hang())
    running = gateway(config(up.address, server=('shutdown_grace = "500ms"',)))
    ws = WebSocket(connect(running))
    running.kill(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert ws.ended == "reset"
    assert running.logged(1, status=101, reason="shutdown")


class Echoing:
    """A client that echoes without a pause until it is told to end; `wrong` is why it failed."""

    def __init__(self, address: tuple[str, int], seed: int) -> None:
        self.done = 0
        self.wrong = ""
        self._over = threading.Event()
        self._client = Client(address)
        self._ws = WebSocket(self._client)
        self._chance = random.Random(seed)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over.wait(0.005):
                payload = self._chance.randbytes(self._chance.choice((1, 100, 5000, 70_000)))
                if not self._ws.echoes(payload):
                    self.wrong = f"something else came back: {self._ws.frames.ended}"
                    return
                self.done += 1
        except OSError as error:
            self.wrong = repr(error)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()


def test_reloads_every_200_ms_touch_no_tunnel(gateway: StartGateway, up: RecordingUpstream) -> None:
    second = '[[routes]]\nname = "b"\npath = "/b"\nrespond = { status = 200, body = "b" }\n'
    running = gateway(config(up.address), workers=2)
    workers = running.workers()
    clients = [Echoing(running.address, seed) for seed in range(20)]
    try:
        over = time.monotonic() + amount(3.0, 30.0)
        turn = 0
        while time.monotonic() < over or running.said().count("reload done") < 5:
            turn += 1
            running.config.write_text(config(up.address, routes=ANY_PATH + second * (turn % 2)))
            running.kill(signal.SIGHUP)
            time.sleep(0.2)
    finally:
        for client in clients:
            client.stop()
    assert [client.wrong for client in clients] == [""] * 20
    assert min(client.done for client in clients) > 10
    assert running.workers() == workers
    assert len(up.connections) == 20


def test_a_handshake_under_way_is_finished_after_a_reload(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    go_on = threading.Event()

    def late(connection: Connection) -> None:
        wanted = connection.read_request()
        assert wanted is not None
        connection.upstream.record(wanted)
        go_on.wait(20)
        connection.send(switching(wanted.get("sec-websocket-key") or ""))
        converse(connection)

    up.behaviour = late
    running = gateway(config(up.address))
    client = connect(running)
    client.send(handshake() + frame(b"early", mask=True))
    assert until(lambda: up.requests)
    routes = '[[routes]]\nname = "gone"\npath = "/gone"\nrespond = { status = 200, body = "" }\n'
    assert running.reload(config(routes=routes)).returncode == 0
    go_on.set()
    assert head(client).status == 101
    found = Frames(client.sock, client.buffer).next()
    assert found is not None
    assert found.payload == b"early"


def test_a_tunnel_outlives_its_upstream_in_the_config(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address))
    ws = WebSocket(connect(running))
    routes = '[[routes]]\nname = "gone"\npath = "/gone"\nrespond = { status = 200, body = "" }\n'
    assert running.reload(config(routes=routes)).returncode == 0
    assert ws.echoes(b"still here")
    ws.client.close()
    (line,) = running.logged(1, status=101)
    assert (line["route"], line["upstream"]) == ("app", "app")
    assert until(lambda: up.connections[0].ended == "closed")


def test_a_stale_pooled_connection_is_not_taken(
    gateway: StartGateway, up: RecordingUpstream, connect: Connect
) -> None:
    running = gateway(config(up.address))
    client = connect(running)
    assert client.get("/x").status == 200
    assert WebSocket(connect(running)).echoes(b"x")
    assert len(up.connections) == 1  # idle for a moment only
    assert client.get("/x").status == 200
    time.sleep(1.2)
    assert WebSocket(connect(running)).echoes(b"x")
    assert len(up.connections) == 3


def test_a_dead_tunnel_does_not_count_as_open(gateway: StartGateway, up: RecordingUpstream) -> None:
    running = gateway(config(up.address))
    for _ in range(50):
        with Client(running.address) as client:
            assert WebSocket(client).echoes(b"x")
    assert until(lambda: len(running.logged(50, status=101)) == 50)
    assert in_flight(running) == 0


def test_the_socket_of_a_plain_http_1_0_client_is_no_way_around(
    gateway: StartGateway, up: RecordingUpstream
) -> None:
    running = gateway(config(up.address))
    with socket.create_connection(running.address) as sock:
        sock.sendall(handshake().replace(b"HTTP/1.1", b"HTTP/1.0") + frame(b"x", mask=True))
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"ok\n")
    assert len(up.connections[0].received) == len(up.requests[0].raw)
