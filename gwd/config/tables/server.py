"""`[server]`, `[segment]` and `[admin]`: the gateway itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gwd.config import addresses, patterns
from gwd.config.tables.base import (
    FROM_VARIABLE,
    ByteRate,
    Duration,
    DurationOrZero,
    Network,
    OneOrMany,
    Size,
    Table,
    Truth,
    file_name,
    key,
)
from gwd.config.tables.tls import TlsTable
from gwd.config.units import NotAllowed, kind
from gwd.config.variables import FromVariable


def _bind(text: str) -> str:
    return str(addresses.address(text, lowest_port=0))


def _item(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


def _workers(value: Any) -> int:
    if value == "auto":
        return 0
    if isinstance(value, FromVariable) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int):
        what = "is not allowed" if isinstance(value, str) else f"is {kind(value)}"
        raise NotAllowed(f'{what}; use "auto" or a number from 1 to 512')
    if not 1 <= value <= 512:
        raise NotAllowed('is out of range; use "auto" or 1 to 512')
    return value


def _log(text: str) -> str:
    if text in ("stdout", "off"):
        return text
    if "/" not in text:
        raise NotAllowed('is not allowed; use "stdout", "off" or a file path with a "/"')
    return file_name(text)


class BindItem(Table):
    """One listening address; a plain string stands for `{ address = "…" }`."""

    address: Annotated[str, AfterValidator(_bind)] = key(
        description='"127.0.0.1:8080" or "[::]:8080"; port 0 takes a free one.'
    )
    tls: Truth | None = key(
        default=None,
        description="Whether clients speak TLS here. If no item says tls = true, [server.tls] "
        "holds for every item but those with tls = false or redirect_https; if one does, only "
        "for those that do.",
    )
    proxy_protocol: Truth | None = key(
        default=None,
        description="Connections begin with a PROXY header, version 1 or 2, from "
        "trusted_proxies only; by default as server.proxy_protocol says.",
    )
    redirect_https: Truth = key(
        default=False, description="Every request is sent to https:// with 308; not with tls."
    )
    client_auth: Literal["none", "optional", "required"] = key(
        default="none",
        description="Whether a client is asked for a certificate by tls.client_ca: a wrong one "
        "ends the handshake, none does if it is required.",
    )


class ServerTable(Table):
    """The listeners, and what a client may ask for: sizes and times."""

    bind: Annotated[
        list[Annotated[BindItem, BeforeValidator(_item, json_schema_input_type=str | BindItem)]],
        Field(min_length=1),
    ] = key(
        default=["127.0.0.1:8080"],
        description='Addresses to listen on: "127.0.0.1:8080", "[::]:8443".',
    )
    workers: Annotated[
        int, BeforeValidator(_workers, json_schema_input_type=Literal["auto"] | int)
    ] = key(
        default="auto",
        description='Worker processes; "auto" is one per usable core (affinity and cgroup quota).',
    )
    access_log: Annotated[str, AfterValidator(_log)] = key(
        default="stdout",
        description='JSON lines: "stdout", "off", or a file path with a "/" in it.',
    )
    shutdown_delay: DurationOrZero = key(
        default="0s", description="On a graceful stop: not ready any more, still serving."
    )
    shutdown_grace: Duration = key(
        default="30s", description="Then: how long requests in flight may take to finish."
    )
    watchdog: Duration = key(
        default="10s", description="A worker that shows no sign of life for this long is replaced."
    )
    trusted_proxies: list[Network] = key(
        default=[], description="Networks whose X-Forwarded-* fields are believed."
    )
    proxy_protocol: Truth = key(
        default=False,
        description="Every connection begins with a PROXY header, version 1 or 2, from "
        "trusted_proxies only; items of bind may say otherwise.",
    )
    max_connections: Annotated[int, Field(ge=1, le=10_000_000), FROM_VARIABLE] = key(
        default=20000, description="Open client connections, over all workers."
    )
    max_head: Size = key(default="32KiB", description="A request's head; past it 431.")
    max_fields: Annotated[int, Field(ge=1, le=10_000), FROM_VARIABLE] = key(
        default=100, description="Header fields of a request; past it 431."
    )
    max_target: Size = key(default="8KiB", description="Path and query; past it 414.")
    max_body: Size = key(
        default="10MiB", description="A request's body; past it 413. A route may say otherwise."
    )
    buffer_budget: Size = key(
        default="64MiB", description="Bytes a worker may hold for all its connections."
    )
    head_timeout: Duration = key(
        default="10s",
        description="For the whole head, from accept or its first byte; past it 408.",
    )
    handshake_timeout: Duration = key(
        default="5s", description="For a TLS handshake or a PROXY header."
    )
    max_handshakes: Annotated[int, Field(ge=1, le=100_000), FROM_VARIABLE] = key(
        default=512, description="TLS handshakes under way at once, per worker."
    )
    max_handshakes_per_ip: Annotated[int, Field(ge=1, le=100_000), FROM_VARIABLE] = key(
        default=64, description="The same, of one client address."
    )
    body_timeout: Duration = key(
        default="30s", description="Between two reads of a request's body; past it 408."
    )
    min_body_rate: ByteRate = key(
        default="1KiB/s",
        description="The least a body must bring after 10 s, while the client is waited for.",
    )
    write_timeout: Duration = key(
        default="30s",
        description="How long a client may take nothing of its response, or an end of a tunnel "
        "of what the other sends.",
    )
    min_write_rate: ByteRate = key(
        default="1KiB/s",
        description="The least a client, or an end of a tunnel, must take after 10 s, while it is "
        "waited for.",
    )
    idle_timeout: Duration = key(
        default="75s", description="Between two requests on a kept connection."
    )
    odd_names: Literal["drop", "reject", "forward"] = key(
        default="drop", description="What to do with header names outside [A-Za-z0-9-]."
    )
    ready_path: Annotated[str, AfterValidator(patterns.literal_path)] | None = key(
        default=None,
        description='A path such as "/-/ready" that tells readiness on the data port, '
        "before limits.",
    )
    forwarded: Truth = key(
        default=False, description="Also send the Forwarded field (RFC 7239) to upstreams."
    )
    tls: TlsTable | None = key(default=None, description="Certificates, for listeners with TLS.")


class SegmentTable(Table):
    """Sizes of the shared memory. They are fixed when gwd starts."""

    max_workers: Annotated[int, Field(ge=1, le=512), FROM_VARIABLE] = key(
        default=32, description="Worker slots."
    )
    max_ips: Annotated[int, Field(ge=64, le=1 << 24), FROM_VARIABLE] = key(
        default=131072, description="Addresses and keys the limiter remembers."
    )
    max_endpoints: Annotated[int, Field(ge=1, le=1 << 16), FROM_VARIABLE] = key(
        default=1024, description="Endpoints, over all upstreams."
    )
    max_routes: Annotated[int, Field(ge=1, le=1 << 16), FROM_VARIABLE] = key(
        default=4096, description="Routes with metrics of their own."
    )


def _admin_bind(text: str) -> str:
    if text.startswith("unix:"):
        if not text.startswith("unix:/") or len(text.encode()) > 107 + 5 or "\0" in text:
            raise NotAllowed('is not a socket; use "unix:" and an absolute path of up to 107 bytes')
        return text
    return str(addresses.address(text, lowest_port=0))


class AdminTable(Table):
    """Where the gateway is watched and steered."""

    bind: (
        Annotated[list[Annotated[str, AfterValidator(_admin_bind)]], OneOrMany, Field(min_length=1)]
        | None
    ) = key(
        default=None,
        description='"unix:/run/gwd/admin.sock" or "127.0.0.1:9901", or a list; by default a '
        "socket in the runtime directory.",
    )
    token_file: Annotated[str, AfterValidator(file_name)] | None = key(
        default=None, description="File that holds the token changes must show."
    )
