"""From models that passed every check to the plain snapshot.

Strategy: no judgement here, only writing down: defaults filled in, names and files replaced by
what they stood for, GET joined by HEAD.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from gwd.config import addresses, snapshot, units
from gwd.config.places import Path
from gwd.config.tables.auth import VerifierTable
from gwd.config.tables.file import File
from gwd.config.tables.limits import LimitsTable
from gwd.config.tables.routes import PartTable, RespondTable, RouteTable
from gwd.config.tables.server import ServerTable
from gwd.config.tables.tls import TlsTable
from gwd.config.tables.upstreams import UpstreamTable
from gwd.config.tls_files import TlsFiles


def binds(table: ServerTable, resolved: Mapping[str, str]) -> tuple[snapshot.Bind, ...]:
    """The listeners. Where no item asks for TLS, `[server.tls]` asks for all that could have it."""
    everywhere = table.tls is not None and not any(item.tls for item in table.bind)
    found = []
    for item in table.bind:
        address = addresses.address(item.address, lowest_port=0)
        by_default = everywhere and not item.redirect_https
        found.append(
            snapshot.Bind(
                host=resolved.get(address.host, address.host),
                port=address.port,
                tls=by_default if item.tls is None else item.tls,
                proxy_protocol=table.proxy_protocol
                if item.proxy_protocol is None
                else item.proxy_protocol,
                redirect_https=item.redirect_https,
                client_auth=item.client_auth,
            )
        )
    return tuple(found)


def tls(table: TlsTable, files: TlsFiles) -> snapshot.Tls:
    return snapshot.Tls(
        certificates=files.certificates,
        min_version=table.min_version,
        client_ca=files.client_ca,
        client_ca_file=table.client_ca or "",
        client_fields=tuple(table.client_fields.items()),
        hsts=table.hsts or "",
    )


def server(table: ServerTable, resolved: Mapping[str, str], tls_files: TlsFiles) -> snapshot.Server:
    return snapshot.Server(
        bind=binds(table, resolved),
        workers=table.workers,
        access_log=table.access_log,
        shutdown_delay=table.shutdown_delay,
        shutdown_grace=table.shutdown_grace,
        watchdog=table.watchdog,
        trusted_proxies=tuple(table.trusted_proxies),
        max_connections=table.max_connections,
        max_head=table.max_head,
        max_fields=table.max_fields,
        max_target=table.max_target,
        max_body=table.max_body,
        buffer_budget=table.buffer_budget,
        head_timeout=table.head_timeout,
        body_timeout=table.body_timeout,
        min_body_rate=table.min_body_rate,
        write_timeout=table.write_timeout,
        min_write_rate=table.min_write_rate,
        idle_timeout=table.idle_timeout,
        odd_names=table.odd_names,
        ready_path=table.ready_path,
        forwarded=table.forwarded,
        handshake_timeout=table.handshake_timeout,
        max_handshakes=table.max_handshakes,
        max_handshakes_per_ip=table.max_handshakes_per_ip,
        tls=None if table.tls is None else tls(table.tls, tls_files),
    )


def rate(text: str, burst: int | None) -> snapshot.Rate:
    per_second = units.rate(text)
    return snapshot.Rate(per_second, burst or units.default_burst(per_second), text)


def limits(table: LimitsTable) -> snapshot.Limits:
    per_ip, ban = table.per_ip, table.ban
    return snapshot.Limits(
        exempt=tuple(table.exempt),
        allow=tuple(table.allow),
        deny=tuple(table.deny),
        per_ip=None
        if per_ip is None
        else snapshot.PerIp(
            rate=rate(per_ip.rate, per_ip.burst),
            ipv6_prefix=per_ip.ipv6_prefix,
            connections=per_ip.connections,
            mode=per_ip.mode,
        ),
        ban=None if ban is None else snapshot.Ban(ban.after, ban.for_, ban.action),
    )


def verifier(name: str, table: VerifierTable, contents: Mapping[Path, bytes]) -> snapshot.Verifier:
    def content(*keys: str) -> bytes:
        return next((contents[p] for p in (("auth", name, k) for k in keys) if p in contents), b"")

    return snapshot.Verifier(
        name=name,
        type=table.type,
        issuer=table.issuer,
        audience=tuple(table.audience),
        algorithms=tuple(table.algorithms),
        jwks=content("jwks_file"),
        public_key=content("public_key_file"),
        secret=content("secret_env", "secret_file"),
        leeway=table.leeway,
        require_exp=table.require_exp,
        forward_claims=tuple(table.forward_claims.items()),
    )


def upstream(name: str, table: UpstreamTable, resolved: Mapping[str, str]) -> snapshot.Upstream:
    endpoints = []
    for item in table.endpoints:
        found = addresses.address(item.address)
        host = resolved.get(found.host, found.host)
        endpoints.append(snapshot.Endpoint(host, found.port, item.weight, str(found)))
    health, ejection = table.health, table.ejection
    return snapshot.Upstream(
        name=name,
        endpoints=tuple(endpoints),
        balance=table.balance,
        host_header=table.host_header,
        connect_timeout=table.connect_timeout,
        response_timeout=table.response_timeout,
        stream_idle=table.stream_idle,
        keepalive_idle=table.keepalive_idle,
        max_connections=table.max_connections,
        max_pending=table.max_pending,
        pending_timeout=table.pending_timeout,
        retries=table.retries,
        retry_on=tuple(table.retry_on),
        health=None
        if health is None
        else snapshot.Health(
            health.path, health.interval, health.timeout, health.rise, health.fall
        ),
        ejection=None
        if ejection is None
        else snapshot.Ejection(ejection.consecutive_failures, ejection.for_, ejection.max_ejected),
    )


def part(table: PartTable) -> snapshot.Part:
    has_default = "default" in table.model_fields_set
    return snapshot.Part(
        name=table.name,
        upstream=table.upstream,
        path=table.path,
        required=table.required,
        timeout=table.timeout,
        pick=tuple(table.pick or ()),
        default=json_text(table.default) if has_default else None,
    )


def json_text(value: object) -> bytes:
    """`value` as JSON. Raises TypeError for dates, ValueError for inf and nan."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def respond(table: RespondTable) -> snapshot.Respond:
    return snapshot.Respond(
        status=table.status or (200 if table.redirect is None else 308),
        body=(table.body or "").encode(),
        headers=tuple(table.headers.items()),
        redirect=table.redirect,
    )


