"""What the kernel does with the SYNs of the banned, seen from the clients' side."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from rig.client import Client
from rig.configs import config
from rig.gateway import Gateway, until
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.network import in_own_network, set_filter_memory

from gwd.http.addresses import limit_key, pack
from gwd.segment.bans import BY_HAND, FILTER_FAILED, FILTER_OFF, FILTER_ON, RATE, Bans
from gwd.segment.memory import Segment

BANNED, OTHER = "127.0.0.5", "127.0.0.6"
DROPPED, OPEN, REFUSED = "dropped", "open", "refused"
SYN_SENT = 2
"""A state of TCP_INFO, <net/tcp_states.h>: nothing has come back yet."""
SILENCE = 0.2
"""Seconds. On loopback a SYN is answered before connect(2) returns."""


class Table:
    """The bans in the segment of a running gateway, as `gwd ban` sees them."""

    def __init__(self, running: Gateway) -> None:
        found = json.loads((running.directory / "run" / "gwd.pid").read_text())
        fd = os.open(f"/proc/{found['pid']}/fd/{found['segment_fd']}", os.O_RDWR | os.O_CLOEXEC)
        self.segment = Segment.attach(fd, writable=True)
        self.bans = Bans(self.segment)

    def ban(self, ip: str, seconds: float = 600, *, reason: int = BY_HAND, weight: int = 0) -> None:
        key, now = limit_key(ip, 64), time.monotonic_ns() // 1000
        prefix, until_us = 32 if len(key) == 4 else 64, now + round(seconds * 1e6)
        assert self.bans.ban(key, prefix, now, until_us, reason, peer=True, weight=weight)

    def unban(self, ip: str) -> None:
        assert self.bans.unban(limit_key(ip, 64), time.monotonic_ns() // 1000)

    def seen(self) -> int:
        """Wait until the supervisor has taken note of every change; the filter's state."""
        assert until(lambda: self.bans.filter().sequence == self.bans.sequence)
        return self.bans.filter().state


@contextlib.contextmanager
def table_of(running: Gateway) -> Iterator[Table]:
    table = Table(running)
    try:
        yield table
    finally:
        table.segment.close()


@contextlib.contextmanager
def knocking(address: tuple[str, int], source: str) -> Iterator[socket.socket]:
    """A client that has sent a SYN from `source`."""
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET) as sock:
        sock.bind((source, 0))
        sock.setblocking(False)
        assert sock.connect_ex(address) in (0, errno.EINPROGRESS)
        yield sock


def unanswered(sock: socket.socket, seconds: float = SILENCE) -> bool:
    """Whether nothing at all comes in answer to a SYN."""
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    if poller.poll(seconds * 1000):
        return False
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == SYN_SENT


def fares(address: tuple[str, int], source: str) -> str:
    """What a connect from `source` comes to."""
    with knocking(address, source) as sock:
        if unanswered(sock):
            return DROPPED
        # One that was opened may have been reset by its worker already.
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return REFUSED if error == errno.ECONNREFUSED else OPEN


def is_served(address: tuple[str, int], source: str) -> bool:
    with Client(address, source=source) as client:
        return client.get("/x", "Connection: close").status == 200


def test_a_banned_syn_is_not_answered_and_one_that_waits_is_as_soon_as_it_is_pardoned(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address), workers=3)
    with table_of(running) as table:
        table.ban(BANNED)
        assert table.seen() == FILTER_ON
        for _ in range(9):  # every worker's socket
            assert fares(running.address, BANNED) == DROPPED
            assert is_served(running.address, OTHER)
        with knocking(running.address, BANNED) as waiting:
            assert unanswered(waiting)
            table.unban(BANNED)
            assert table.seen() == FILTER_OFF
            assert fares(running.address, BANNED) == OPEN
            assert not unanswered(waiting, 20), "its SYN is sent again"
    assert is_served(running.address, BANNED)


def test_a_ban_runs_out_without_anybody_changing_anything(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address))
    with table_of(running) as table:
        table.ban(OTHER)
        table.ban(BANNED, 1.5)
        assert table.seen() == FILTER_ON
        assert table.bans.filter().addresses == 2
        assert fares(running.address, BANNED) == DROPPED
        assert until(lambda: fares(running.address, BANNED) == OPEN)
        assert table.bans.filter().addresses == 1
        assert fares(running.address, OTHER) == DROPPED


