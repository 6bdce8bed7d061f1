"""The compiled filter drops what it was told to and nothing else; the kernel takes it."""

from __future__ import annotations

import functools
import ipaddress
import random
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.controller.packet_filter import MAX_INSTRUCTIONS, Network, compile_filter
from gwd.process.socket_filter import attach, detach

SYN, SYN_ACK, ACK, RST = 0x02, 0x12, 0x10, 0x04
NET_OFF = 0xFFF00000


def network(text: str) -> Network:
    found = ipaddress.ip_network(text)
    return found.network_address.packed, found.prefixlen


@functools.lru_cache(8)
def instructions(program: bytes) -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("HBBI", program))


def passes(program: bytes, source: bytes, flags: int = SYN) -> bool:
    """Run `program` as the kernel does (Documentation/networking/filter.rst) on a packet."""
    if not program:
        return True
    if len(source) == 4:
        header = b"\x45" + bytes(11) + source + bytes(4)
    else:
        header = b"\x60" + bytes(7) + source + bytes(16)
    tcp = bytes(13) + bytes([flags]) + bytes(6)
    code = instructions(program)
    accumulator, place = 0, 0
    while True:
        operation, true, false, operand = code[place]
        place += 1
        if operation in (0x20, 0x30):
            data, at = (header, operand - NET_OFF) if operand >= NET_OFF else (tcp, operand)
            size = 4 if operation == 0x20 else 1
            accumulator = int.from_bytes(data[at : at + size], "big")
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x05:
            place += operand
        elif operation == 0x06:
            return operand != 0
        else:
            holds = {
                0x15: accumulator == operand,
                0x25: accumulator > operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[operation]
            place += true if holds else false


ipv4_networks = st.builds(
    lambda number, prefix: (
        (number >> (32 - prefix) << (32 - prefix)).to_bytes(4, "big"),
        prefix,
    ),
    st.one_of(st.integers(0, 2**32 - 1), st.integers(0x0A000000, 0x0A000FFF)),
    st.one_of(st.just(32), st.integers(8, 32)),
)
ipv6_networks = st.builds(
    lambda number, prefix: (
        (number >> (128 - prefix) << (128 - prefix)).to_bytes(16, "big"),
        prefix,
    ),
    st.one_of(
        st.integers(0, 2**128 - 1),
        st.integers(0, 2**70).map(lambda n: (0x20010DB8 << 96) + n),
    ),
    st.one_of(st.just(64), st.integers(32, 128)),
)


def holds(networks: list[Network], source: bytes) -> bool:
    for address, prefix in networks:
        if len(address) == len(source):
            shift = 8 * len(source) - prefix
            if int.from_bytes(source, "big") >> shift == int.from_bytes(address, "big") >> shift:
                return True
    return False


@given(
    networks=st.lists(st.one_of(ipv4_networks, ipv6_networks), max_size=60),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_it_drops_the_networks_it_was_given_and_nobody_else(
    networks: list[Network], seed: int
) -> None:
    made = compile_filter(networks)
    assert made.networks == len(networks)
    chance = random.Random(seed)
    probes = [bytes(chance.choices(range(256), k=size)) for size in (4, 16) for _ in range(20)]
    for address, prefix in networks:
        bits = 8 * len(address)
        first = int.from_bytes(address, "big")
        last = first | (1 << (bits - prefix)) - 1
        numbers = (first, last, first - 1, last + 1, chance.randint(first, last))
        probes += [n.to_bytes(len(address), "big") for n in numbers if 0 <= n < 1 << bits]
    for source in probes:
        assert passes(made.program, source) is not holds(networks, source)
        for flags in (ACK, RST, 0x18, 0x11):
            assert passes(made.program, source, flags), "only SYNs are dropped"


def crowd(chance: random.Random, count: int) -> list[Network]:
    """Scattered addresses and dense neighbourhoods of both families, in a random order."""
    makers = [
        lambda: (chance.getrandbits(32).to_bytes(4, "big"), 32),
        lambda: ((0x0A000000 + chance.getrandbits(9)).to_bytes(4, "big"), 32),
        lambda: (chance.getrandbits(64).to_bytes(8, "big") + bytes(8), 64),
        lambda: ((0x20010DB8 << 32 | chance.getrandbits(10)).to_bytes(8, "big") + bytes(8), 64),
        lambda: (chance.getrandbits(48).to_bytes(6, "big") + bytes(10), 48),
        lambda: ((0x20010DB8 << 96 | chance.getrandbits(8)).to_bytes(16, "big"), 128),
    ]
    return [chance.choice(makers)() for _ in range(count)]


@pytest.mark.parametrize("count", [17, 260, 900, 1500, 6000])
def test_a_crowd_is_told_from_its_neighbours_in_any_length_the_kernel_takes(count: int) -> None:
    chance = random.Random(count)
    networks = crowd(chance, count)
    most = chance.choice([700, 2000, MAX_INSTRUCTIONS])
    made = compile_filter(networks, most)
    assert compile_filter(networks, most) == made
    assert len(made.program) <= 8 * most
    dropped = networks[: made.networks]
    wanted = {prefix: {n[0] for n in dropped if n[1] == prefix} for prefix in (32, 48, 64, 128)}

    def is_in(source: bytes) -> bool:
        if len(source) == 4:
            return source in wanted[32]
        return (
            source in wanted[128]
            or source[:8] + bytes(8) in wanted[64]
            or source[:6] + bytes(10) in wanted[48]
        )

    for address, prefix in dropped:
        first = int.from_bytes(address, "big")
        past = first + (1 << (8 * len(address) - prefix))
        assert not passes(made.program, address)
        for number in (first - 1, past - 1, past):
            if 0 <= number < 1 << 8 * len(address):
                source = number.to_bytes(len(address), "big")
                assert passes(made.program, source) is not is_in(source)
    for _ in range(2000):
        source = chance.randbytes(chance.choice((4, 16)))
        assert passes(made.program, source) is not is_in(source)
    with socket.socket() as sock:
        attach(sock, made.program)


@pytest.mark.parametrize("kind", ["ipv4", "ipv6 by /64 of one /32", "ipv6 scattered"])
def test_the_first_that_fit_are_dropped_in_a_program_the_kernel_takes(kind: str) -> None:
    chance = random.Random(kind)
    numbers = chance.sample(range(1, 2**32 - 1), 5000)
    if kind == "ipv4":
        networks = [(number.to_bytes(4, "big"), 32) for number in numbers]
    elif kind == "ipv6 scattered":
        networks = [(number.to_bytes(4, "big") + bytes(12), 64) for number in numbers]
    else:
        networks = [(b"\x20\x01\x0d\xb8" + n.to_bytes(4, "big") + bytes(8), 64) for n in numbers]
    made = compile_filter(networks)
    assert len(made.program) // 8 <= MAX_INSTRUCTIONS
    assert made.networks >= (1200 if kind == "ipv6 scattered" else 3000)
    for number in (0, 1, made.networks // 2, made.networks - 1):
        assert not passes(made.program, networks[number][0])
    assert passes(made.program, networks[made.networks][0])
    with socket.socket(socket.AF_INET6 if kind != "ipv4" else socket.AF_INET) as sock:
        attach(sock, made.program)
        detach(sock)


def test_no_networks_make_no_program() -> None:
    assert compile_filter([]).program == b""


def test_the_kernel_refuses_what_is_no_program() -> None:
    with socket.socket() as sock, pytest.raises(OSError, match="Invalid argument"):
        attach(sock, struct.pack("HBBI", 0xFF, 0, 0, 0))


def test_a_dual_stack_socket_sees_ipv4_as_ipv4() -> None:
    made = compile_filter([network("127.0.0.9/32"), network("::1/128")])
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        attach(server, made.program)
        port = server.getsockname()[1]
        for source, target, let_in in (
            ("127.0.0.9", "127.0.0.1", False),
            ("127.0.0.8", "127.0.0.1", True),
            ("::1", "::1", False),
        ):
            family = socket.AF_INET6 if ":" in source else socket.AF_INET
            with socket.socket(family) as client:
                client.bind((source, 0))
                client.settimeout(5 if let_in else 0.3)
                if let_in:
                    client.connect((target, port))
                else:
                    with pytest.raises(TimeoutError):
                        client.connect((target, port))
