"""Loopback ports for the demo: which are free, who has the one that is not.

A service's port belongs to the demo from start to end, also while nobody listens on it because the
instance was killed: a bound socket that never listens keeps others from it, while clients are
refused, as they are by a service that is down. It lets nobody share its address but for the moment
in which our own listener is made.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

HOST = "127.0.0.1"
FIRST_SERVICE = 9101
FIRST_GATEWAY = 8080
ROW = 100
"""Ports in a row that are looked at before any free one is taken."""


class Reservation:
    """A port that is ours until `close`, with a listener for it as often as one is needed."""

    def __init__(self, port: int) -> None:
        """Take `port`, 0 for any. Raises OSError if somebody listens there."""
        self._holder = _bound(port)
        _share(self._holder, False)
        self.port: int = self._holder.getsockname()[1]
        try:
            self.first: socket.socket = self.listener()
        except BaseException:
            self._holder.close()
            raise

    def listener(self) -> socket.socket:
        """A listening socket on the port. Raises OSError if somebody else is listening."""
        _share(self._holder, True)
        try:
            listener = _bound(self.port)
            try:
                listener.listen(1024)
                listener.setblocking(False)
            except BaseException:
                listener.close()
                raise
        finally:
            _share(self._holder, False)
        return listener

    def close(self) -> None:
        self._holder.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without it, connections of an earlier demo that are still winding up keep us out.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _share(holder: socket.socket, on: bool) -> None:
    """Whether others may bind and listen beside `holder`, which does not listen itself."""
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, on)


def reserve(count: int, first: int = FIRST_SERVICE) -> list[Reservation]:
    """Reserve `count` ports, from `first` upwards, else any. Raises OSError."""
    taken: list[Reservation] = []
    try:
        for port in _candidates(first, count):
            if len(taken) == count:
                break
            try:
                taken.append(Reservation(port))
            except OSError as error:
                if port == 0 or error.errno != errno.EADDRINUSE:
                    raise
    except BaseException:
        for reservation in taken:
            reservation.first.close()
            reservation.close()
        raise
    return taken


def _candidates(first: int, count: int) -> Iterable[int]:
    yield from range(first, first + ROW)
    for _ in range(count):
        yield 0


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    try:
        with _bound(port) as probe:
            probe.listen(1)
    except OSError:
        return False
    return True


def any_free() -> int:
    """A port that is free now, as the kernel chooses."""
    with _bound(0) as probe:
        return int(probe.getsockname()[1])


def gateway_port() -> int:
    """A free port for the gateway: the first from 8080 upwards, else any."""
    for port in range(FIRST_GATEWAY, FIRST_GATEWAY + ROW):
        if is_free(port):
            return port
    return any_free()


def owner(port: int) -> str:
    """Who listens on `port`, as far as we may know: "nginx (process 812)"."""
    import psutil  # type: ignore[import-untyped]

    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        connections = []
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            if connection.pid is None:
                break
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.Error:
                break
    return "another program"
