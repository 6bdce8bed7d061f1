"""A gateway with TLS, the authority that its clients believe, and connections to it."""

from __future__ import annotations

import ssl
from pathlib import Path

from authority import Authority, Issued
from rig.client import Client, request
from rig.configs import config
from rig.gateway import Gateway
from rig.kinds import Outside, StartGateway
from rig.tls import SecureClient, context

A, B = "a.example", "b.example"
HELLO = b"\x16\x03\x01"
"""A handshake that has begun."""


class Site:
    """A gateway with TLS for two hosts, and an authority that its clients believe."""

    def __init__(self, start: StartGateway, directory: Path, outside: Outside) -> None:
        self._start, self._directory, self._outside = start, directory, outside
        self.authority = Authority()
        self.running: Gateway

    def start(
        self,
        *endpoints: str,
        bind: tuple[str, ...] = ("tls = true",),
        server: tuple[str, ...] = (),
        tls: str = "",
        more: str = "",
        workers: int = 1,
        routes: str | None = None,
        environ: dict[str, str] | None = None,
    ) -> Gateway:
        """One item of `bind` per listener; `tls`: lines of `[server.tls]`."""
        first = self.authority.issue(A).write(self._directory, "a")
        second = self.authority.issue(B, "*.wild.example").write(self._directory, "b")
        items = ", ".join(f'{{ address = "127.0.0.1:0", {item} }}' for item in bind)
        tables = f"[server.tls]\n{first}{tls}\n[[server.tls.certificates]]\n{second}\n{more}"
        text = config(
            *endpoints,
            server=(f"bind = [{items}]", *server),
            more=tables,
            **({} if routes is None else {"routes": routes}),
        )
        self.running = self._start(text, workers=workers, environ=environ)
        return self.running

    def address(self, listener: int = 0) -> tuple[str, int]:
        host, _, port = self.running.addresses[listener].rpartition(":")
        return host, int(port)

    def connect(
        self,
        name: str | None = A,
        *,
        shown: Issued | None = None,
        check: bool = True,
        before: bytes = b"",
        source: str | None = None,
        listener: int = 0,
        tls: ssl.SSLContext | None = None,
        small_window: bool = False,
    ) -> SecureClient:
        paths: tuple[str, str] | None = None
        if shown is not None:
            shown.write(self._directory, "client")
            paths = str(self._directory / "client.pem"), str(self._directory / "client.key")
        made = tls or context(self.authority.pem, paths, check=check and name is not None)
        client = SecureClient(
            self.address(listener),
            made,
            name,
            before=before,
            source=source,
            small_window=small_window,
        )
        self._outside.append(client)
        return client

    def plain(self, *, source: str | None = None, listener: int = 0) -> Client:
        client = Client(self.address(listener), source=source)
        self._outside.append(client)
        return client

    def shuts_out(self, source: str | None = None, before: bytes = b"", listener: int = 0) -> bool:
        """Whether a client that begins its handshake is gone long before its time is over."""
        try:
            client = self.plain(source=source, listener=listener)
            client.send(before + HELLO)
            return client.end(2) != "open" and not client.buffer
        except ConnectionResetError:  # the connect itself, if that quickly
            return True

    def refuses(self, **connect: object) -> bool:
        """Whether there is no handshake to be had."""
        try:
            client = self.connect(**connect)  # type: ignore[arg-type]
            client.send(request("/x", host=A))  # TLS 1.3 tells a client's fate after its last word
            return not client._more()
        except (OSError, ssl.SSLError):
            return True
