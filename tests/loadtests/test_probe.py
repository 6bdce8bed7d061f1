"""Probes find a proxy that does not do what it is measured for. Real servers, no proxies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loadtests.compare.probe import Probe, check
from loadtests.compare.tokens import make_keys, tampered
from loadtests.compare.work import WORKS


class Server(ThreadingHTTPServer):
    answers: dict[str, tuple[int, bytes]]
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        status, body = self.server.answers.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(answers: dict[str, tuple[int, bytes]]) -> Iterator[int]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers = answers
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def service() -> Iterator[int]:
    parts = {f"/{name}": (200, json.dumps(name).encode()) for name in "abc"}
    with serving({"/items/42": (200, b"forty-two"), **parts}) as port:
        yield port


def test_the_same_answer_is_good(service: int) -> None:
    with serving({"/items/42": (200, b"forty-two")}) as proxy:
        assert check(Probe("/items/42"), proxy, service) == ""


def test_another_body_is_not(service: int) -> None:
    with serving({"/items/42": (200, b"it works!")}) as proxy:
        assert "not what the service answers" in check(Probe("/items/42"), proxy, service)


def test_a_verifier_that_lets_everything_pass_is_found(service: int) -> None:
    assert "status 200 instead of 401" in check(Probe("/items/42", status=401), service, service)


def test_a_verifier_that_lets_nothing_pass_is_found(service: int) -> None:
    with serving({"/items/42": (401, b"")}) as proxy:
        assert "status 401 instead of 200" in check(Probe("/items/42"), proxy, service)


def test_whatever_comes_may_be_right(service: int) -> None:
    assert check(Probe("/none", status=0), service, service) == ""


def test_an_answer_with_a_length_is_not_chunked(service: int) -> None:
    assert "did not come in chunks" in check(Probe("/items/42", chunked=True), service, service)


def test_an_aggregate_must_hold_what_its_parts_answer(service: int) -> None:
    probe = Probe("/all", parts={name: f"/{name}" for name in "abc"})
    whole = {name: name for name in "abc"}
    with serving({"/all": (200, json.dumps(whole).encode())}) as proxy:
        assert check(probe, proxy, service) == ""
    with serving({"/all": (200, json.dumps({**whole, "b": "x"}).encode())}) as proxy:
        assert "not what the service answers" in check(probe, proxy, service)


def test_every_work_is_probed() -> None:
    keys = make_keys(1)
    assert all(work.checks(keys) for work in WORKS)
    tokens = next(work for work in WORKS if work.name == "jwt").checks(keys)
    assert {probe.status for probe in tokens} == {200, 401}


def test_a_tampered_token_differs_in_its_signature_alone() -> None:
    (token,) = make_keys(1).valid
    other = tampered(token)
    assert other != token
    assert len(other) == len(token)
    assert other.rpartition(".")[0] == token.rpartition(".")[0]
