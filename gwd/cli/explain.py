"""`gwd explain`: offline, which route takes a request and why, and what happens to it then.

Strategy: nothing here decides anything. The config is loaded as `gwd run` loads it, the request
is written as a client would write it and read by the same reader as a client's, the route comes
from the same table and the policies from the same builders. So what `explain` says is what the
gateway does, for a malformed request too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from gwd.cli import exits

if TYPE_CHECKING:
    from gwd.config.snapshot import Route, Snapshot
    from gwd.http.head import RequestHead
    from gwd.http.problem import Refusal
    from gwd.policies import Policy, Visitor
    from gwd.routing.explain import Explanation
    from gwd.routing.table import Match

NEAREST = 8
"""Routes that did not win which are shown without --all."""

EPILOG = """\b
Examples:
  gwd explain GET http://api.company.com/orders/7
  gwd explain --from 203.0.113.7 --header "Authorization: Bearer $TOKEN" GET localhost:8080/home/ada
"""


@click.command("explain", epilog=EPILOG)
@click.option("--config", metavar="FILE", help='Config file; "-" is standard input.')
@click.option(
    "--header", "headers", metavar="'K: V'", multiple=True, help="As the client sends it."
)
@click.option("--from", "from_", metavar="IP", help="The client's address.")
@click.option("--all", "every", is_flag=True, help="Show every route that did not win.")
@click.argument("method")
@click.argument("url")
def command(
    config: str | None,
    headers: tuple[str, ...],
    from_: str | None,
    every: bool,
    method: str,
    url: str,
) -> int:
    """Say which route takes METHOD URL and why the others do not, the steps it goes through, and
    the call that is made upstream. No gateway needs to run.

    URL may be a whole one, or begin with the host, or with "/" for a request without a host.
    Exits with 0 if a route takes the request, with 1 if none does.
    """
    data = written(method, url, headers)
    if from_ is not None:
        from gwd.http.addresses import canonical

        try:
            from_ = canonical(from_)
        except ValueError as error:
            raise click.UsageError(f"--from: {error}") from None
    from gwd.config.find import find_config
    from gwd.supervisor.loading import load_checked

    snapshot = load_checked(find_config(config), os.environ).snapshot
    code, lines = explained(snapshot, data, from_, None if every else NEAREST)
    click.echo("\n".join(lines))
    return code


def written(method: str, url: str, headers: Sequence[str]) -> bytes:
    """The request as a client writes it: HTTP/1.1, or 1.0 if there is no host to name.

    Raises click.UsageError for what cannot be written at all.
    """
    host, target = _split(url)
    lines = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"--header: {header!r} is not 'Name: value'")
        if name.strip().lower() == "host":
            host = value.strip()
        else:
            lines.append(f"{name.strip()}: {value.strip()}")
    start = f"{method} {target} HTTP/1.{1 if host else 0}"
    if host:
        lines.insert(0, f"Host: {host}")
    for line in (start, *lines):
        if "\r" in line or "\n" in line or "\0" in line:
            raise click.UsageError(f"{line!r} has a line break")
    return "".join(f"{line}\r\n" for line in (start, *lines, "")).encode("utf-8", "surrogateescape")


def _split(url: str) -> tuple[str, str]:
    """Host with port, and the target as sent: dot segments and all, without a fragment."""
    scheme, mark, rest = url.partition("://")
    if mark and scheme.lower() in ("http", "https"):
        url = rest
    elif url.startswith("/") or url == "*":
        return "", url.partition("#")[0]
    elif mark and scheme.isalnum():
        raise click.UsageError(f'{url!r}: gwd takes "http://" and "https://"')
    url = url.partition("#")[0]
    end = min((at for at in (url.find("/"), url.find("?")) if at >= 0), default=len(url))
    host, target = url[:end], url[end:]
    if not host or "@" in host:
        raise click.UsageError(f"{url!r} has no host, or a user in front of it")
    return host, target if target.startswith("/") else f"/{target}"


def explained(
    snapshot: Snapshot, data: bytes, ip: str | None, most: int | None
) -> tuple[int, list[str]]:
    """Exit code and lines for the request `data`, from `ip` if that is known.

    `most`: how many of the routes that did not win are named; None for all.
    """
    from gwd.http.gate import GatePolicy, RequestReader
    from gwd.http.problem import Refusal
    from gwd.policies import identity_headers
    from gwd.routing.explain import explain
    from gwd.routing.table import RouteTable

    server = snapshot.server
    policy = GatePolicy(
        max_head=server.max_head,
        max_fields=server.max_fields,
        max_target=server.max_target,
        odd_names=server.odd_names,
        removed=identity_headers(snapshot.auth),
    )
    try:
        head = RequestReader(policy).feed(data)
    except Refusal as refusal:
        return exits.FAILED, [f"refused  {_said(refusal)}"]
    assert head is not None  # what `written` makes is whole
    lines = list(_address(snapshot, head, ip))
    if head.path == server.ready_path:
        return exits.GOOD, [*lines, "answer readiness, by the gateway itself (server.ready_path)"]
    if head.path == "*":
        return exits.GOOD, [*lines, "answer 204, by the gateway itself: no route takes *"]
    table = RouteTable(snapshot.routes)
    explanation = explain(snapshot.routes, table, head.host, head.method, head.path)
    outcome = explanation.outcome
    if isinstance(outcome, Refusal):
        lines.append(f"no route  {_said(outcome)}")
        return exits.FAILED, [*lines, *_losers(snapshot, explanation, most)]
    route = snapshot.routes[outcome.index]
    lines += _winner(snapshot, route)
    lines += _losers(snapshot, explanation, most)
    lines += _journey(snapshot, route, outcome, head, ip)
    return exits.GOOD, lines


def _said(refusal: Refusal) -> str:
    return f"{refusal.status} {refusal.reason}: {refusal.detail}"


def _for_others(refusal: Refusal) -> str:
    return f"{_said(refusal).rstrip('.')}; the rest is what others meet"


def _winner(snapshot: Snapshot, route: Route) -> Iterator[str]:
    from gwd.routing.explain import describe

    place = f"{snapshot.source}:{route.line}" if route.line else snapshot.source
    yield f'route "{route.name}"  {place}  {describe(route)}'


def _losers(snapshot: Snapshot, explanation: Explanation, most: int | None) -> Iterator[str]:
    shown = explanation.losers[:most]
    names = [f'"{snapshot.routes[loser.index].name}"' for loser in shown]
    width = max(map(len, names), default=0)
    for name, loser in zip(names, shown, strict=True):
        yield f"  not {name.ljust(width)}  {loser.why}"
    left = len(explanation.losers) - len(shown)
    if left:
        yield f"  not {left} more, farther off (--all shows them)"


def _address(snapshot: Snapshot, head: RequestHead, ip: str | None) -> Iterator[str]:
    """What follows from the client's address before any route is looked for."""
    if ip is None:
        return
    from gwd.policies import Access

    client = _client(snapshot, head, ip)
    through = f", through the trusted proxy {ip}" if client != ip else ""
    refusal = Access(snapshot.limits.allow, snapshot.limits.deny).judge(client)
    if refusal is not None:
        yield f"from   {client}{through}: {_for_others(refusal)}"
    elif through:
        yield f"from   {client}{through}"


