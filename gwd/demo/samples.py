"""What the sample services know. Every answer follows from the request alone.

A function of `SERVICES` gets the path's segments, without the service's name, and the query; it
answers None for what it does not have.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

Answer = dict[str, Any] | None
Query = Mapping[str, list[str]]

_GOODS = (
    ("kettle", 3990),
    ("teapot", 2450),
    ("cup and saucer", 1290),
    ("tea strainer", 690),
    ("oolong, 100 g", 1150),
)
"""Name and price in cents."""


def profile(segments: list[str], query: Query) -> Answer:
    match segments:
        case [user]:
            return {"user": user, "name": user.title(), "member_since": 2015 + _number(user) % 10}
    return None


def orders(segments: list[str], query: Query) -> Answer:
    match segments:
        case [] if "user" in query:
            first = 1 + _number(query["user"][0]) % 900
            return {"items": [_order(number) for number in range(first, first + 3)]}
        case [number] if number.isascii() and number.isdigit() and len(number) < 10:
            return _order(int(number))
    return None


def cart(segments: list[str], query: Query) -> Answer:
    match segments:
        case [user]:
            first = _number(user) % len(_GOODS)
            goods = [_GOODS[first], _GOODS[(first + 2) % len(_GOODS)]]
            lines = [{"article": name, "price": price / 100} for name, price in goods]
            return {"lines": lines, "total": sum(price for _, price in goods) / 100}
    return None


def _order(number: int) -> dict[str, Any]:
    name, price = _GOODS[number % len(_GOODS)]
    count = 1 + number % 3
    return {"id": number, "article": name, "count": count, "total": count * price / 100}


def _number(text: str) -> int:
    """A number that belongs to `text`, the same in every process."""
    return zlib.crc32(text.encode())


SERVICES: Mapping[str, Callable[[list[str], Query], Answer]] = {
    "profile": profile,
    "orders": orders,
    "cart": cart,
}
