"""A client's connection over TLS: what it has that a plain one has not.

Strategy. It differs where TLS does and nowhere else, so plain connections pay nothing for it:

- At its opening, after the handshake, it learns the name its client asked for, the version, and
  what upstreams are told of a verified certificate.
- Its answers carry Strict-Transport-Security in place of the service's own (RFC 6797 §7.1).
- TLS has no half-close that a client's answer could follow: its end is told by close_notify, and
  what still comes is read and dropped until the client's own comes. That is the lingering of a
  plain connection, done by the transport. How long it takes is watched here: as long as the client
  takes what was written before, as fast as any other must; then `SHUTDOWN_SECONDS`. The transport
  itself would give both together a fixed time, and cut the answers of slow readers.
- Its transport keeps encrypted bytes on both sides of what it tells; they count on the budget.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from copy import copy
from typing import TYPE_CHECKING, Protocol, cast

from gwd.policies.certificate import certificate_lines
from gwd.process.heap import HANDSHAKE
from gwd.tls.contexts import SERVER_NAME
from gwd.upstream.connection import WRITE_HIGH, WRITE_LOW
from gwd.worker.client import ClientConnection
from gwd.worker.connection import BUSY, CLOSING
from gwd.worker.outflow import Outflow, unsent

if TYPE_CHECKING:
    from gwd.http.head import ResponseHead
    from gwd.worker.opening import Opening
    from gwd.worker.tables import Tables

SHUTDOWN_SECONDS = 2.0
"""For the client's close_notify after ours."""
ALL_TAKEN = 0.25
"""Seconds between two looks whether the client has taken all that was written before its end."""
NO_LIMIT = 7 * 86400.0
"""What the transport is told of it: it is never the one to give up."""
_STRICT = "strict-transport-security"
_STRICT_LINE = re.compile(rb"^strict-transport-security:[^\r]*\r\n", re.IGNORECASE | re.MULTILINE)


class SecureConnection(ClientConnection):
    """The app protocol of a TLS transport, so its connection is made when the handshake is."""

    __slots__ = ("_opening", "_strict", "_strict_from", "certified", "log_part", "server_name")

    scheme = "https"

    def __init__(self, opening: Opening) -> None:
        visitor, peer = opening.who()
        super().__init__(opening.worker, visitor, opening.worker.journey, remote=peer)
        self._opening: Opening | None = opening
        self._strict: ResponseHead | None = None
        self._strict_from: ResponseHead | None = None
        """The last answer's head as it came, and as `_strict` goes out."""
        self.server_name: str | None = None
        self.log_part = ""
        self.certified = b""

    # its opening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        opening, self._opening = self._opening, None
        assert opening is not None
        opening.succeeded()
        opening.hand_over(self)
        tls = cast(ssl.SSLObject, transport.get_extra_info("ssl_object"))
        name: str | None = getattr(tls, SERVER_NAME, None)
        if name:
            self.server_name = name.removesuffix(".")
            self.journey = self._worker.named_journey
        self.log_part = f',"tls":"{tls.version()}"'
        self._certify(self._worker.tables, tls)
        # Encrypted bytes that nobody reads for now: by default it takes 256 KiB of them.
        cast(_Encrypting, transport).set_read_buffer_limits(WRITE_HIGH, WRITE_LOW)
        super().connection_made(transport)

    def retable(self, tables: Tables) -> None:
        super().retable(tables)
        if self._transport is not None:
            self._certify(tables, self._transport.get_extra_info("ssl_object"))

    def _certify(self, tables: Tables, tls: ssl.SSLObject | None) -> None:
        """Have ready what upstreams are told. A certificate that was not verified is none: then
        the handshake failed, or the client has shown none."""
        self.certified = b""
        if tables.client_fields and tls is not None and tls.context.verify_mode != ssl.CERT_NONE:
            self.certified = certificate_lines(
                tables.client_fields, tls.getpeercert(), tls.getpeercert(binary_form=True)
            )

    # its answers

    def answer(self, head: ResponseHead, data: bytes, last: bool) -> None:
        line = self.tables.strict_transport
        super().answer(self._with_strict(head, line) if line else head, data, last)

    def _with_strict(self, head: ResponseHead, line: bytes) -> ResponseHead:
        made = self._strict
        if made is None or self._strict_from is not head or not made.lines.endswith(line):
            made = copy(head)
            made.opening = b""
            made.lines = _STRICT_LINE.sub(b"", head.lines) + line
            self._strict, self._strict_from = made, head
        return made

    def respond(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        if self.tables.strict_transport:
            headers = tuple(pair for pair in headers if pair[0].lower() != _STRICT)
        super().respond(status, headers, body)

    def _reply(self, status: int, wire: bytes, reason: str) -> None:
        line = self.tables.strict_transport
        if line:
            start = wire.index(b"\r\n") + 2
            wire = b"".join((wire[:start], line, wire[start:]))
        super()._reply(status, wire, reason)

    # its end

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._worker.heap.freed += HANDSHAKE

    def eof_received(self) -> bool:
        """The client's close_notify: nothing that is written from now on goes out."""
        if self._state == BUSY:
            self._abandon("client_gone")
        if self._state != CLOSING:  # else it is the answer to ours
            self._close()
        return False

    def _end_politely(self, *, last: bool) -> None:
        super()._end_politely(last=True)  # the transport lingers

    def _watch(self) -> None:
        if self._state != CLOSING:
            super()._watch()
            return
        clock, transport = self._worker.clock, self._transport
        assert transport is not None
        left = unsent(transport)
        if left and self._outflow is None:
            self._outflow = Outflow(clock.now, left)
        look_in = SHUTDOWN_SECONDS if self._outflow is None else ALL_TAKEN
        clock.arm(self, clock.now + look_in)

    def _look_at_reader(self, outflow: Outflow) -> None:
        assert self._transport is not None
        if self._state == CLOSING and not unsent(self._transport):
            # All is taken, our close_notify too: without an answer to it, this was the last look.
            self._outflow = None
            self._worker.clock.arm(self, self._worker.clock.now + SHUTDOWN_SECONDS)
        else:
            super()._look_at_reader(outflow)

    # what it holds

    def buffered(self) -> int:
        size = super().buffered()
        transport = self._transport
        if transport is not None:
            size += cast(_Encrypting, transport).get_read_buffer_size()
            if transport.get_write_buffer_size():
                size += WRITE_HIGH  # the socket's own buffer is full, or this would lie there
        return size


class _Encrypting(Protocol):
    """What uvloop's TLS transports have besides."""

    def get_read_buffer_size(self) -> int: ...

    def set_read_buffer_limits(self, high: int, low: int) -> None: ...
