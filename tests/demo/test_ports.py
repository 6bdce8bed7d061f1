from __future__ import annotations

import errno
import os
import socket

import pytest

from gwd.demo import ports


def test_a_reserved_port_refuses_clients_while_nobody_listens():
    place = ports.Reservation(0)
    place.first.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", place.port), timeout=20)
    with place.listener(), socket.create_connection(("127.0.0.1", place.port), timeout=20):
        pass
    place.close()


def test_a_reserved_port_is_not_given_to_anybody_else():
    place = ports.Reservation(0)
    place.first.close()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", place.port))
    place.close()


def test_a_port_where_somebody_listens_is_passed_over():
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(OSError, match="in use") as refused:
            ports.Reservation(taken)
        assert refused.value.errno == errno.EADDRINUSE
        assert not ports.is_free(taken)
        places = ports.reserve(3, first=taken)
    numbers = [place.port for place in places]
    assert len(set(numbers)) == 3
    assert taken not in numbers
    for place in places:
        place.first.close()
        place.close()


def test_two_demos_at_once_reserve_different_ports():
    one = ports.reserve(4, first=19200)
    for place in one:
        assert not ports.is_free(place.port)
    two = ports.reserve(4, first=19200)
    assert not {p.port for p in one} & {p.port for p in two}
    for place in (*one, *two):
        place.first.close()
        place.close()


def test_the_owner_of_a_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as ours:
        assert ports.owner(ours.getsockname()[1]).endswith(f"(process {os.getpid()})")
    assert ports.owner(1) == "another program"


def test_the_gateways_port_is_free():
    assert ports.is_free(ports.gateway_port())
    assert ports.is_free(ports.any_free())
