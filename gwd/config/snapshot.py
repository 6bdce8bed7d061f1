"""The plain normalised snapshot: what a validated config file comes down to.

Strategy: pydantic models judge the file, in a short-lived process; what they judged good is
written down once more as the frozen dataclasses below, which hold nothing but numbers, strings,
bytes and tuples. They travel as msgpack (`pack`, `unpack`) through a sealed memfd to every child,
which builds its immutable runtime tables from them. So a worker never imports pydantic, and no
child ever reads the file.

Units: durations are seconds (float), sizes bytes (int), rates events per second (float).
Names, addresses and patterns are already checked; defaults are filled in; `${VAR}` and
`secret_file` are resolved. A value of None means "the feature is off".
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import msgpack


@dataclass(frozen=True, slots=True)
class Bind:
    """One listening address, `host` an IP literal: "0.0.0.0", "::", "127.0.0.1"."""

    host: str
    port: int
    tls: bool = False
    proxy_protocol: bool = False
    """Connections begin with a PROXY header, which only `trusted_proxies` may send."""
    redirect_https: bool = False
    """Plain HTTP that only says where HTTPS is."""
    client_auth: str = "none"
    """"none" | "optional" | "required": whether clients are asked for a certificate."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate chain and its key, both PEM, found to belong together."""

    cert: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...]
    """The DNS names of its subjectAltName in lower case; "*.x.y" stands for one label more."""
    cert_file: str
    key_file: str
    expires: int = 0
    """When it ends, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Tls:
    """`[server.tls]`: what all listeners with TLS share."""

    certificates: tuple[Certificate, ...]
    """The first is the default, for clients that name no host or an unknown one."""
    min_version: str
    """"1.2" | "1.3"."""
    client_ca: bytes
    """PEM of the authorities whose client certificates are believed; b"" for none."""
    client_ca_file: str
    """Where `client_ca` was read; "" for none."""
    client_fields: tuple[tuple[str, str], ...]
    """(what of a verified client certificate, header name)."""
    hsts: str
    """The value of Strict-Transport-Security; "" for none."""


@dataclass(frozen=True, slots=True)
class Server:
    bind: tuple[Bind, ...]
    workers: int
    """0 means "auto": as many as there are usable cores, decided where they run."""
    access_log: str
    shutdown_delay: float
    shutdown_grace: float
    watchdog: float
    trusted_proxies: tuple[str, ...]
    max_connections: int
    max_head: int
    max_fields: int
    max_target: int
    max_body: int
    buffer_budget: int
    head_timeout: float
    body_timeout: float
    min_body_rate: int
    write_timeout: float
    min_write_rate: int
    idle_timeout: float
    odd_names: str
    """"drop" | "reject" | "forward"."""
    ready_path: str | None
    forwarded: bool
    handshake_timeout: float
    max_handshakes: int
    """At once, per worker."""
    max_handshakes_per_ip: int
    """At once, per worker and client address."""
    tls: Tls | None


@dataclass(frozen=True, slots=True)
class SegmentSizes:
    max_workers: int
    max_ips: int
    max_endpoints: int
    max_routes: int


@dataclass(frozen=True, slots=True)
class Rate:
    per_second: float
    burst: int
    text: str
    """As written, "100/s": for messages."""


@dataclass(frozen=True, slots=True)
class PerIp:
    rate: Rate
    ipv6_prefix: int
    connections: int
    mode: str
    """"enforce" | "observe"."""


@dataclass(frozen=True, slots=True)
class Ban:
    after: float
    """Seconds' worth of `per_ip.rate` refused within 10 s."""
    for_: float
    action: str
    """"drop" | "close" | "refuse"."""


@dataclass(frozen=True, slots=True)
class Limits:
    exempt: tuple[str, ...]
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    per_ip: PerIp | None
    ban: Ban | None

    @property
    def ipv6_prefix(self) -> int:
        """IPv6 addresses that share so many bits count as one, where nothing is limited, too."""
        return 64 if self.per_ip is None else self.per_ip.ipv6_prefix

    @property
    def ban_action(self) -> str:
        """What the banned meet; those banned by hand are, where the config says nothing of bans."""
        return "drop" if self.ban is None else self.ban.action


