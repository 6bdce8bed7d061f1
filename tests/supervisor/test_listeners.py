"""Listening sockets: groups, port 0, and a second gwd that is refused."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from gwd.config.snapshot import Bind
from gwd.controller.packet_filter import compile_filter
from gwd.supervisor.listeners import BindError, Listeners

LOOPBACK = Bind("127.0.0.1", 0)


@pytest.fixture
def opened():
    """Makes Listeners and closes them at the end."""
    made: list[Listeners] = []

    def make(*binds: Bind, slots: int = 2) -> Listeners:
        made.append(Listeners(binds, slots))
        return made[-1]

    yield make
    for listeners in made:
        listeners.close()


def port(listeners: Listeners) -> int:
    return int(listeners.addresses[0].rpartition(":")[2])


def test_every_slot_has_its_socket_on_one_port(opened):
    listeners = opened(LOOPBACK, slots=3)
    numbers = {listeners.of(slot)[0].getsockname()[1] for slot in range(3)}
    assert numbers == {port(listeners)}
    assert len({listeners.of(slot)[0].fileno() for slot in range(3)}) == 3


def test_the_group_shares_the_clients(opened):
    listeners = opened(LOOPBACK, slots=2)
    clients = [socket.create_connection(("127.0.0.1", port(listeners))) for _ in range(60)]
    accepted = []
    for slot in range(2):
        while True:
            try:
                accepted.append((slot, listeners.of(slot)[0].accept()[0]))
            except BlockingIOError:
                break
    assert len(accepted) == 60
    assert {slot for slot, _ in accepted} == {0, 1}
    for sock in (*clients, *(sock for _, sock in accepted)):
        sock.close()


def test_a_port_that_is_listened_on_is_refused_by_its_number(opened):
    first = opened(LOOPBACK)
    with pytest.raises(BindError, match=f"port {port(first)} is in use") as caught:
        opened(Bind("127.0.0.1", port(first)))
    assert caught.value.temporary


def test_the_owner_of_a_busy_port_is_named(opened):
    first = opened(LOOPBACK)
    with pytest.raises(BindError, match=rf"in use by .+ \(process {os.getpid()}\)"):
        opened(Bind("127.0.0.1", port(first)))


def test_a_wildcard_over_a_port_that_is_listened_on_is_refused(opened):
    first = opened(LOOPBACK)
    with pytest.raises(BindError, match="in use"):
        opened(Bind("0.0.0.0", port(first)))


def test_everything_or_nothing_is_bound(opened):
    taken = opened(LOOPBACK)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with pytest.raises(BindError):
        opened(Bind("127.0.0.1", free), Bind("127.0.0.1", port(taken)))
    opened(Bind("127.0.0.1", free))


def test_two_addresses_come_in_the_order_of_the_config(opened):
    listeners = opened(LOOPBACK, Bind("127.0.0.2", 0))
    assert [s.getsockname()[0] for s in listeners.of(1)] == ["127.0.0.1", "127.0.0.2"]


def test_ipv6_addresses_are_written_in_brackets(opened):
    try:
        listeners = opened(Bind("::1", 0))
    except BindError:
        pytest.skip("no IPv6 on this machine")
    assert listeners.addresses == [f"[::1]:{listeners.of(0)[0].getsockname()[1]}"]


def test_any_ipv6_leaves_ipv4_to_an_address_of_its_own(opened):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    try:
        listeners = opened(Bind("0.0.0.0", free), Bind("::", free), slots=1)
    except BindError:
        pytest.skip("no IPv6 on this machine")
    with socket.create_connection(("127.0.0.1", free)):
        accepted, _ = listeners.of(0)[0].accept()
        accepted.close()


def test_an_address_of_another_machine_is_refused(opened):
    with pytest.raises(BindError, match="no such address") as caught:
        opened(Bind("192.0.2.1", 0))
    assert caught.value.temporary


def test_a_host_name_is_resolved(opened):
    assert opened(Bind("localhost", 0)).addresses[0].startswith(("127.0.0.1:", "[::1]:"))


def test_a_name_that_does_not_resolve_is_one_clear_line(opened):
    with pytest.raises(BindError, match="does not resolve"):
        opened(Bind("no-such-host.invalid", 80))


def test_growing_keeps_the_port_and_the_old_sockets(opened):
    listeners = opened(LOOPBACK, slots=1)
    before = listeners.of(0)
    listeners.grow(3)
    assert listeners.of(0) == before
    assert listeners.of(2)[0].getsockname()[1] == port(listeners)


def test_listening_starts_no_thread(opened):
    before = threading.active_count()
    opened(LOOPBACK)
    assert threading.active_count() == before


def drops(ip: str) -> bytes:
    return compile_filter([(socket.inet_aton(ip), 32)]).program


def connects(listeners: Listeners, source: str) -> bool:
    with socket.socket() as sock:
        sock.bind((source, 0))
        sock.settimeout(0.1)  # on loopback the answer is there before connect(2) returns
        try:
            sock.connect(("127.0.0.1", port(listeners)))
        except TimeoutError:
            return False
    return True


def test_a_filter_is_on_all_sockets_until_it_is_taken_off(opened):
    listeners = opened(LOOPBACK, slots=1)
    listeners.filter(drops("127.0.0.5"))
    listeners.grow(3)
    listeners.filter(drops("127.0.0.5"))
    assert not any(connects(listeners, "127.0.0.5") for _ in range(12))
    assert all(connects(listeners, "127.0.0.6") for _ in range(12))
    listeners.filter(drops("127.0.0.6"))
    assert all(connects(listeners, "127.0.0.5") for _ in range(12))
    assert not any(connects(listeners, "127.0.0.6") for _ in range(12))
    listeners.filter(b"")
    listeners.grow(4)
    assert all(connects(listeners, "127.0.0.6") for _ in range(12))


def test_a_filter_that_the_kernel_refuses_leaves_none_and_the_next_one_is_tried(opened):
    listeners = opened(LOOPBACK, slots=2)
    listeners.filter(drops("127.0.0.5"))
    with pytest.raises(OSError, match="Invalid argument"):
        listeners.filter(bytes(8 * 5000))
    assert all(connects(listeners, "127.0.0.5") for _ in range(8))
    listeners.grow(3)
    listeners.filter(drops("127.0.0.5"))
    assert not any(connects(listeners, "127.0.0.5") for _ in range(8))
