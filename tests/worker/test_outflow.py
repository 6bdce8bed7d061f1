"""A slow reader's stall: nothing taken, too little taken, and enough."""

from __future__ import annotations

import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.process.loop import new_loop
from gwd.worker.outflow import LOOK_EVERY, Outflow, unsent


def test_who_takes_nothing_stands_after_the_time_out() -> None:
    outflow = Outflow(100.0, 5000)
    outflow.look(129.0, 5000)
    assert not outflow.stands(129.0, 30)
    outflow.look(130.0, 5000)
    assert outflow.stands(130.0, 30)


def test_a_byte_now_and_then_does_not_stand_and_is_too_slow() -> None:
    outflow = Outflow(0.0, 300_000)
    for second in range(1, 11):
        outflow.look(float(second), 300_000 - second)
        assert not outflow.stands(second, 5)
        assert not outflow.too_slow(second, 1024)
    outflow.look(10.5, 299_989)
    assert outflow.too_slow(10.5, 1024)
    assert not outflow.too_slow(10.5, 1)


@given(st.integers(1024, 4096), st.lists(st.floats(0.1, LOOK_EVERY), max_size=50))
@settings(max_examples=100)
def test_who_keeps_the_rate_is_never_ended(rate: int, pauses: list[float]) -> None:
    now, left = 50.0, 10_000_000
    outflow = Outflow(now, left)
    for pause in pauses:
        now += pause
        left -= int(pause * rate) + 1
        outflow.look(now, left)
        assert not outflow.stands(now, 5.1)
        assert not outflow.too_slow(now, 1024)


def test_what_is_written_meanwhile_was_not_taken() -> None:
    outflow = Outflow(0.0, 1000)
    outflow.look(1.0, 9000)
    assert outflow.stands(1.0, 1)
    outflow.look(11.0, 8000)
    assert outflow.too_slow(11.0, 100)
    assert not outflow.too_slow(11.0, 90)


def test_it_is_looked_at_when_it_may_stand_and_every_few_seconds() -> None:
    outflow = Outflow(0.0, 1000)
    assert outflow.look_at(0.0, 2) == 2
    assert outflow.look_at(0.0, 30) == LOOK_EVERY
    assert outflow.look_at(28.0, 30) == 30


def test_the_kernel_tells_what_the_peer_has_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = socket.create_connection(server.getsockname())
        writer, _ = server.accept()
    loop = new_loop()

    async def main() -> None:
        import asyncio

        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, writer)
        assert unsent(transport) == 0
        transport.write(b"x" * 20_000_000)
        stuck = unsent(transport)
        assert stuck > transport.get_write_buffer_size() > 0
        taken = 0
        reader.setblocking(False)
        while taken < 8_000_000:
            try:
                taken += len(reader.recv(1 << 20))
            except BlockingIOError:
                await asyncio.sleep(0.001)
        assert unsent(transport) < stuck
        transport.abort()
        assert unsent(transport) >= 0
        await asyncio.sleep(0.01)

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
        reader.close()
