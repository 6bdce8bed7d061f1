"""The adoption measurement: what it counts, against a server that behaves as told."""

from __future__ import annotations

import asyncio

import pytest

from loadtests.adoption import ANSWERED, RACED, Visit, Visitor, summary

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n%s\r\nhello"


def outcomes(*answers: bytes, keeps: bool = False) -> list[str]:
    """Visits of one client to a server that gives `answers`, one each, then closes."""

    async def run() -> list[str]:
        left = list(answers)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while left and await reader.read(4096):
                writer.write(left.pop(0))
                if not keeps:
                    break
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        visitor = Visitor(server.sockets[0].getsockname()[1], keeps=keeps)
        found = [(await visitor.visit()).outcome for _ in answers]
        if keeps:
            found.append((await visitor.visit()).outcome)
        await visitor.close()
        server.close()
        await server.wait_closed()
        return found

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ANSWER % b"", ANSWERED),
        (b"", "closed"),
        (ANSWER[:40], "cut"),
        (ANSWER.replace(b"200", b"503") % b"", "status 503"),
    ],
)
def test_what_becomes_of_a_connection_of_its_own(answer: bytes, outcome: str) -> None:
    assert outcomes(answer) == [outcome]


def test_a_kept_connection_that_is_closed_idle_is_no_loss() -> None:
    assert outcomes(ANSWER % b"", ANSWER % b"", keeps=True) == [ANSWERED, ANSWERED, RACED]


def test_the_row_says_how_many_of_each_and_how_long() -> None:
    visits = [Visit(0, took / 1000, ANSWERED) for took in (1, 2, 30)]
    visits += [Visit(0, 1, RACED), Visit(0, 1, "reset"), Visit(0, 1, "reset"), Visit(0, 1, "cut")]
    assert summary("x", visits) == "| x | 7 | 3 | 1 | 1 cut, 2 reset | 2.0 | 30 |"
    assert summary("none", []) == "| none | 0 | 0 | 0 | 0 | - | - |"