def test_connections_of_others_are_not_disturbed_by_filters_that_come_and_go(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address), workers=2)
    before = connect(running, source=OTHER)
    assert before.get("/x").status == 200
    with table_of(running) as table:
        for number in range(4):
            table.ban(f"127.0.1.{number}")
            assert table.seen() == FILTER_ON
            during = connect(running, source=OTHER)
            assert before.get("/x").status == during.get("/x").status == 200
        for number in range(4):
            table.unban(f"127.0.1.{number}")
        assert table.seen() == FILTER_OFF
        assert before.get("/x").status == during.get("/x").status == 200


def test_it_stays_whoever_is_killed_and_a_new_controller_goes_on_with_it(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address), workers=2)
    with table_of(running) as table:
        table.ban(BANNED)
        assert table.seen() == FILTER_ON
        for victim in (running.workers()[0], running.controller()):
            os.kill(victim, signal.SIGKILL)
            assert fares(running.address, BANNED) == DROPPED
            assert until(
                lambda victim=victim: victim not in running.family() and len(running.family()) == 3
            )
            assert fares(running.address, BANNED) == DROPPED
        assert running.reload().returncode == 0
        assert fares(running.address, BANNED) == DROPPED
        table.ban(OTHER)
        table.unban(BANNED)
        assert table.seen() == FILTER_ON
        assert fares(running.address, OTHER) == DROPPED
        assert is_served(running.address, BANNED)


