"""The attacks: who does what to which gateway. All are bounded in number and time.

Where a limit per address changes the outcome, an attack stands here twice, without and with it.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

from loadtests.attacks.crowd import Crowd, loiter, sources
from loadtests.attacks.measure import Attack
from loadtests.limits import flooders
from loadtests.tls import clients

BAD = "127.66.0.1"
PEERS = 20_000
HEAD = b"GET /hello HTTP/1.1\r\nHost: gw.test\r\n"
GET = HEAD + b"\r\n"
BIG = b"GET /big HTTP/1.1\r\nHost: gw.test\r\n\r\n"
POST = b"POST /sink HTTP/1.1\r\nHost: gw.test\r\n"
FIELDS = b"".join(b"X-%d: v\r\n" % number for number in range(3000))
FEW_FIELDS = b"".join(b"X-%d: v\r\n" % number for number in range(97))
CHUNKS = b"1\r\nx\r\n" * 2000
PER_IP = '[limits.per_ip]\nrate = "100/s"\nburst = 50\nconnections = {connections}\n'


def _crowd(crowd: Crowd) -> partial[Counter[str]]:
    return partial(_loiter, crowd)


def _loiter(crowd: Crowd, address: tuple[str, int], seconds: float) -> Counter[str]:
    return loiter(address, crowd, seconds)


def _connect(count: int, address: tuple[str, int], seconds: float) -> Counter[str]:
    found = flooders.addresses(count, "127.68.0.1") if count > 1 else [BAD]
    return flooders.connect(address, found, seconds)


def _shake(address: tuple[str, int], seconds: float) -> Counter[str]:
    return clients.shake(address, "1.3", False, seconds)


_SLOWLORIS = Crowd(1000, HEAD + b"X-A: ", b"a", 1.0)
_SLOW_BODY = Crowd(500, POST + b"Content-Length: 1000000\r\n\r\n", b"x", 2.0)
_BUSY = Crowd(1000, POST + b"Content-Length: 9000000\r\n\r\n", b"x" * 2000, 1.0)
_IDLE = Crowd(1000, GET)
_SILENT = Crowd(1000)
_TIGHT = "max_connections = 400"
_WITH = ", 100 connections per address"

ATTACKS = (
    Attack("slowloris", _crowd(_SLOWLORIS), seconds=12),
    Attack(
        "slowloris" + _WITH, _crowd(_SLOWLORIS), tables=PER_IP.format(connections=100), seconds=12
    ),
    Attack(
        "slowloris with 30 KiB heads",
        _crowd(Crowd(5000, HEAD + b"X-A: " + b"a" * 30_000, b"a", 5.0)),
        seconds=6,
    ),
    Attack("slow bodies", _crowd(_SLOW_BODY), seconds=14),
    Attack("slow readers of 1 MiB", _crowd(Crowd(200, BIG, every=1.0, reads=100)), seconds=20),
    Attack(
        "500 readers of nothing, small budget",
        _crowd(Crowd(500, BIG * 8, every=2.0, reads=1)),
        server='buffer_budget = "16MiB"',
        seconds=6,
    ),
    Attack("idle connections", _crowd(Crowd(10_000, GET, sources=tuple(sources(100)))), seconds=8),
    Attack(
        "1-byte chunks",
        _crowd(Crowd(20, POST + b"Transfer-Encoding: chunked\r\n\r\n", CHUNKS, 0.0)),
    ),
    Attack("3,000 fields", _crowd(Crowd(50, HEAD + FIELDS + b"\r\n"))),
    Attack("97 fields, kept", _crowd(Crowd(20, b"", (HEAD + FEW_FIELDS + b"\r\n"), 0.0))),
    Attack("pipelined requests", _crowd(Crowd(10, b"", GET * 1000, 0.0))),
    Attack(
        "pipelined requests, 100/s per address",
        _crowd(Crowd(10, b"", GET * 1000, 0.0)),
        tables=PER_IP.format(connections=100),
    ),
    Attack("connections, one address", partial(_connect, 1)),
    Attack(
        "connections held, one address" + _WITH,
        _crowd(Crowd(1000, b"G")),
        tables=PER_IP.format(connections=100),
    ),
    Attack("connections, 20,000 addresses", partial(_connect, PEERS)),
    Attack("descriptors, idle connections", _crowd(_IDLE), descriptors=300),
    Attack("descriptors, silent connections", _crowd(_SILENT), descriptors=300),
    Attack("max_connections, idle connections", _crowd(_IDLE), server=_TIGHT),
    Attack("max_connections, silent connections", _crowd(_SILENT), server=_TIGHT),
    Attack("max_connections, busy connections", _crowd(_BUSY), server=_TIGHT),
    Attack(
        "max_connections, busy connections" + _WITH,
        _crowd(_BUSY),
        server=_TIGHT,
        tables=PER_IP.format(connections=100),
    ),
    Attack("TLS, half-open handshakes", _crowd(Crowd(1000, clients.HELLO)), tls=True, seconds=8),
    Attack(
        "TLS, half-open handshakes, 100 addresses",
        _crowd(Crowd(1000, clients.HELLO, sources=tuple(sources(100)))),
        tls=True,
        seconds=8,
    ),
    Attack("TLS, silent connections", _crowd(Crowd(1000)), tls=True, seconds=8),
    Attack(
        "TLS, max_connections, silent connections, 500 addresses",
        _crowd(Crowd(1000, sources=tuple(sources(500)))),
        server=_TIGHT,
        tls=True,
        seconds=8,
    ),
    Attack("TLS, handshakes one after the other", _shake, tls=True),
)
