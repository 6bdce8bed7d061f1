"""Methods, header names and header values as a config may write them (SEC-24).

Strategy: what comes from the file goes into heads without another look, so it is judged here
by RFC 9110 §5.6.2 (token) and §5.5 (field value), narrowed: names are letters, digits and
hyphens (SEC-08), values printable ASCII.
"""

from __future__ import annotations

import re

from gwd.config.units import NotAllowed

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_VALUE = re.compile(r"[ -~]{0,1024}", re.ASCII)

FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields of the connection or the framing: the gateway alone writes them."""

RESERVED = FRAMING | frozenset(
    {
        "authorization",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "origin",
        "range",
        "referer",
        "traceparent",
        "tracestate",
        "via",
        "x-real-ip",
        "x-request-id",
    }
)
"""Fields with a meaning of their own: no claim may be sent under one of these names."""

_RESERVED_FAMILIES = (
    "accept",
    "content-",
    "if-",
    "proxy-",
    "sec-",
    "set-",
    "transfer-",
    "x-forwarded-",
)


def method(text: str) -> str:
    """`text` as a request method a route may list. Raises NotAllowed."""
    if _TOKEN.fullmatch(text) is None:
        raise NotAllowed('is not a method; use "GET", "POST", …')
    if text != text.upper():
        raise NotAllowed(f'is not a method: methods are in capitals; use "{text.upper()}"')
    if text in ("CONNECT", "TRACE"):
        raise NotAllowed("is never passed on by gwd; leave it out")
    return text


def field_name(text: str) -> str:
    """`text` as a header name. Raises NotAllowed."""
    if _NAME.fullmatch(text) is None:
        raise NotAllowed("is not a header name; use letters, digits and hyphens")
    return text


def identity_name(text: str) -> str:
    """`text` as the name of a header that carries a claim to an upstream. Raises NotAllowed."""
    lower = field_name(text).lower()
    if lower in RESERVED or lower.startswith(_RESERVED_FAMILIES):
        raise NotAllowed('is a header with another meaning; use a name such as "X-User-Id"')
    return text


_NOT_COUNTED = FRAMING | frozenset({"expect", "forwarded", "host", "http2-settings", "proxy"})
"""Fields that end at the gateway, or that it reads in a way of its own."""


def counted_name(text: str) -> str:
    """`text` as the name of a header whose values requests are counted by. Raises NotAllowed."""
    lower = field_name(text).lower()
    if lower in ("x-real-ip", "x-forwarded-for"):
        raise NotAllowed('is believed from trusted proxies only; use "ip"')
    if lower in _NOT_COUNTED | {"traceparent", "x-request-id"} or lower.startswith(
        ("proxy-", "x-forwarded-")
    ):
        raise NotAllowed("is not passed on as it came; use a header of your clients' own")
    return text


def response_name(text: str) -> str:
    """`text` as the name of a header in an answer of the gateway's own. Raises NotAllowed."""
    if field_name(text).lower() in FRAMING | {"x-request-id", "date"}:
        raise NotAllowed("is a header that gwd itself writes; leave it out")
    return text


def field_value(text: str) -> str:
    """`text` as a header value. Raises NotAllowed."""
    if _VALUE.fullmatch(text) is None or text != text.strip(" "):
        raise NotAllowed("is not a header value; use up to 1024 printable ASCII characters")
    return text
