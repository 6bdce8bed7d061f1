"""Whether a session is resumed by whichever worker is met, before and after new certificates."""

from __future__ import annotations

import os
import signal
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from loadtests.compare.running import Running
from loadtests.tls import certificates, clients

TRIES = 40
TAKEN_WITHIN = 10.0
"""Seconds in which a new certificate must be seen; it takes one or two."""


@dataclass(frozen=True, slots=True)
class Resumed:
    version: str
    before: int
    after: int
    """Of TRIES each; `after` with the session from before."""
    renewed: bool
    """Whether a full handshake then showed the new certificate."""


def look(running: Running, room: Path, version: str) -> Resumed:
    """`room` holds the certificate of `running`, which gets a new one and a HUP."""
    made = clients.context(version)
    address = ("127.0.0.1", running.port)
    session = _session(made, address)
    before = sum(_resumes(made, address, session) for _ in range(TRIES))
    serial = certificates.write(room / "cert.pem", room / "key.pem")
    _hang_up(running.pid)
    deadline = time.monotonic() + TAKEN_WITHIN
    while not (renewed := _serial(made, address) == serial) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(0.5)  # the other workers
    after = sum(_resumes(made, address, session) for _ in range(TRIES))
    return Resumed(version, before, after, renewed)


def _hang_up(pid: int) -> None:
    os.kill(pid, signal.SIGHUP)


def _session(made: ssl.SSLContext, address: clients.Address) -> ssl.SSLSession:
    with clients.connect(made, address) as sock:
        sock.sendall(clients.CLOSE)
        clients.read_answer(sock)
        session = sock.session
    if session is None:
        raise RuntimeError("no session was given")
    return session


def _resumes(made: ssl.SSLContext, address: clients.Address, session: ssl.SSLSession) -> bool:
    with clients.connect(made, address, session) as sock:
        return bool(sock.session_reused)


def _serial(made: ssl.SSLContext, address: clients.Address) -> int:
    with clients.connect(made, address) as sock:
        found = sock.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number
