"""Server-sent events and long polls: every event passes at once, however long the whole lasts, and
who leaves is not waited for."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import h11
import pytest
from rig.client import Client, request
from rig.configs import ANY_PATH, config
from rig.gateway import rss, until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.scale import amount
from rig.upstream import Connection, Hang, Pause, RecordingUpstream, response

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Stage:
    """An upstream's side of event streams: what is told to `say` goes to all of them."""

    def __init__(self, opening: bytes = CHUNKED) -> None:
        self.chunked = b"chunked" in opening
        self.connections: list[Connection] = []
        self.ended: list[str] = []
        self._opening = opening

    def __call__(self, connection: Connection) -> None:
        asked = connection.read_request()
        assert asked is not None
        connection.upstream.record(asked)
        connection.send(self._opening)
        self.connections.append(connection)
        while connection.more():
            pass
        self.ended.append(connection.ended)

    def say(self, event: bytes) -> None:
        for connection in self.connections:
            wire = b"%x\r\n%b\r\n" % (len(event), event) if self.chunked else event
            connection.send(wire)


@pytest.fixture
def stage(upstream: StartUpstream) -> Callable[..., tuple[RecordingUpstream, Stage]]:
    def start(opening: bytes = CHUNKED) -> tuple[RecordingUpstream, Stage]:
        up, made = upstream(), Stage(opening)
        up.behaviour = made
        return up, made

    return start


OneStage = Callable[..., tuple[RecordingUpstream, Stage]]


def listen(client: Client, *fields: str, version: str = "1.1") -> None:
    wire = request("/events", "Accept: text/event-stream", *fields)
    client.send(wire.replace(b"HTTP/1.1", b"HTTP/" + version.encode()))


def hears(client: Client, words: bytes) -> bool:
    """Whether `words` come, with nothing else sent to push them along."""
    while words not in client.buffer:
        if not client._more():
            return False
    return True


