"""The PROXY protocol through real processes: who may send it, and whom it makes the client."""

from __future__ import annotations

import json
import socket
import time

import pytest
from rig.client import BETWEEN_PIECES, Client, request
from rig.configs import config
from rig.gateway import Gateway, until
from rig.kinds import Connect, StartGateway, StartUpstream

STRANGER, CLIENT = "127.0.0.5", "203.0.113.7"
LISTENER = (
    'bind = [{ address = "127.0.0.1:0", proxy_protocol = true }]',
    'trusted_proxies = ["127.0.0.1"]',
)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def version1(source: str = CLIENT) -> bytes:
    return f"PROXY TCP4 {source} 192.0.2.1 40000 443\r\n".encode()


def version2(source: str = CLIENT, command: int = 0x21, tail: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(family, source)
    block = packed + packed + b"\x9c\x40\x01\xbb" + tail
    code = 0x21 if family == socket.AF_INET6 else 0x11
    return SIGNATURE + bytes((command, code)) + len(block).to_bytes(2, "big") + block


HEADERS = {
    "v1": (version1(), CLIENT),
    "v2": (version2(), CLIENT),
    "v2-tls": (version2(tail=b"\x02\x00\x04host\x04\x00\x03\0\0\0"), CLIENT),
    "v1-ipv6": (b"PROXY TCP6 2001:DB8::1 2001:db8::2 1 2\r\n", "2001:db8::1"),
    "v2-ipv6": (version2("2001:db8::1"), "2001:db8::1"),
    "unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "local": (SIGNATURE + b"\x20\x00\x00\x00", "127.0.0.1"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_the_announced_client_is_who_it_comes_from(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect, kind: str
) -> None:
    """Header and request in one segment: what follows the header is the client's."""
    app = upstream()
    running = gateway(config(app.address, server=LISTENER))
    header, client_ip = HEADERS[kind]
    client = connect(running)
    client.send(header + request("/one") + request("/two"))
    assert [client.response().status, client.response().status] == [200, 200]
    for got in app.requests:
        assert got.get("x-forwarded-for") == client_ip
    (line,) = running.logged(1, path="/one")
    assert (line["client_ip"], line["remote_ip"]) == (client_ip, "127.0.0.1")


@pytest.mark.parametrize("kind", HEADERS)
def test_it_may_come_in_any_pieces(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect, kind: str
) -> None:
    app = upstream()
    running = gateway(config(app.address, server=LISTENER))
    header, client_ip = HEADERS[kind]
    for size in (1, 3, len(header) - 1, len(header)):
        client = connect(running)
        wire = header + request("/x")
        client.send_pieces(
            (wire[at : at + size] for at in range(0, len(wire), size)), BETWEEN_PIECES
        )
        assert client.response().status == 200
        assert app.requests[-1].get("x-forwarded-for") == client_ip
        client.close()


def test_sec_40_only_trusted_proxies_may_send_it(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    app = upstream()
    running = gateway(config(app.address, server=LISTENER))
    for sent in (version1() + request("/x"), request("/x"), b""):
        try:
            client = connect(running, source=STRANGER)
        except ConnectionResetError:  # that quickly
            continue
        client.send(sent)
        assert client.end() in ("closed", "reset")
        assert client.buffer == b""
    assert not app.requests
    assert "it is none of trusted_proxies" in running.said()
    assert STRANGER in running.said()


@pytest.mark.parametrize(
    "sent",
    [
        request("/x"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 040000 443\r\n" + request("/x"),
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11) + request("/x"),
        version2(tail=b"\x04") + request("/x"),
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(2000),
        b"PROXY " + b"x" * 200,
    ],
    ids=["http", "tls", "leading-zero", "one-byte-short", "half-extension", "too-long", "endless"],
)
def test_sec_40_from_them_it_is_mandatory_and_exact(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect, sent: bytes
) -> None:
    app = upstream()
    running = gateway(config(app.address, server=LISTENER))
    client = connect(running)
    client.send(sent)
    assert client.end() in ("closed", "reset")
    assert client.buffer == b""
    assert not app.requests


def test_who_does_not_end_its_header_in_time_is_reset(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=(*LISTENER, 'handshake_timeout = "400ms"')))
    silent, slow = connect(running), connect(running)
    began = time.monotonic()
    header = version1()
    sent = 0
    while slow.end(0.05) == "open" and sent < len(header):
        slow.send(header[sent : sent + 1])  # each byte in time, the header never
        sent += 1
    assert slow.ended == "reset"
    assert silent.end() == "reset"
    assert time.monotonic() - began >= 0.4
    assert sent < len(header)


def test_sec_25_the_first_heads_time_runs_since_the_accept(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, server=(*LISTENER, 'head_timeout = "3s"')))
    client = connect(running)
    began = time.monotonic()
    time.sleep(2.5)
    client.send(version1() + b"GET / HT")
    assert client.response().status == 408
    assert time.monotonic() - began < 5  # 3, and not 2.5 and 3