def _client(snapshot: Snapshot, head: RequestHead, ip: str) -> str:
    from gwd.http.addresses import Networks
    from gwd.http.forwarding import client_address

    trusted = Networks(snapshot.server.trusted_proxies)
    return client_address(ip, head, trusted) if trusted.contains(ip) else ip


def _journey(
    snapshot: Snapshot, route: Route, match: Match, head: RequestHead, ip: str | None
) -> Iterator[str]:
    from gwd.policies import build_authenticators, route_policies

    policies = route_policies(route, build_authenticators(snapshot.auth))
    visitor = None if ip is None else _visitor(snapshot, _client(snapshot, head, ip))
    exempt = visitor is not None and visitor.exempt
    steps = [*_limits(snapshot, exempt), *(_step(policy, exempt) for policy in policies)]
    yield f"steps  {' > '.join(steps) or 'none'}"
    if head.encoded_slash and route.encoded_slash != "keep":
        yield '       400: the path holds %2F or %5C, and encoded_slash is "reject"'
        return
    yield from _verdicts(route, policies, match, head, visitor)
    yield from _answer(snapshot, route, match, head)


def _verdicts(
    route: Route,
    policies: Sequence[Policy],
    match: Match,
    head: RequestHead,
    visitor: Visitor | None,
) -> Iterator[str]:
    """What the route says to this address, and to this token. Nothing is counted here."""
    from gwd.policies import Access, Request, Visitor

    nobody = Visitor("", b"", exempt=True, trusted=False, refusal=None)
    request = Request(head, visitor or nobody, route.name, match.captures)
    for policy in policies:
        if isinstance(policy, Access) and visitor is not None:
            refusal = policy(request)
            if refusal is not None:
                yield f"       {visitor.ip}: {_for_others(refusal)}"
    if head.authorization is not None and (route.auth or route.scopes):
        others = (policy for policy in policies if not isinstance(policy, Access))
        refusal = next(filter(None, (policy(request) for policy in others)), None)
        verdict = _said(refusal) if refusal else f'accepted, subject "{request.subject}"'
        yield f"       this token: {verdict}"