@pytest.mark.parametrize(
    "opening", [CHUNKED, HEAD + b"\r\n", HEAD.replace(b"1.1", b"1.0") + b"\r\n"]
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_each_event_passes_before_the_next_one_is_there(
    opening: bytes, version: str, gateway: StartGateway, stage: OneStage, connect: Connect
) -> None:
    up, on_stage = stage(opening)
    client = connect(gateway(config(up.address)))
    listen(client, version=version)
    assert hears(client, b"\r\n\r\n")  # the head, before any event
    head = client.buffer.lower()
    assert b"content-type: text/event-stream" in head
    assert (b"transfer-encoding: chunked" in head) is (version == "1.1")
    assert (b"connection: close" in head) is (version == "1.0")
    assert until(lambda: on_stage.connections)
    for number in range(20):
        event = b"data: %d\n\n" % number
        on_stage.say(event)
        assert hears(client, event)


def test_no_time_out_but_stream_idle_ends_a_stream(
    gateway: StartGateway, stage: OneStage, connect: Connect
) -> None:
    up, on_stage = stage()
    server = ('body_timeout = "300ms"', 'write_timeout = "300ms"', 'idle_timeout = "300ms"')
    app = ('response_timeout = "300ms"', 'stream_idle = "800ms"', 'keepalive_idle = "300ms"')
    routes = ANY_PATH + 'timeout = "300ms"\n'
    running = gateway(config(up.address, server=server, app=app, routes=routes))
    client = connect(running)
    listen(client)
    assert until(lambda: on_stage.connections)
    for number in range(6):
        time.sleep(0.4)
        on_stage.say(b"data: %d\n\n" % number)
        assert hears(client, b"data: %d\n\n" % number)
    assert client.end() == "reset"  # cut, for it is not complete (SEC-22)
    assert running.logged(1, reason="stream_idle")


def test_a_long_poll_is_answered_when_the_answer_comes(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/poll", Pause(1.5), response(b"news"))
    app = ('stream_idle = "300ms"', 'keepalive_idle = "300ms"')
    server = ('body_timeout = "300ms"', 'write_timeout = "300ms"', 'idle_timeout = "300ms"')
    client = connect(gateway(config(up.address, app=app, server=server)))
    for _ in range(2):
        assert client.get("/poll").body == b"news"


@pytest.mark.parametrize("how", ["close", "reset", "finish_sending"])
def test_a_listener_that_leaves_ends_the_upstreams_stream_at_once(
    how: str, gateway: StartGateway, stage: OneStage, connect: Connect
) -> None:
    up, on_stage = stage()
    running = gateway(config(up.address))
    client = connect(running)
    listen(client)
    assert hears(client, b"\r\n\r\n")
    assert until(lambda: on_stage.connections)
    getattr(client, how)()
    assert until(lambda: on_stage.ended)  # no event had to be sent for it to be noticed
    (line,) = running.logged(1, path="/events")
    assert (line["status"], line["reason"]) == (499, "client_gone")


def test_a_half_closed_client_of_another_stream_still_gets_it_whole(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    begun = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    up.on("/x", begun + b"3\r\none\r\n", Pause(0.5), b"3\r\ntwo\r\n0\r\n\r\n")
    client = connect(gateway(config(up.address)))
    client.send(request("/x"))
    assert hears(client, b"one")
    client.finish_sending()
    assert client.response().body == b"onetwo"


def test_a_poller_that_is_reset_ends_the_upstreams_wait(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    up.on("/poll", Hang())
    client = connect(gateway(config(up.address)))
    client.send(request("/poll"))
    assert until(lambda: up.requests)
    client.reset()
    assert until(lambda: up.connections[0].ended)


def test_a_stream_that_breaks_off_looks_broken(
    gateway: StartGateway, stage: OneStage, connect: Connect
) -> None:
    up, on_stage = stage()
    client = connect(gateway(config(up.address)))
    listen(client)
    assert until(lambda: on_stage.connections)
    on_stage.say(b"data: 1\n\n")
    assert hears(client, b"data: 1\n\n")
    up.refuse()
    assert client.end() == "reset"


def test_a_listener_that_does_not_read_holds_no_memory(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    sent: list[int] = []

    def pour(connection: Connection) -> None:
        assert connection.read_request() is not None
        connection.send(CHUNKED)
        event = b"data: " + b"x" * 60_000 + b"\n\n"
        while len(sent) < 2000:
            connection.send(b"%x\r\n%b\r\n" % (len(event), event))
            sent.append(len(event))

    up.behaviour = pour
    running = gateway(config(up.address))
    (worker,) = running.workers()
    client = connect(running, small_window=True)
    before = rss(worker)
    listen(client)
    assert hears(client, b"data: ")
    time.sleep(0.5)
    assert len(sent) < 400
    assert rss(worker) - before < 4_000_000


class Listening:
    """A client that reads numbered events until the stream is over; `wrong`: what was not next."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.next = 0
        self.wrong = ""
        self._client = Client(address)
        listen(self._client)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        reader.send(h11.EndOfMessage())
        text = b""
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                reader.receive_data(self._client.sock.recv(65536))
            elif isinstance(event, h11.Data):
                text += event.data
                *whole, text = text.split(b"\n\n")
                for line in whole:
                    if line != b"data: %d" % self.next:
                        self.wrong = f"{line!r} in place of {self.next}"
                        return
                    self.next += 1
            elif isinstance(event, h11.EndOfMessage):
                return

    def join(self) -> None:
        self._thread.join(20)
        self._client.close()


def test_reloads_every_200_ms_lose_no_event(gateway: StartGateway, stage: OneStage) -> None:
    up, on_stage = stage()
    running = gateway(config(up.address), workers=2)
    second = '[[routes]]\nname = "b"\npath = "/b"\nrespond = { status = 200, body = "b" }\n'
    clients = [Listening(running.address) for _ in range(20)]
    assert until(lambda: len(on_stage.connections) == 20)
    over = time.monotonic() + amount(3.0, 30.0)
    turn = 0
    while time.monotonic() < over or running.said().count("reload done") < 5:
        if turn % 40 == 0:
            routes = ANY_PATH + second * (turn // 40 % 2)
            running.config.write_text(config(up.address, routes=routes))
            running.kill(signal.SIGHUP)
        on_stage.say(b"data: %d\n\n" % turn)
        turn += 1
        time.sleep(0.005)
    for connection in on_stage.connections:
        connection.send(b"0\r\n\r\n")
    for client in clients:
        client.join()
    assert [client.wrong for client in clients] == [""] * 20
    assert [client.next for client in clients] == [turn] * 20
    assert len(up.requests) == 20
