"""`[upstreams.NAME]`: the services behind the gateway."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from gwd.config import addresses, patterns
from gwd.config.tables.base import FROM_VARIABLE, Duration, Percent, Table, key
from gwd.config.units import NotAllowed


def _item(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


def _address(text: str) -> str:
    return str(addresses.address(text))


def _balance(text: str) -> str:
    kinds = ("round_robin", "least_requests", "ewma", "ip_hash", "random")
    if text in kinds or re.fullmatch(r"header_hash:[A-Za-z0-9-]{1,64}", text, re.ASCII):
        return text
    raise NotAllowed('is not allowed; use "round_robin", "least_requests" or "random"')


def _host_header(text: str) -> str:
    if text in ("preserve", "endpoint"):
        return text
    if ":" in text or "." in text:
        return str(addresses.address(text)) if re.search(r":[0-9]+$", text) else _host(text)
    raise NotAllowed('is not allowed; use "preserve", "endpoint" or a host such as "api.internal"')


def _host(text: str) -> str:
    if "*" in text:
        raise NotAllowed("is not a host; leave the * out")
    return addresses.host_pattern(text)


Count = Annotated[int, Field(ge=1, le=1_000_000), FROM_VARIABLE]


class EndpointItem(Table):
    """One instance of a service; a plain string stands for `{ address = "…" }`."""

    address: Annotated[str, AfterValidator(_address)] = key(
        description='"127.0.0.1:9101", "[::1]:9101" or "name:9101"; a name is resolved once, '
        "when the file is loaded, to one address (IPv4 if there is one)."
    )
    weight: Annotated[int, Field(ge=1, le=1000), FROM_VARIABLE] = key(
        default=1, description="Share of the requests, relative to the others."
    )


class HealthTable(Table):
    """Active health checks: GET requests, 2xx and 3xx are good. Off without this table."""

    path: Annotated[str, AfterValidator(patterns.probe)] = key(
        description="Path to ask for, a query is allowed."
    )
    interval: Duration = key(default="2s", description="Between two checks of an endpoint.")
    timeout: Duration = key(default="1s", description="For the response's head.")
    rise: Annotated[int, Field(ge=1, le=100), FROM_VARIABLE] = key(
        default=2, description="Good checks in a row that bring an endpoint back."
    )
    fall: Annotated[int, Field(ge=1, le=100), FROM_VARIABLE] = key(
        default=3, description="Bad checks in a row that take an endpoint out."
    )


class EjectionTable(Table):
    """Endpoints that fail requests are left out for a while. Off without this table."""

    consecutive_failures: Annotated[int, Field(ge=1, le=1000), FROM_VARIABLE] = key(
        default=5, description="Failures in a row that eject an endpoint."
    )
    for_: Duration = key(
        default="30s",
        alias="for",
        description="How long, times the number of ejections, at most 300 s.",
    )
    max_ejected: Percent = key(default="50%", description="Share that may be out at once.")


class UpstreamTable(Table):
    """A service: its instances, and how gwd speaks to them."""

    endpoints: Annotated[
        list[
            Annotated[
                EndpointItem, BeforeValidator(_item, json_schema_input_type=str | EndpointItem)
            ]
        ],
        Field(min_length=1),
    ] = key(description='Instances: `["127.0.0.1:9101", { address = "b:9101", weight = 2 }]`.')
    balance: Annotated[str, AfterValidator(_balance)] = key(
        default="least_requests",
        description='Which one is taken: "round_robin", "least_requests" (the less busy of two '
        'picked at random) or "random".',
    )
    host_header: Annotated[str, AfterValidator(_host_header)] = key(
        default="preserve",
        description='Host sent: "preserve" is the client\'s, "endpoint" the endpoint\'s address; '
        "anything else is sent as it stands.",
    )
    connect_timeout: Duration = key(default="2s", description="For a connection.")
    response_timeout: Duration = key(
        default="15s", description="From the request to the response's head."
    )
    stream_idle: Duration = key(default="5m", description="Between two reads of a response's body.")
    keepalive_idle: Duration = key(
        default="4s",
        description="How long an idle connection is kept; below what the service keeps.",
    )
    max_connections: Count = key(
        default=256, description="Connections to one endpoint, over all workers."
    )
    max_pending: Annotated[int, Field(ge=0, le=1_000_000), FROM_VARIABLE] = key(
        default=1024, description="Requests that wait for a connection; past it 503."
    )
    pending_timeout: Duration = key(default="5s", description="How long they wait.")
    retries: Annotated[int, Field(ge=0, le=10), FROM_VARIABLE] = key(
        default=1,
        description="Retries of idempotent requests after a time-out or a status of retry_on.",
    )
    retry_on: list[Annotated[int, Field(ge=400, le=599), FROM_VARIABLE]] = key(
        default=[], description="Statuses that are retried, such as `[502, 503]`."
    )
    health: HealthTable | None = key(default=None, description="Active checks.")
    ejection: EjectionTable | None = key(default=None, description="Passive checks.")
