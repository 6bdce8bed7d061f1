"""Upstreams are not trusted to be correct: what each sends, and what the client gets of it.

A wrong answer is a 502 or an honest break, never a good-looking end; the connection it came on is
never used again; and whoever asks next gets the answer to its own question.
"""

from __future__ import annotations

import time

import h11
import pytest
from rig.blackbox import Rig
from rig.client import Broken, Client
from tables.responses import BREAKS, CASES, CLOSES, Answer

BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize("case", BY_NAME.values(), ids=BY_NAME)
def test_answer(rig: Rig, case: Answer) -> None:
    upstream = rig.upstream
    upstream.forget()
    upstream.on("/case", *case.script, early=bool(case.sends))
    with rig.client() as client:
        client.send(case.sends or _request(case))
        if case.end == BREAKS:
            _check_broken(client, case)
        else:
            _check_whole(client, case)
    used = _connection_of_case(rig)
    rig.settle()
    (next_,) = [r for r in upstream.requests if r.target == "/barrier"]
    if case.reused:
        assert next_.connection == used
    else:
        assert next_.connection != used


def _request(case: Answer) -> bytes:
    return f"{case.method} /case {case.version}\r\nHost: gw.test\r\n\r\n".encode()


def _connection_of_case(rig: Rig) -> int:
    """The number of the connection that carried the case's (first) request."""
    for connection in rig.upstream.connections:
        if b" /case " in connection.received:
            return connection.number
    raise AssertionError("the upstream never saw the case")


def _check_whole(client: Client, case: Answer) -> None:
    answer = client.response(case.method)
    assert answer.status == case.status
    if case.body is not None:
        assert answer.body == case.body
    else:
        assert answer.get("content-type") == "application/problem+json"
        assert b"127.0.0.1" not in answer.body
    for name, value in case.fields.items():
        assert ("|".join(answer.all(name)) or None) == value, name
    assert len(answer.all("content-length")) + len(answer.all("transfer-encoding")) <= 1
    assert answer.interim == []
    if case.end == CLOSES:
        assert client.end() in ("closed", "reset")
        assert client.buffer == b"", "nothing follows the last answer"
    else:
        time.sleep(case.pause)
        assert client.get("/after").status == 200


def _check_broken(client: Client, case: Answer) -> None:
    """The client cannot take what it got for a whole answer."""
    try:
        client.response(case.method)
    except (Broken, h11.RemoteProtocolError):
        return
    raise AssertionError("a truncated answer looks whole")
