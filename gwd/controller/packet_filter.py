"""From networks to a classic BPF program that drops their SYNs: pure, bytes out.

Strategy. The program runs in the kernel for every packet that meets a listener or a connection it
accepted (which inherits it), so what is no SYN leaves after two instructions, and a ban or its end
never touches what is established. Then comes the source address by the packet's own IP version: a
dual-stack socket sees IPv4 as IPv4.

Addresses are ranges of numbers, merged where they touch, so a banned neighbourhood costs two
instructions. One 32-bit word is looked up at a time (IPv6 is a trie of four), by a binary search
that ends in a linear run of at most `LEAF` comparisons. A conditional jump reaches 255
instructions: code is gathered in pages of that size, with a "drop" and an "accept" at the end of
each, and the search between pages jumps by JA.

Measured, in `MAX_INSTRUCTIONS`: 3,800 scattered IPv4 addresses; 3,800 /64 of one /32, or 1,315 that
share nothing; 570 single IPv6 addresses that share nothing. What fits takes about 4 µs an address,
to find out how many fit up to 0.2 s.

Offsets (Linux, net/core/filter.c): plain ones count from the TCP header, those from SKF_NET_OFF on
from the IP header. Packing: struct sock_filter of <linux/filter.h>.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS of <linux/bpf_common.h>."""
LEAF = 16
"""Most comparisons in a row."""
_PAGE = 254
"""Instructions that share their two exits: the first still reaches the last one."""

_LD_BYTE, _LD_WORD, _AND, _RET = 0x30, 0x20, 0x54, 0x06
_JA, _JEQ, _JGT, _JGE, _JSET = 0x05, 0x15, 0x25, 0x35, 0x45
_NET_OFF = 0xFFF00000
_TCP_FLAGS, _SYN = 13, 0x02
_IPV4_SOURCE, _IPV6_SOURCE = _NET_OFF + 12, _NET_OFF + 8
_DROP, _ACCEPT = -1, -2
"""Jumps to the exits of the page, which is not laid out yet."""

Network = tuple[bytes, int]
"""4 or 16 bytes, all zero past the prefix, and the prefix length."""
Range = tuple[int, int]
Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


@dataclass(frozen=True, slots=True)
class Filter:
    """`program` is one of 8-byte instructions for SO_ATTACH_FILTER, b"" for "drop nothing"; it
    drops what comes from the first `networks` of those that were given, and nothing else."""

    program: bytes
    networks: int


class _Item(NamedTuple):
    """Values of one word, `low` to `high`. All that begins with one of them is in, or, if there is
    a `rest` (then it is one value), what goes on as that says. `size`: instructions within a
    page."""

    low: int
    high: int
    rest: list[_Item]
    size: int


def compile_filter(networks: Iterable[Network], most: int = MAX_INSTRUCTIONS) -> Filter:
    """A program of at most `most` instructions for as many of the first `networks` as fit.

    Those past the first 2 × `most` are not looked at.
    """
    first = list(islice(networks, 2 * most))
    count = len(first)
    while count:
        code = _whole(first[:count])
        if len(code) <= most:
            return Filter(b"".join(struct.pack("HBBI", *step) for step in code), count)
        count = count * most // len(code)
    return Filter(b"", 0)


def _whole(networks: Sequence[Network]) -> list[Instruction]:
    ipv4 = _items(_merged([n for n in networks if len(n[0]) == 4], 32), 32)
    ipv6 = _items(_merged([n for n in networks if len(n[0]) == 16], 128), 128)
    accept = (_RET, 0, 0, 0xFFFFFFFF)
    code = [
        (_LD_BYTE, 0, 0, _TCP_FLAGS),
        (_JSET, 1, 0, _SYN),
        accept,
        (_LD_BYTE, 0, 0, _NET_OFF),
        (_AND, 0, 0, 0xF0),
    ]
    if ipv4:
        part = [(_LD_WORD, 0, 0, _IPV4_SOURCE), *_tree(_pages(ipv4), _IPV4_SOURCE)]
        code += [(_JEQ, 1, 0, 0x40), (_JA, 0, 0, len(part)), *part]
    if ipv6:
        part = [(_LD_WORD, 0, 0, _IPV6_SOURCE), *_tree(_pages(ipv6), _IPV6_SOURCE)]
        code += [(_JEQ, 1, 0, 0x60), accept, *part]
    else:
        code.append(accept)
    return code


