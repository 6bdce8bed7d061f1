"""The table of file descriptors behind poll(2)."""

from __future__ import annotations

import os

from gwd.supervisor.poller import Poller


def test_readable_fds_have_their_function_called():
    reader, writer = os.pipe()
    called: list[int] = []
    poller = Poller()
    poller.register(reader, lambda: called.append(reader))
    poller.wait(0)
    assert called == []
    os.write(writer, b"x")
    poller.wait(1)
    assert called == [reader]
    os.close(reader)
    os.close(writer)


def test_a_number_reused_within_one_turn_is_not_taken_for_its_predecessor():
    first, first_writer = os.pipe()
    second, second_writer = os.pipe()
    wrong: list[str] = []
    poller = Poller()

    def reuse() -> None:
        for fd in (first, second):
            if fd in poller._readers:
                poller.unregister(fd)
                poller.register(fd, lambda: wrong.append("called for an old event"))

    poller.register(first, reuse)
    poller.register(second, reuse)
    os.write(first_writer, b"x")
    os.write(second_writer, b"x")
    poller.wait(1)
    assert wrong == []
    for fd in (first, first_writer, second, second_writer):
        os.close(fd)
