"""Listeners with TLS in forked processes, as workers are, and clients to try them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authority import Authority, Issued

from gwd.config.load import load
from gwd.config.snapshot import Snapshot, pack, unpack
from gwd.tls.contexts import SERVER_NAME, ListenerContexts, hide_odd_names

PATIENCE = 20.0
ROUTE = '[[routes]]\nname = "r"\npath = "/*"\nrespond = { body = "x" }\n'


@dataclass
class Served:
    """Certificates in a directory, and configs that name them."""

    directory: Path
    authority: Authority = field(default_factory=Authority)

    def snapshot(
        self,
        *certificates: Issued,
        client_auth: str = "none",
        client_ca: bytes = b"",
        min_version: str = "1.2",
    ) -> Snapshot:
        """A config with `certificates`, the first as default; none for one without TLS."""
        text = f'[server]\nbind = [{{ address = "127.0.0.1:0", client_auth = "{client_auth}" }}]\n'
        for number, issued in enumerate(certificates):
            table = "[[server.tls.certificates]]" if number else "[server.tls]"
            text += f"{table}\n{issued.write(self.directory, f'c{number}')}"
            if not number:
                text += f'min_version = "{min_version}"\n'
                if client_ca:
                    (self.directory / "ca.pem").write_bytes(client_ca)
                    text += f'client_ca = "{self.directory}/ca.pem"\n'
        file = self.directory / "gwd.toml"
        file.write_text(text + ROUTE)
        return load(str(file), {}).snapshot


class Workers:
    """Processes forked from one that has made `contexts`; each accepts from a socket of its own.

    A worker tells each client, as JSON, what it knows of the handshake.
    """

    def __init__(self, contexts: ListenerContexts, snapshot: Snapshot, count: int) -> None:
        self.ports: list[int] = []
        self._pids: list[int] = []
        self._channels: list[socket.socket] = []
        for _ in range(count):
            listener = socket.create_server(("127.0.0.1", 0))
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            pid = os.fork()
            if pid == 0:
                ours.close()
                with contextlib.suppress(BaseException):
                    _serve(contexts, snapshot, listener, theirs)
                os._exit(0)
            theirs.close()
            self.ports.append(listener.getsockname()[1])
            listener.close()
            self._pids.append(pid)
            self._channels.append(ours)

    def renew(self, snapshot: Snapshot) -> list[str]:
        """Have every worker take `snapshot`; what each says, "" if it did."""
        fd = os.memfd_create("snapshot")
        os.write(fd, pack(snapshot))
        for channel in self._channels:
            socket.send_fds(channel, [b"renew"], [fd])
        os.close(fd)
        said = []
        for channel in self._channels:
            channel.settimeout(PATIENCE)
            said.append(channel.recv(4096).decode().removeprefix("done"))
        return said

    def stop(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for channel in self._channels:
            channel.close()


def _serve(
    contexts: ListenerContexts,
    snapshot: Snapshot,
    listener: socket.socket,
    channel: socket.socket,
) -> None:
    hide_odd_names()
    listener.settimeout(PATIENCE)
    while True:
        ready, _, _ = select.select([listener, channel], [], [])
        if channel in ready:
            word, fds, _, _ = socket.recv_fds(channel, 100, 1)
            if not word:
                return
            snapshot = unpack(os.pread(fds[0], os.fstat(fds[0]).st_size, 0))
            os.close(fds[0])
            try:
                contexts.renew(snapshot)
                channel.send(b"done")
            except ValueError as error:
                channel.send(str(error).encode())
            continue
        client, _ = listener.accept()
        with contextlib.suppress(OSError), client:
            _answer(contexts.of(snapshot.server.bind[0]), client)


def _answer(context: ssl.SSLContext | None, client: socket.socket) -> None:
    assert context is not None
    client.settimeout(PATIENCE)
    # As uvloop and asyncio do it: an SSLObject over two buffers.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_side=True)

    def pump(step: Callable[[], Any]) -> None:
        while True:
            try:
                step()
                client.sendall(outgoing.read())
                return
            except ssl.SSLWantReadError:
                client.sendall(outgoing.read())
                data = client.recv(65536)
                if not data:
                    raise OSError("the client left") from None
                incoming.write(data)
            except ssl.SSLError:
                client.sendall(outgoing.read())
                raise

    pump(connection.do_handshake)
    told = {
        "name": getattr(connection, SERVER_NAME),
        "resumed": connection.session_reused,
        "version": connection.version(),
        "cipher": (connection.cipher() or ("",))[0],
        "alpn": connection.selected_alpn_protocol(),
        "client": connection.getpeercert() is not None and connection.getpeercert() != {},
        "pid": os.getpid(),
    }
    pump(lambda: connection.write(json.dumps(told).encode() + b"\n"))
    pump(lambda: connection.read(1))  # until it closes: it must have read its tickets


@dataclass
class Client:
    """A client that trusts `ca`."""

    ca: bytes
    alpn: tuple[str, ...] = ("http/1.1",)
    newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    certificate: Issued | None = None
    directory: Path | None = None

    def __post_init__(self) -> None:
        context = self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca.decode())
        context.check_hostname = False
        context.minimum_version, context.maximum_version = self.oldest, self.newest
        if self.alpn:
            context.set_alpn_protocols(self.alpn)
        if self.certificate is not None:
            assert self.directory is not None
            self.certificate.write(self.directory, "client")
            context.load_cert_chain(self.directory / "client.pem", self.directory / "client.key")

    def ask(
        self, port: int, name: str | None = None, session: ssl.SSLSession | None = None
    ) -> tuple[dict[str, Any], set[str], ssl.SSLSession | None]:
        """What the worker told, the names of its certificate, the session."""
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
            self.context.wrap_socket(plain, server_hostname=name, session=session) as tls,
        ):
            line = tls.makefile("rb").readline()
            if not line:
                raise ConnectionResetError("nothing was said")
            names = {name for _, name in (tls.getpeercert() or {}).get("subjectAltName", ())}
            return json.loads(line), names, tls.session