def test_every_listener_filters_and_a_dual_stack_one_both_families(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    bind = 'bind = ["127.0.0.1:0", "[::]:0"]'
    running = gateway(config(upstream().address, server=[bind]), workers=2)
    ports = [int(address.rpartition(":")[2]) for address in running.addresses]
    with table_of(running) as table:
        table.ban(BANNED)
        table.ban("::1")
        assert table.seen() == FILTER_ON
        for port in ports:
            for _ in range(4):
                assert fares(("127.0.0.1", port), BANNED) == DROPPED
                assert is_served(("127.0.0.1", port), OTHER)
        assert fares(("::1", ports[1]), "::1") == DROPPED
        table.unban("::1")
        assert table.seen() == FILTER_ON
        assert is_served(("::1", ports[1]), "::1")


def test_ipv6_is_dropped_by_the_network_and_never_one_with_a_protected_address(
    gateway: StartGateway,
) -> None:
    text = config(
        server=['bind = ["[2001:db8::1]:0"]', 'trusted_proxies = ["2001:db8:0:3::7"]'],
        more='[limits]\nexempt = ["2001:db8:0:4::/63"]\n',
        routes='[[routes]]\nname = "hello"\npath = "/*"\nrespond = { body = "hello" }\n',
    )
    banned, same, other = "2001:db8:0:1::5", "2001:db8:0:1:ffff::1", "2001:db8:0:2::5"
    proxy, neighbour, exempt = "2001:db8:0:3::7", "2001:db8:0:3::8", "2001:db8:0:5::1"

    def act() -> None:
        running = gateway(text, workers=2)
        with table_of(running) as table:
            for ip in (banned, proxy, exempt):
                table.ban(ip)
            assert table.seen() == FILTER_ON
            assert table.bans.filter().addresses == 1
            for _ in range(4):
                assert fares(running.address, banned) == DROPPED
                assert fares(running.address, same) == DROPPED
                assert is_served(running.address, other)
                assert is_served(running.address, proxy)
                assert is_served(running.address, exempt)
                # In the proxy's network, and banned: the workers tell them apart.
                assert fares(running.address, neighbour) != DROPPED

    addresses = (banned, same, other, proxy, neighbour, exempt)
    in_own_network(act, *(f"{ip}/128" for ip in ("2001:db8::1", *addresses)))


def is_cut(address: tuple[str, int], source: str) -> bool:
    """Whether the gateway accepts a connection from `source` only to end it unasked."""
    try:
        with Client(address, source=source) as client:
            return client.end(5) in ("closed", "reset")
    except ConnectionResetError:
        return True


def test_with_little_memory_the_most_important_are_dropped_and_the_others_cut(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    crowd = [f"127.1.{number}.1" for number in range(0, 250, 2)]

    def act() -> None:
        set_filter_memory(1500)
        running = gateway(config(upstream().address), workers=2)
        with table_of(running) as table:
            for weight, ip in enumerate(crowd):
                table.ban(ip, reason=RATE, weight=weight)
            table.ban(BANNED)
            assert until(lambda: table.bans.filter().state == FILTER_ON)
            assert 0 < table.bans.filter().addresses < len(crowd)
            for ip in (BANNED, crowd[-1]):
                assert fares(running.address, ip) == DROPPED
            assert is_cut(running.address, crowd[0])
            assert is_served(running.address, OTHER)
            said = running.said()
            assert said.count('"ban filter refused"') == said.count('"ban filter taken"') == 1

    in_own_network(act)


def test_where_the_kernel_takes_no_filter_workers_close_until_it_does(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    def act() -> None:
        set_filter_memory(100)
        running = gateway(config(upstream().address), workers=2)
        with table_of(running) as table:
            for ip in (BANNED, "127.0.0.7", "127.0.0.8"):
                table.ban(ip)
                assert table.seen() == FILTER_FAILED
                assert table.bans.filter().errno == errno.ENOMEM
                assert is_cut(running.address, ip)
            assert is_served(running.address, OTHER)
            assert running.said().count('"ban filter refused"') == 1
            assert "workers only" in running.command("bans").stdout
            set_filter_memory(131072)
            table.ban("127.0.0.9")
            assert table.seen() == FILTER_ON
            assert fares(running.address, BANNED) == DROPPED
            assert running.said().count('"ban filter taken"') == 1

    in_own_network(act)


def test_listeners_made_later_filter_too_and_if_they_cannot_it_is_known(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    up = upstream()

    def text(workers: int) -> str:
        return config(up.address, server=(f"workers = {workers}",))

    def act() -> None:
        running = gateway(text(1), workers=0)
        with table_of(running) as table:
            table.ban(BANNED)
            assert table.seen() == FILTER_ON
            running.reload(text(2))
            assert until(lambda: len(running.workers()) == 2)
            assert all(fares(running.address, BANNED) == DROPPED for _ in range(12))
            set_filter_memory(100)
            running.reload(text(4))
            assert until(lambda: table.bans.filter().state == FILTER_FAILED)
            assert running.said().count('"ban filter refused"') == 1
            assert until(lambda: len(running.workers()) == 4)
            assert all(is_cut(running.address, BANNED) for _ in range(12))
            assert "workers only" in running.command("bans").stdout

    in_own_network(act)


def test_as_many_as_the_table_holds_are_dropped_and_nobody_beside_them(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address), workers=2)
    with table_of(running) as table:
        crowd = [f"127.{2 + number // 200}.{number % 200}.1" for number in range(0, 900)]
        for ip in crowd:
            table.ban(ip)
        assert table.seen() == FILTER_ON
        running_now = {ban.key for ban in table.bans.running(time.monotonic_ns() // 1000)}
        assert table.bans.filter().addresses == len(running_now)
        for ip in crowd[::60]:
            if pack(ip) in running_now:
                assert fares(running.address, ip) == DROPPED
            assert fares(running.address, ip[:-1] + "2") == OPEN
        said = running.said()
        assert "more at once" in said
        assert said.count('"msg": "banned"') < len(crowd) / 4, "a burst is no burst of lines"


@pytest.mark.parametrize("action", ["close", "refuse"])
def test_other_actions_have_no_filter_and_commands_see_that_it_was_considered(
    gateway: StartGateway, upstream: StartUpstream, action: str
) -> None:
    limits = f'[limits.per_ip]\nrate = "100/s"\n[limits.ban]\naction = "{action}"\n'
    text = config(upstream().address, more=limits)
    running = gateway(text)
    with table_of(running) as table:
        table.ban(BANNED)
        assert table.seen() == FILTER_OFF
        assert fares(running.address, BANNED) == OPEN
        assert running.reload(text.replace(f'"{action}"', '"drop"')).returncode == 0
        assert until(lambda: fares(running.address, BANNED) == DROPPED)
