"""Every case of the tables, delivered whole, byte by byte and (a sample) cut at every offset.

Whatever way the bytes come, the outcome is the same; whatever the upstream got of them is one
canonical request that h11 and llhttp read alike, or nothing that is a request.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from rig.blackbox import Rig, check_fields
from rig.client import Broken, Client, Response
from tables import chunks, connections, framing, heads, identities, targets
from tables.case import CHUNKED, UNFINISHED, Case, Seen

GROUPS = {
    "framing": framing.CASES,
    "chunks": chunks.CASES,
    "head": heads.CASES,
    "target": targets.CASES,
    "connection": connections.CASES,
    "identity": identities.CASES,
}
CASES = {f"{group}-{case.name}": case for group, cases in GROUPS.items() for case in cases}
BYTEWISE = {name: case for name, case in CASES.items() if case.bytewise}
CUT = {name: case for name, case in CASES.items() if case.cut}
TOGETHER = 64
"""Connections of one case that are open at the same time."""


def test_no_two_cases_have_one_name() -> None:
    assert len(CASES) == sum(len(cases) for cases in GROUPS.values())


def _answer(client: Client, case: Case) -> Response | None:
    """The answer to `case`, with what must hold of it; None if it got none, where that is right."""
    method = case.sends.lstrip().split(b" ", 1)[0].decode("latin-1")
    try:
        answer = client.response(method if method in ("HEAD", "CONNECT") else "GET")
    except Broken:
        if 0 not in case.status:
            raise
        return None
    assert answer.status in case.status, answer
    assert tuple(answer.interim) == case.interim
    for name, value in case.answer.items():
        assert answer.get(name) == value, name
    assert answer.get("x-request-id"), "every response carries an id"
    if not isinstance(case.sees, Seen) and answer.status >= 400:
        assert answer.get("content-type") == "application/problem+json"
    return answer


def _check_end(client: Client, case: Case) -> None:
    """The connection ends as the case says; if it goes on, its next request is understood."""
    if case.closes:
        assert client.end() == "closed"
        assert client.buffer == b"", "nothing follows the last answer"
    else:
        assert client.get("/after").status == 200


def _check_seen(rig: Rig, case: Case, answer: Response | None) -> None:
    recorded = rig.recorded()
    sees = case.sees
    if not isinstance(sees, Seen):
        assert recorded == [], "refused, and yet a whole request was sent"
        if sees is not UNFINISHED:
            assert rig.upstream.unfinished() == [], "refused, and yet something was sent"
        return
    (request,) = recorded
    assert (request.method, request.target, request.body) == (sees.method, sees.target, sees.body)
    if sees.framing is None:
        lines = []
    elif sees.framing == CHUNKED:
        lines = [("transfer-encoding", "chunked")]
    else:
        lines = [("content-length", str(sees.framing))]
    assert answer is not None
    check_fields(
        request,
        host=sees.host,
        source=case.source,
        fields=sees.fields,
        framing=lines,
        forwarded=sees.forwarded,
        request_id=answer.get("x-request-id"),
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_delivered_whole(rig: Rig, case: Case) -> None:
    rig.upstream.forget()
    with rig.client(case.source) as client:
        client.send(case.sends)
        if case.half_closes:
            client.finish_sending()
        answer = _answer(client, case)
        _check_end(client, case)
    rig.settle()
    _check_seen(rig, case, answer)


@pytest.mark.parametrize("case", BYTEWISE.values(), ids=BYTEWISE)
def test_delivered_byte_by_byte(rig: Rig, case: Case) -> None:
    rig.upstream.forget()
    with rig.client(case.source) as client:
        client.send_pieces(case.sends[at : at + 1] for at in range(len(case.sends)))
        if case.half_closes:
            client.finish_sending()
        answer = _answer(client, case)
        _check_end(client, case)
    rig.settle()
    _check_seen(rig, case, answer)


@pytest.mark.parametrize("case", CUT.values(), ids=CUT)
def test_cut_at_every_offset(rig: Rig, case: Case) -> None:
    rig.upstream.forget()
    offsets = range(1, len(case.sends))
    for some in _batches(offsets):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(rig.client(case.source)) for _ in some]
            for client, offset in zip(clients, some, strict=True):
                client.send(case.sends[:offset])
            time.sleep(0.01)
            for client, offset in zip(clients, some, strict=True):
                client.send(case.sends[offset:])
            for client in clients:
                _answer(client, case)
                _check_end(client, case)
    rig.settle()
    recorded = rig.recorded()
    if not isinstance(case.sees, Seen):
        assert recorded == []
        return
    assert len(recorded) == len(offsets)
    seen = {(r.method, r.target, r.body, len(r.fields)) for r in recorded}
    assert len(seen) == 1, "the same request, however it was cut"


def _batches(offsets: range) -> Iterator[range]:
    for start in range(0, len(offsets), TOGETHER):
        yield offsets[start : start + TOGETHER]