def _visitor(snapshot: Snapshot, client: str) -> Visitor:
    from gwd.http.addresses import Networks
    from gwd.policies import Visitor

    # Offline nothing is counted, so the key under which it would be says nothing.
    exempt = Networks(snapshot.limits.exempt).contains(client)
    return Visitor(client, b"", exempt=exempt, trusted=False, refusal=None)


def _step(policy: Policy, exempt: bool) -> str:
    from gwd.policies import RateLimit

    return f"{policy} (exempt)" if exempt and isinstance(policy, RateLimit) else str(policy)


def _limits(snapshot: Snapshot, exempt: bool) -> Iterator[str]:
    """What every request meets before its route is known."""
    from gwd.policies import Access

    limits = snapshot.limits
    access = Access(limits.allow, limits.deny)
    if access:
        yield str(access)
    if limits.per_ip is None:
        return
    step = f"per_ip {limits.per_ip.rate.text} burst {limits.per_ip.rate.burst}"
    if exempt:
        yield f"{step} (exempt)"
    elif limits.per_ip.mode == "observe":
        yield f"{step} (only observed)"
    else:
        yield step
        if limits.ban is not None:
            yield f"ban {limits.ban.for_:g}s {limits.ban.action}"


def _answer(snapshot: Snapshot, route: Route, match: Match, head: RequestHead) -> Iterator[str]:
    """Who answers: the call upstream, one call per part, or the gateway itself."""
    from gwd.aggregate.plan import Plan
    from gwd.http.problem import Refusal
    from gwd.routing.rewrite import compile_rewrite, compile_template

    try:
        if route.upstream is not None:
            path = compile_rewrite(route.path, route.rewrite)(head.path, match.captures)
            target = f"{path}{head.query}"
            yield f"call   {head.method} {target} on {_upstream(snapshot, route.upstream)}"
        elif route.respond is not None:
            text = f"answer {route.respond.status}"
            if route.respond.redirect is not None:
                location = compile_template(route.path, route.respond.redirect)(match.captures)
                text += f" Location: {location}{head.query}"
            yield f"{text}, by the gateway itself"
        for number, part in enumerate(Plan(route).parts):
            told = f"GET {part.target(match.captures)} on {_upstream(snapshot, part.upstream)}"
            told += ", required" if part.required else ""
            told += f", within {part.timeout:g} s" if part.timeout is not None else ""
            told += f", else {part.default.decode()}" if part.default is not None else ""
            yield f"{'       ' if number else 'call   '}{part.name}: {told}"
    except Refusal as refusal:
        yield f"refused  {_said(refusal)}"


def _upstream(snapshot: Snapshot, name: str) -> str:
    upstream = next(upstream for upstream in snapshot.upstreams if upstream.name == name)
    endpoints, retries = len(upstream.endpoints), upstream.retries
    return (
        f"{name} ({upstream.balance}, {endpoints} endpoint{'s' if endpoints != 1 else ''}, "
        f"{retries} {'retry' if retries == 1 else 'retries'})"
    )
