"""Clients that speak TLS: each a function for a process of its own, bounded in time or number."""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter

from loadtests.attacks.crowd import Crowd, loiter
from loadtests.limits.flooders import RESET
from loadtests.tls.certificates import NAME

PATIENCE = 10.0
CLOSE = f"GET /hello HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()
KEEP = f"GET /16k HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of a record that announces a ClientHello of 512 bytes."""

Address = tuple[str, int]


def context(version: str) -> ssl.SSLContext:
    """A client that speaks exactly `version` and believes everybody: there is nobody else."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = made.maximum_version = VERSIONS[version]
    return made


def connect(
    made: ssl.SSLContext, address: Address, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    sock = socket.create_connection(address, PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        return made.wrap_socket(sock, server_hostname=NAME, session=session)
    except BaseException:
        sock.close()
        raise


def read_answer(sock: ssl.SSLSocket) -> bytes:
    """One answer with a Content-Length, whole."""
    data = b""
    while True:
        more = sock.recv(65536)
        if not more:
            raise ConnectionError(f"it ended after {data[:60]!r}")
        data += more
        head, found, body = data.partition(b"\r\n\r\n")
        if found:
            _, has, rest = head.lower().partition(b"\r\ncontent-length:")
            if has and len(body) >= int(rest.partition(b"\r\n")[0]):
                return data


def shake(address: Address, version: str, resume: bool, seconds: float) -> Counter[str]:
    """One connection with one request after the other: "done", and how many were "resumed"."""
    told: Counter[str] = Counter()
    made = context(version)
    session: ssl.SSLSession | None = None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with connect(made, address, session) as sock:
            told["resumed"] += bool(sock.session_reused)
            sock.sendall(CLOSE)
            read_answer(sock)
            if resume:
                session = sock.session  # of 1.3 it comes behind the handshake
            # The client ends it, at once: nothing is left in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        told["done"] += 1
    return told


def half_open(address: Address, count: int, seconds: float) -> Counter[str]:
    """Connections that begin a handshake and never go on; those that are ended come back."""
    return loiter(address, Crowd(count, HELLO), seconds)