@dataclass(frozen=True, slots=True)
class Verifier:
    """A named token verifier, `[auth.NAME]`."""

    name: str
    type: str
    """"jwt" is the one type built so far."""
    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    jwks: bytes
    """The key set (RFC 7517 JSON) as read from jwks_file; b"" if there is none."""
    public_key: bytes
    """PEM as read from public_key_file; b"" if there is none."""
    secret: bytes = field(repr=False)
    """HS* secret; b"" if there is none."""
    leeway: float
    require_exp: bool
    forward_claims: tuple[tuple[str, str], ...]
    """(claim, header name)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    """IP literal (a name was resolved at load); for a Unix socket its path, with port 0."""
    port: int
    weight: int
    address: str
    """As in the file, normalised: "127.0.0.1:9101", "[::1]:80", "unix:/run/app.sock"."""


@dataclass(frozen=True, slots=True)
class Health:
    path: str
    interval: float
    timeout: float
    rise: int
    fall: int


@dataclass(frozen=True, slots=True)
class Ejection:
    consecutive_failures: int
    for_: float
    max_ejected: float
    """0.0 to 1.0."""


@dataclass(frozen=True, slots=True)
class Upstream:
    name: str
    endpoints: tuple[Endpoint, ...]
    balance: str
    host_header: str
    """"preserve" | "endpoint" | a literal."""
    connect_timeout: float
    response_timeout: float
    stream_idle: float
    keepalive_idle: float
    max_connections: int
    max_pending: int
    pending_timeout: float
    retries: int
    retry_on: tuple[int, ...]
    health: Health | None
    ejection: Ejection | None


@dataclass(frozen=True, slots=True)
class Respond:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    redirect: str | None
    """Location; may hold {*} and {name}."""


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    upstream: str
    path: str
    """Path and query, may hold {name} and {*} captures."""
    required: bool
    timeout: float | None
    pick: tuple[str, ...]
    default: bytes | None
    """JSON text that stands in for a missing part; None: the part is left out."""


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    host: str | None
    path: str
    methods: tuple[str, ...]
    """Empty: every method. GET already brought HEAD."""
    auth: tuple[str, ...]
    auth_optional: bool
    scopes: tuple[str, ...]
    """Every one of them is required."""
    timeout: float | None
    max_body: int | None
    encoded_slash: str
    """"reject" | "keep"."""
    upstream: str | None
    rewrite: str | None
    parts: tuple[Part, ...]
    respond: Respond | None
    line: int
    """Line of the file on which the route begins; 0 if there is no file."""
    rate: Rate | None = None
    """A limit of this route alone."""
    rate_key: str = "ip"
    """"ip" | "claim:NAME" | "header:NAME": what `rate` counts."""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    source: str
    """Path of the file this came from, for messages."""
    digest: str
    """First 12 hex digits of the SHA-256 of all that was read: names this config."""
    server: Server
    segment: SegmentSizes
    admin_bind: tuple[str, ...]
    limits: Limits
    auth: tuple[Verifier, ...]
    upstreams: tuple[Upstream, ...]
    routes: tuple[Route, ...]


def pack(snapshot: Snapshot) -> bytes:
    """`snapshot` as msgpack: maps of field name to value, nothing else."""
    return bytes(msgpack.packb(_plain(snapshot)))


def unpack(data: bytes) -> Snapshot:
    """The inverse of `pack`.

    Raises KeyError if `data` was packed by another version of gwd.
    """
    return cast(Snapshot, _builder(Snapshot)(msgpack.unpackb(data, use_list=False)))


Convert = Callable[[Any], Any]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    names = _NAMES.get(type(value))
    if names is not None:
        return {name: _plain(getattr(value, name)) for name in names}
    return value


@functools.cache
def _builder(cls: type) -> Convert:
    """Makes a `cls` from its map. Types are looked at once per class, not once per value."""
    hints = typing.get_type_hints(cls)
    converters = {name: _converter(hints[name]) for name in _NAMES[cls]}
    known = converters.keys()
    nested = [(name, convert) for name, convert in converters.items() if convert is not None]

    def build(plain: dict[str, Any]) -> Any:
        if plain.keys() != known:
            raise KeyError(f"{cls.__name__}: fields differ: {sorted(plain.keys() ^ known)}")
        for name, convert in nested:
            value = plain[name]
            if value is not None:
                plain[name] = convert(value)
        return cls(**plain)

    return build


def _converter(hint: Any) -> Convert | None:
    """How a value of type `hint` is made from plain msgpack; None if it is plain itself."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if typing.get_origin(hint) is tuple:
        args = typing.get_args(hint)
        item = _converter(args[0]) if args[-1] is Ellipsis else None
        if item is None:
            return None
        return lambda values: tuple(map(item, values))
    return _builder(hint) if hint in _NAMES else None


_NAMES: dict[type, tuple[str, ...]] = {
    cls: tuple(f.name for f in dataclasses.fields(cls))
    for cls in list(globals().values())
    if isinstance(cls, type) and dataclasses.is_dataclass(cls)
}
"""The dataclasses of this module and their fields, in order."""
