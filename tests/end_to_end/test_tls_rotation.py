"""New certificates under traffic: nobody is dropped, everybody new gets them, sessions resume."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from authority import Authority, Issued
from cryptography import x509
from rig.gateway import PATIENCE, Gateway, until
from rig.kinds import StartGateway

A, B = "a.test", "b.test"
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CONFIG = """
[server]
bind = [{bind}]
access_log = "off"
{tls}
[[routes]]
name = "hello"
path = "/*"
respond = {{ body = "hello" }}
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"
CONNECTIONS = 24
"""So many all land on one of two workers once in eight million times."""


class Site:
    """A gateway of two workers that serves two hosts."""

    def __init__(self, start: StartGateway, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority()
        self.issued = {name: self.issue(name) for name in (A, B)}
        self.start = start
        self.gateway: Gateway

    def run(self, bind: str = '"127.0.0.1:0"', *, tls: bool = True) -> Site:
        self.gateway = self.start(self.config(bind, tls=tls), workers=2)
        self.address = self.gateway.address
        return self

    def config(self, bind: str, *, tls: bool = True) -> str:
        lines = [self.issued[name].write(self.directory, name) for name in (A, B)]
        tables = f"[server.tls]\n{lines[0]}[[server.tls.certificates]]\n{lines[1]}" if tls else ""
        return CONFIG.format(bind=bind, tls=tables)

    def issue(self, name: str, kind: str = "ec") -> Issued:
        return self.authority.issue(name, kind=kind)

    def renew(self, *, kind: str = "ec") -> None:
        """Other certificates in the same files."""
        for name in (A, B):
            self.issued[name] = self.issue(name, kind)
            self.issued[name].write(self.directory, name)

    def client(self, newest: ssl.TLSVersion = TLS13) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(cadata=self.authority.pem.decode())
        made.maximum_version = newest
        return made

    def connect(
        self, client: ssl.SSLContext, name: str = A, session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        plain = socket.create_connection(self.address, PATIENCE)
        try:
            return client.wrap_socket(plain, server_hostname=name, session=session)
        except BaseException:
            plain.close()
            raise

    def session(self, client: ssl.SSLContext, name: str = A) -> ssl.SSLSession:
        """One to resume: it comes with the first answer."""
        with self.connect(client, name) as connection:
            ask(connection, name)
            found = connection.session
            assert found is not None
            return found

    def resumes_everywhere(
        self, client: ssl.SSLContext, session: ssl.SSLSession, name: str
    ) -> None:
        for _ in range(CONNECTIONS):
            with self.connect(client, name, session) as connection:
                assert connection.session_reused
                ask(connection, name)

    def served(self, name: str = A) -> int:
        """The serial number of the certificate that who comes now is shown."""
        with self.connect(self.client(), name) as connection:
            return serial(connection)

    def events(self, msg: str) -> list[dict[str, object]]:
        lines = [line for line in self.gateway.said().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["msg"] == msg]


def ask(connection: ssl.SSLSocket | socket.socket, name: str = A) -> None:
    connection.sendall(REQUEST % name.encode())
    with closing(http.client.HTTPResponse(connection)) as answer:  # type: ignore[arg-type]
        answer.begin()
        assert (answer.status, answer.read()) == (200, b"hello")


def serial(connection: ssl.SSLSocket) -> int:
    certificate = connection.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).serial_number


def serial_of(issued: Issued) -> int:
    return x509.load_pem_x509_certificate(issued.cert).serial_number


class Traffic:
    """Clients that ask without a pause: some on one connection, some on a new one each time."""

    def __init__(self, site: Site) -> None:
        self.failures: list[BaseException] = []
        self.kept = self.opened = 0
        self._site = site
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._keep, args=(name,)) for name in (A, B)]
        self._threads += [threading.Thread(target=self._open, args=(name,)) for name in (A, B)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Wait until everybody has been served some more."""
        kept, opened = self.kept, self.opened
        assert until(lambda: self.failures or (self.kept > kept + 20 and self.opened > opened + 5))

    def _keep(self, name: str) -> None:
        try:
            with self._site.connect(self._site.client(), name) as connection:
                while not self._over.wait(0.002):
                    ask(connection, name)
                    self.kept += 1
        except BaseException as failure:
            self.failures.append(failure)

    def _open(self, name: str) -> None:
        client = self._site.client()
        try:
            while not self._over.wait(0.005):
                with self._site.connect(client, name) as connection:
                    ask(connection, name)
                self.opened += 1
        except BaseException as failure:
            self.failures.append(failure)


@pytest.fixture
def site(gateway: StartGateway, tmp_path: Path) -> Iterator[Site]:
    return Site(gateway, tmp_path)


def by_reload(site: Site) -> None:
    assert site.gateway.reload().returncode == 0


def by_the_files_alone(site: Site) -> None:
    before = len(site.events("certificates renewed"))
    assert until(lambda: len(site.events("certificates renewed")) > before)


@pytest.mark.parametrize("newest", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_new_certificates_drop_nobody_and_sessions_resume_on_every_worker(
    site: Site, newest: ssl.TLSVersion
) -> None:
    site.run()
    workers = site.gateway.workers()
    client = site.client(newest)
    sessions = {name: site.session(client, name) for name in (A, B)}
    with site.connect(client) as idle, Traffic(site) as traffic:
        ask(idle)
        traffic.go_on()
        for way, kind in ((by_reload, "rsa"), (by_the_files_alone, "ec")):
            site.renew(kind=kind)
            way(site)
            assert [site.served(name) for name in (A, B)] == [
                serial_of(site.issued[name]) for name in (A, B)
            ]
            traffic.go_on()
        ask(idle)
    assert traffic.failures == []
    for name in (A, B):
        site.resumes_everywhere(client, sessions[name], name)
        fresh = site.client(newest)
        site.resumes_everywhere(fresh, site.session(fresh, name), name)
    assert site.gateway.workers() == workers


def test_a_key_that_has_not_followed_yet_changes_nothing(site: Site) -> None:
    site.run()
    before = site.served()
    new = site.issue(A)
    (site.directory / f"{A}.pem").write_bytes(new.cert)
    assert until(lambda: site.events("certificates not renewed"))
    assert site.served() == before
    (site.directory / f"{A}.key").write_bytes(new.key)
    assert until(lambda: site.served() == serial_of(new))


def test_a_worker_that_is_followed_by_another_leaves_its_sessions_to_it(site: Site) -> None:
    site.run()
    site.renew()
    by_the_files_alone(site)
    client = site.client()
    session = site.session(client)
    before = site.gateway.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: len(site.gateway.workers()) == 2)
    assert not set(before) & set(site.gateway.workers())
    site.resumes_everywhere(client, session, A)
    assert site.served() == serial_of(site.issued[A])


def test_tls_comes_to_a_living_listener_and_goes_again(site: Site) -> None:
    site.run(tls=False)
    bind = f'"{site.address[0]}:0"'
    with socket.create_connection(site.address, PATIENCE) as plain:
        ask(plain)
        assert site.gateway.reload(site.config(bind)).returncode == 0
        ask(plain)  # what began without it goes on without it
        client = site.client()
        site.resumes_everywhere(client, site.session(client), A)
        with site.connect(client) as kept:
            assert site.gateway.reload(site.config(bind, tls=False)).returncode == 0
            ask(kept)
            ask(plain)
            with socket.create_connection(site.address, PATIENCE) as another:
                ask(another)


def test_another_authority_of_clients_is_asked_from_the_next_handshake_on(site: Site) -> None:
    old, new = Authority("the old one"), Authority("the new one")
    (site.directory / "ca.pem").write_bytes(old.pem)
    text = site.config('{ address = "127.0.0.1:0", client_auth = "required" }').replace(
        "[server.tls]", f'[server.tls]\nclient_ca = "{site.directory}/ca.pem"'
    )
    site.gateway = site.start(text, workers=2)
    site.address = site.gateway.address

    def shown(authority: Authority) -> ssl.SSLContext:
        client = site.client()
        authority.client().write(site.directory, "client")
        client.load_cert_chain(site.directory / "client.pem", site.directory / "client.key")
        return client

    with site.connect(shown(old)) as connection:
        ask(connection)
    (site.directory / "ca.pem").write_bytes(new.pem)
    by_the_files_alone(site)
    with site.connect(shown(new)) as connection:
        ask(connection)
    with (
        pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)),
        site.connect(shown(old)) as connection,
    ):
        ask(connection)
