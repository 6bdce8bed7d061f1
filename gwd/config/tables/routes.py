"""`[[routes]]`: which request goes where."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gwd.config import fields, patterns
from gwd.config.tables.base import (
    FROM_VARIABLE,
    Dotted,
    Duration,
    FieldValue,
    HostPattern,
    Method,
    Name,
    Network,
    OneOrMany,
    Pattern,
    RateText,
    ResponseName,
    Size,
    Table,
    Truth,
    key,
)
from gwd.config.units import MOST_BURST, NotAllowed


def _scope(text: str) -> str:
    # RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
    if not text or any(not "!" <= c <= "~" or c in '"\\' for c in text):
        raise NotAllowed('is not a scope; use one word such as "orders:read"')
    return text


def _rate_key(text: str) -> str:
    kind, _, name = text.partition(":")
    if kind == "header" and name:
        try:
            fields.counted_name(name)
        except NotAllowed as why:
            raise NotAllowed(f"has a name that {why}") from None
    elif text != "ip" and not (kind == "claim" and name):
        raise NotAllowed('is not allowed; use "ip", "claim:sub" or "header:X-Api-Key"')
    return text


class RequireTable(Table):
    """What a verified token must hold."""

    scope: Annotated[
        list[Annotated[str, AfterValidator(_scope)]], OneOrMany, Field(min_length=1)
    ] = key(description="Scopes that must all be granted; else 403.")


class PartTable(Table):
    """One call of an aggregate. All parts run side by side; the answer is keyed by their names."""

    name: Name = key(description="Key in the answer.")
    upstream: str = key(description="Name of the upstream to ask.")
    path: Annotated[str, AfterValidator(patterns.target)] = key(
        description='Path and query, may hold captures: "/orders?user={user}".'
    )
    required: Truth = key(default=False, description="Without this part the whole answer fails.")
    timeout: Duration | None = key(
        default=None, description="For this part; by default the upstream's response_timeout."
    )
    pick: Annotated[list[Dotted], Field(min_length=1)] | None = key(
        default=None, description='Fields to keep, dotted: `["items.id"]`; by default all.'
    )
    default: Any = key(
        default=None, description="What stands in for a missing part; by default it is left out."
    )


class RespondTable(Table):
    """An answer of the gateway's own: a redirect, or a fixed status and body."""

    redirect: Annotated[str, AfterValidator(patterns.location)] | None = key(
        default=None, description='Location, may hold captures: "/new/{*}".'
    )
    status: Annotated[int, Field(ge=200, le=599), FROM_VARIABLE] | None = key(
        default=None, description="By default 308 for a redirect, else 200."
    )
    body: Annotated[str, Field(max_length=1 << 20)] | None = key(
        default=None, description="Text of the answer."
    )
    headers: dict[ResponseName, FieldValue] = key(
        default={}, description="Headers of the answer, such as its Content-Type."
    )


class RouteTable(Table):
    """A route has exactly one of `upstream`, `parts`, `respond`. The most specific route wins,
    whatever the order in the file: exact host, wildcard, none; then exact path, parameters,
    longest prefix; then methods."""

    name: Name = key(description="In logs, metrics and messages.")
    host: HostPattern | None = key(
        default=None,
        description='"api.example.com", or "*.example.com" for one or more labels; by default any.',
    )
    path: Pattern = key(
        description='"/exact"; "/prefix/*", also "/prefix"; "/users/{id}/orders", where {id} is '
        "one segment."
    )
    methods: Annotated[list[Method], Field(min_length=1)] | None = key(
        default=None, description="GET brings HEAD; by default every method."
    )
    auth: Annotated[list[str], OneOrMany, Field(min_length=1)] | None = key(
        default=None, description="Name of a verifier, or a list of them."
    )
    auth_optional: Truth = key(
        default=False, description="Let requests without a token pass; invalid ones never."
    )
    require: RequireTable | None = key(default=None, description="What the token must hold.")
    allow: list[Network] = key(
        default=[],
        description="If not empty, only these networks may use the route; others get 403.",
    )
    deny: list[Network] = key(default=[], description="Networks that get 403 on this route.")
    rate: RateText | None = key(
        default=None,
        description='A limit of this route, besides that of `limits.per_ip`: "20/s"; past it 429.',
    )
    burst: Annotated[int, Field(ge=1, le=MOST_BURST), FROM_VARIABLE] | None = key(
        default=None,
        description="Requests admitted at once; by default one second's worth, at least 1.",
    )
    rate_key: Annotated[str, AfterValidator(_rate_key)] = key(
        default="ip",
        description='By what `rate` counts: "ip", "header:X-Api-Key" (both before authentication) '
        'or "claim:sub" of the token (after it; dotted for claims inside claims). A request '
        "without the header or claim is counted by its address (IPv6 by "
        "`limits.per_ip.ipv6_prefix`). Header values are whatever a client makes up: only "
        "`limits.per_ip` bounds how many.",
    )
    timeout: Duration | None = key(
        default=None,
        description="For the whole exchange up to the response's head, retries included.",
    )
    max_body: Size | None = key(
        default=None, description="A request's body on this route; by default the server's."
    )
    encoded_slash: Literal["reject", "keep"] = key(
        default="reject", description="What to do with %2F and %5C in a path."
    )
    upstream: str | None = key(default=None, description="Name of the upstream to pass it to.")
    rewrite: Annotated[str, AfterValidator(patterns.rewrite)] | None = key(
        default=None,
        description='Path sent to the upstream, may hold captures: "/v2/orders/{*}"; the query '
        "stays.",
    )
    parts: Annotated[list[PartTable], Field(min_length=1)] | None = key(
        default=None, description="Calls of an aggregate."
    )
    respond: RespondTable | None = key(default=None, description="An answer of gwd's own.")
