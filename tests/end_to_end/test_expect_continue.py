"""Expect: 100-continue: the body is asked for only when there is somebody to take it (SEC-15)."""

from __future__ import annotations

from rig.client import request
from rig.configs import config
from rig.kinds import Connect, StartGateway, StartUpstream
from rig.programs import curl, free_port

EXPECTS = request("/x", "Expect: 100-continue", "Content-Length: 3", method="POST")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_the_body_is_asked_for_and_the_expectation_goes_no_further(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    up = upstream()
    running = gateway(config(up.address))
    client = connect(running)
    client.send(EXPECTS)
    while CONTINUE not in client.buffer:
        client.buffer += client.sock.recv(4096)
    assert client.buffer == CONTINUE
    client.send(b"abc")
    answer = client.response("POST")
    assert (answer.status, answer.interim) == (200, [100])
    (seen,) = up.requests
    assert (seen.body, seen.get("expect")) == (b"abc", None)
    assert client.get("/after").status == 200


def test_a_body_that_is_here_already_is_not_asked_for(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address))
    client = connect(running)
    client.send(EXPECTS + b"abc")
    answer = client.response("POST")
    assert (answer.status, answer.interim) == (200, [])


def test_nobody_to_take_it_nothing_asked_for(gateway: StartGateway, connect: Connect) -> None:
    running = gateway(config(f"127.0.0.1:{free_port()}"))
    client = connect(running)
    client.send(EXPECTS)
    answer = client.response("POST")
    assert (answer.status, answer.interim, answer.closes) == (502, [], True)
    assert client.end() == "closed"


def test_curl_waits_for_it(gateway: StartGateway, upstream: StartUpstream) -> None:
    up = upstream()
    running = gateway(config(up.address))
    done = curl(
        *("-H", "Expect: 100-continue", "--expect100-timeout", "10", "--data", "x" * 5000),
        *("-w", "%{http_code} %{time_total}", "-o", "/dev/null", f"{running.url}/x"),
    )
    code, seconds = done.stdout.split()
    assert code == "200"
    assert float(seconds) < 9, "curl had to give up waiting"
    assert up.requests[0].body == b"x" * 5000