def methods(listed: list[str] | None) -> tuple[str, ...]:
    """In the order of the file, each once; GET brings HEAD (RFC 9110 §9.3.2)."""
    found: dict[str, None] = {}
    for method in listed or ():
        found[method] = None
        if method == "GET":
            found["HEAD"] = None
    return tuple(found)


def route(table: RouteTable, line: int) -> snapshot.Route:
    return snapshot.Route(
        name=table.name,
        host=table.host,
        path=table.path,
        methods=methods(table.methods),
        auth=tuple(dict.fromkeys(table.auth or ())),
        auth_optional=table.auth_optional,
        scopes=tuple(dict.fromkeys(table.require.scope)) if table.require else (),
        timeout=table.timeout,
        max_body=table.max_body,
        encoded_slash=table.encoded_slash,
        upstream=table.upstream,
        rewrite=table.rewrite,
        parts=tuple(part(item) for item in table.parts or ()),
        respond=None if table.respond is None else respond(table.respond),
        line=line,
        rate=None if table.rate is None else rate(table.rate, table.burst),
        rate_key=table.rate_key,
        allow=tuple(table.allow),
        deny=tuple(table.deny),
    )


def assemble(
    file: File,
    *,
    source: str,
    digest: str,
    admin_bind: str,
    contents: Mapping[Path, bytes],
    resolved: Mapping[str, str],
    tls_files: TlsFiles,
    route_lines: list[int],
) -> snapshot.Snapshot:
    """The snapshot of `file`; `admin_bind` is used if the file names no address."""
    return snapshot.Snapshot(
        source=source,
        digest=digest,
        server=server(file.server, resolved, tls_files),
        segment=snapshot.SegmentSizes(
            max_workers=file.segment.max_workers,
            max_ips=file.segment.max_ips,
            max_endpoints=file.segment.max_endpoints,
            max_routes=file.segment.max_routes,
        ),
        admin_bind=tuple(file.admin.bind or [admin_bind]),
        limits=limits(file.limits),
        auth=tuple(verifier(name, table, contents) for name, table in file.auth.items()),
        upstreams=tuple(upstream(name, table, resolved) for name, table in file.upstreams.items()),
        routes=tuple(
            route(table, line) for table, line in zip(file.routes, route_lines, strict=True)
        ),
    )
