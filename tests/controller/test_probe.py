"""Single checks against a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource

import pytest

from gwd.controller.probe import MAX_RESPONSE, Finding, Target, probe


def check(service, answer: bytes | None = None, *, timeout: float = 20.0) -> Finding:
    async def run() -> Finding:
        if answer is not None:
            service.answer = answer
        await service.start()
        try:
            return await probe(
                Target("127.0.0.1", service.port, "/healthz?deep=1", "orders.example", timeout)
            )
        finally:
            await service.stop()

    return asyncio.run(run())


def test_a_check_is_a_get_on_a_connection_of_its_own(service):
    assert check(service) == Finding(True, "")
    lines = service.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /healthz?deep=1 HTTP/1.1"
    assert b"Host: orders.example" in lines
    assert b"Connection: close" in lines


@pytest.mark.parametrize("status", [200, 204, 302, 304, 399])
def test_2xx_and_3xx_are_good(service, status):
    answer = b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status
    assert check(service, answer) == Finding(True, "")


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_other_statuses_are_bad(service, status):
    answer = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
    assert check(service, answer) == Finding(False, f"status {status}")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nBad Field: x\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_RESPONSE, "not HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, "closed without an answer"),
    ],
    ids=["ssh", "field", "endless head", "interim for ever"],
)
def test_what_is_no_answer_is_bad(service, answer, reason):
    assert check(service, answer) == Finding(False, reason)


def test_an_interim_response_is_not_the_answer(service):
    answer = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
    assert check(service, answer) == Finding(False, "status 500")


def test_the_head_decides_however_the_body_ends(service):
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\nx"
    service.answer = cut

    async def run() -> Finding:
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(cut)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await probe(Target("127.0.0.1", port, "/", "x", 20.0))

    assert asyncio.run(run()) == Finding(True, "")


def test_an_endless_body_is_good_and_read_no_further_than_allowed(service):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert check(service, head + b"4000\r\n%b\r\n" % (b"x" * 0x4000) * 1000) == Finding(True, "")


def test_a_body_that_never_comes_does_not_hold_the_check_for_long(service):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert check(service, head, timeout=0.2) == Finding(True, "")


def test_silence_is_a_timeout(service):
    service.silent = True
    assert check(service, timeout=0.1) == Finding(False, "timeout")


def test_a_port_where_nobody_listens_is_refused():
    async def run() -> Finding:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return await probe(Target("127.0.0.1", port, "/", "x", 20.0))

    assert asyncio.run(run()) == Finding(False, "connection refused")


def test_a_service_that_hangs_up_is_bad():
    async def run() -> Finding:
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await probe(Target("127.0.0.1", port, "/", "x", 20.0))

    assert asyncio.run(run()) == Finding(False, "closed without an answer")


def test_a_reset_is_bad():
    async def run() -> Finding:
        async def serve(reader, writer):
            writer.transport.abort()  # with the request unread: the kernel answers RST

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await probe(Target("127.0.0.1", port, "/", "x", 20.0))

    finding = asyncio.run(run())
    assert finding.good is False
    assert finding.reason in ("connection reset", "closed without an answer")


def test_running_out_of_fds_says_nothing_about_the_endpoint(service):
    async def run() -> Finding:
        await service.start()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            return await probe(Target("127.0.0.1", service.port, "/", "x", 20.0))
        finally:
            for fd in taken:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await service.stop()

    assert asyncio.run(run()) == Finding(None, os.strerror(errno.EMFILE).lower())


def test_the_service_sees_its_connection_end_cleanly(service):
    async def run() -> None:
        await service.start()
        await probe(Target("127.0.0.1", service.port, "/", "x", 20.0))
        async with asyncio.timeout(20):
            await service.ended.wait()
        await service.stop()

    asyncio.run(run())