def test_denied_and_banned_clients_behind_a_proxy_are_told_and_the_proxy_stays(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    more = """
[limits]
deny = ["203.0.113.66"]
[limits.per_ip]
rate = "1/m"
burst = 5
[limits.ban]
after = 3
for = "60s"
action = "drop"
"""
    running = gateway(config(upstream().address, server=LISTENER, more=more))

    def ask(header: bytes, times: int = 1) -> list[int]:
        client = connect(running)
        client.send(header)
        statuses = [client.get("/x").status for _ in range(times)]
        client.close()
        return statuses

    assert ask(version1("203.0.113.66")) == [403]
    statuses = ask(version2(), 15)
    assert statuses[:5] == [200] * 5
    assert statuses[6:] == [429] * 9
    listed = json.loads(running.command("bans", "--json").stdout)["bans"]
    assert [ban["address"] for ban in listed] == [CLIENT]
    assert ask(version1()) == [429]  # told, not cut
    assert ask(version1("203.0.113.8")) == [200]
    done = running.command("status", "--json")
    assert json.loads(done.stdout)["limits"]["bans_running"] == 1


def test_connections_are_capped_by_announced_client(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    more = '[limits.per_ip]\nrate = "1000/s"\nconnections = 2\n'
    running = gateway(config(upstream().address, server=LISTENER, more=more), workers=2)

    def opened(source: str) -> Client:
        client = connect(running)
        client.send(version1(source) + request("/x"))
        return client

    kept = [opened(CLIENT) for _ in range(2)]
    assert [client.response().status for client in kept] == [200, 200]
    assert opened(CLIENT).end() in ("closed", "reset")
    assert opened("203.0.113.8").response().status == 200
    kept[0].close()
    assert until(lambda: opened(CLIENT).end(0.2) == "open")


def test_a_trusted_client_it_announces_is_believed_in_turn(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    """A proxy for HTTP behind one for TCP: its X-Forwarded-For counts, a stranger's does not."""
    app = upstream()
    trusted = 'trusted_proxies = ["127.0.0.1", "192.0.2.0/24"]'
    running = gateway(config(app.address, server=(LISTENER[0], trusted)))
    field = "X-Forwarded-For: 198.51.100.9"
    for source, told in (("192.0.2.50", "198.51.100.9, 192.0.2.50"), (CLIENT, CLIENT)):
        client = connect(running)
        client.send(version1(source))
        assert client.get("/x", field).status == 200
        assert app.requests[-1].get("x-forwarded-for") == told
    lines = running.logged(2)
    assert [line["client_ip"] for line in lines] == ["198.51.100.9", CLIENT]


def test_other_listeners_know_nothing_of_it(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running: Gateway = gateway(
        config(upstream().address, server=('trusted_proxies = ["127.0.0.1"]',))
    )
    assert connect(running).request(version1() + request("/x")).status == 400
