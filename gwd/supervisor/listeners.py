"""The listening sockets: one per worker slot and address, made here and kept to the end.

All sockets of one address form an SO_REUSEPORT group, over which the kernel spreads clients. As
they belong to the supervisor, a worker that dies takes nothing along: its successor accepts what
waited in the same queue. None of a living address is ever closed before the gateway stops,
because closing one resets the clients that wait in it.

SO_REUSEPORT would also let a second gwd of the same user join silently and take half of the
clients. So every address is first bound once without it, which fails if anybody listens there.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from gwd.config.snapshot import Bind
from gwd.process.socket_filter import attach, detach
from gwd.supervisor.portowner import port_owner

BACKLOG = 4096
"""Asked for; the kernel cuts it to net.core.somaxconn."""
_TEMPORARY = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)


class BindError(Exception):
    """An address cannot be bound; `temporary` if trying again later may help."""

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


class Listeners:
    """The sockets of all slots. `addresses` are the bound ones, real port numbers in place of 0."""

    def __init__(self, binds: Sequence[Bind], slots: int) -> None:
        """Bind everything or nothing. Raises BindError."""
        self._targets = [_resolve(bind, binds) for bind in binds]
        self._slots: list[tuple[socket.socket, ...]] = []
        self._program = b""
        self._uniform = True
        """Whether all sockets have that program."""
        for target in self._targets:
            target.probe()
        try:
            self.grow(slots)
        except BindError:
            self.close()
            raise

    @property
    def addresses(self) -> list[str]:
        """ "127.0.0.1:8080", "[::1]:8080", in the order of `server.bind`."""
        return [target.text for target in self._targets]

    def grow(self, slots: int) -> None:
        """Have sockets for at least `slots` slots; all new ones or, at a BindError, none.

        The new ones have no filter before the next call of `filter`.
        """
        added: list[tuple[socket.socket, ...]] = []
        row: list[socket.socket] = []
        try:
            for _ in range(slots - len(self._slots)):
                row = []
                for target in self._targets:
                    row.append(target.listen())
                added.append(tuple(row))
        except BindError:
            for sock in (*row, *(s for r in added for s in r)):
                sock.close()
            raise
        self._slots += added
        if added and self._program:
            self._uniform = False

    def filter(self, program: bytes) -> None:
        """Have `program` judge the packets of all sockets that there are; b"" for none.

        Raises OSError if the kernel does not take it; then none of them has a filter.
        """
        if program == self._program and self._uniform:
            return
        self._program, self._uniform = program, True
        sockets = [sock for row in self._slots for sock in row]
        try:
            for sock in sockets if program else ():
                attach(sock, program)
        except OSError:
            self._program = b""
            raise
        finally:
            if not self._program:
                for sock in sockets:
                    detach(sock)

    def __len__(self) -> int:
        """How many slots have sockets."""
        return len(self._slots)

    def of(self, slot: int) -> tuple[socket.socket, ...]:
        """The sockets of one slot, one per address."""
        return self._slots[slot]

    def close(self) -> None:
        """Close all: from now on they live only where children have them open."""
        for row in self._slots:
            for sock in row:
                sock.close()
        self._slots.clear()


class _Target:
    """One address of `server.bind`, resolved."""

    def __init__(self, family: int, address: tuple[str, int], only_v6: bool) -> None:
        self.family = family
        self.address = address
        self.only_v6 = only_v6

    @property
    def text(self) -> str:
        host, port = self.address
        return f"[{host}]:{port}" if self.family == socket.AF_INET6 else f"{host}:{port}"

    def probe(self) -> None:
        if self.address[1] != 0:
            self._bound(shared=False).close()

    def listen(self) -> socket.socket:
        sock = self._bound(shared=True)
        try:
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            raise self._error(error) from None
        # Port 0: the first socket took what was free, the group follows it.
        self.address = (self.address[0], sock.getsockname()[1])
        return sock

    def _bound(self, *, shared: bool) -> socket.socket:
        try:
            sock = socket.socket(self.family, socket.SOCK_STREAM)
        except OSError as error:
            raise self._error(error) from None
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.only_v6)
            sock.bind(self.address)
        except OSError as error:
            sock.close()
            raise self._error(error) from None
        return sock

    def _error(self, error: OSError) -> BindError:
        code = error.errno or 0
        if code == errno.EADDRINUSE:
            why = f"port {self.address[1]} is in use by {port_owner(self.address[1])}"
        elif code == errno.EADDRNOTAVAIL:
            why = "this machine has no such address"
        elif code == errno.EACCES:
            why = (
                f"permission denied for port {self.address[1]}; "
                "ports below 1024 need CAP_NET_BIND_SERVICE"
            )
        else:
            why = os.strerror(code)
        return BindError(f"cannot listen on {self.text}: {why}", temporary=code in _TEMPORARY)


def _resolve(bind: Bind, binds: Sequence[Bind]) -> _Target:
    try:
        found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BindError(
            f"cannot listen on {bind.host}:{bind.port}: the host name does not resolve "
            f"({error.strerror})",
            temporary=True,
        ) from None
    family, _type, _proto, _name, address = found[0]
    # "[::]" takes IPv4 clients too, unless "0.0.0.0" with the same port wants them itself.
    only_v6 = any(b.host == "0.0.0.0" and b.port == bind.port for b in binds)
    return _Target(family, (str(address[0]), bind.port), only_v6)