# addresses as numbers


def _merged(networks: Sequence[Network], bits: int) -> list[Range]:
    """Sorted ranges that neither overlap nor touch."""
    merged: list[Range] = []
    for address, prefix in sorted(networks):
        first = int.from_bytes(address, "big")
        last = first | (1 << (bits - prefix)) - 1
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _items(ranges: list[Range], bits: int) -> list[_Item]:
    """The first word of `ranges`, which are numbers of `bits` bits; the other words below it."""
    below = bits - 32
    end = (1 << below) - 1
    items: list[_Item] = []
    value, partial = -1, list[Range]()

    def close() -> None:
        """No more comes that begins with `value`."""
        nonlocal partial
        if partial:
            rest = _items(partial, below)
            items.append(_Item(value, value, rest, 2 + _size(rest)))
            partial = []

    for first, last in ranges:
        low, high = first >> below, last >> below
        start, stop = first & end, last & end
        if low != value:
            close()
            value = low
        if low == high and (start or stop != end):
            partial.append((start, stop))
            continue
        if start:
            partial.append((start, end))
            low += 1
        whole_high = high - (stop != end)
        if low <= whole_high:
            close()
            items.append(_Item(low, whole_high, [], 1 + (low < whole_high)))
        if stop != end:
            close()
            value = high
            partial.append((0, stop))
    close()
    return items


# code within a page


def _size(items: list[_Item]) -> int:
    """How many instructions `_run` makes."""
    return sum(item.size for item in items) + -(-len(items) // LEAF) - 1


def _run(items: list[_Item], offset: int) -> list[Instruction]:
    """Look up the word that was loaded from `offset`; every way ends in _DROP or _ACCEPT."""
    count = len(items)
    if count > LEAF:
        middle = -(-count // LEAF) // 2 * LEAF
        left, right = _run(items[:middle], offset), _run(items[middle:], offset)
        return [(_JGT, len(left), 0, items[middle - 1].high), *left, *right]
    code: list[Instruction] = []
    for place, (low, high, rest, size) in enumerate(items, 1):
        last = place == count
        if rest:
            code.append((_JEQ, 0, _ACCEPT if last else size - 1, low))
            code.append((_LD_WORD, 0, 0, offset + 4))
            code += _run(rest, offset + 4)
        elif low == high:
            code.append((_JEQ, _DROP, _ACCEPT if last else 0, low))
        else:
            code.append((_JGE, 0, _ACCEPT if last else 1, low))
            code.append((_JGT, _ACCEPT if last else 0, _DROP, high))
    return code


def _page(items: list[_Item], offset: int) -> list[Instruction]:
    """`_run` with its exits."""
    code = _run(items, offset)
    exits = {_ACCEPT: len(code), _DROP: len(code) + 1}
    for place, (operation, true, false, operand) in enumerate(code):
        if true < 0 or false < 0:
            true = exits[true] - place - 1 if true < 0 else true
            false = exits[false] - place - 1 if false < 0 else false
            code[place] = (operation, true, false, operand)
    return [*code, (_RET, 0, 0, 0xFFFFFFFF), (_RET, 0, 0, 0)]


# pages


def _pages(items: list[_Item]) -> list[list[_Item]]:
    """`items` cut into runs that fit into a page each; one that is too large alone stands alone."""
    pages: list[list[_Item]] = []
    room = 0
    for item in items:
        if pages:
            needed = item.size + (len(pages[-1]) % LEAF == 0)
        if not pages or needed > room:
            pages.append([item])
            room = _PAGE - item.size
        else:
            pages[-1].append(item)
            room -= needed
    return pages


def _tree(pages: list[list[_Item]], offset: int) -> list[Instruction]:
    if len(pages) > 1:
        middle = len(pages) // 2
        border = pages[middle - 1][-1].high
        left, right = _tree(pages[:middle], offset), _tree(pages[middle:], offset)
        if len(left) <= 255:
            return [(_JGT, len(left), 0, border), *left, *right]
        return [(_JGT, 0, 1, border), (_JA, 0, 0, len(left)), *left, *right]
    (page,) = pages
    if _size(page) <= _PAGE:
        return _page(page, offset)
    (item,) = page
    return [
        (_JEQ, 1, 0, item.low),
        (_RET, 0, 0, 0xFFFFFFFF),
        (_LD_WORD, 0, 0, offset + 4),
        *_tree(_pages(item.rest), offset + 4),
    ]
