"""The sample services, spoken to over real sockets."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket

import pytest

from gwd.demo.service import MAX_BYTES, pieces


@pytest.fixture
def orders(service):
    connection = http.client.HTTPConnection("127.0.0.1", service("orders"), timeout=20)
    yield connection
    connection.close()


def ask(connection, method, target, body=None, headers=()):
    connection.request(method, target, body, dict(headers))
    response = connection.getresponse()
    return response, response.read()


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer


def test_every_answer_says_who_gave_it(orders):
    for target in ("/healthz", "/orders/42", "/nothing/here", "/bytes/1"):
        response, _ = ask(orders, "GET", target)
        assert response.headers["X-Served-By"] == "orders-1"


def test_a_connection_serves_many_requests(orders):
    ask(orders, "GET", "/healthz")
    first = orders.sock
    for _ in range(5):
        response, _ = ask(orders, "GET", "/orders/42")
        assert response.status == 200
    assert orders.sock is first


@pytest.mark.parametrize(
    ("name", "target", "member"),
    [
        ("profile", "/profile/ada", "name"),
        ("orders", "/orders/42", "total"),
        ("orders", "/orders?user=ada", "items"),
        ("cart", "/cart/ada", "lines"),
    ],
)
def test_what_is_known_is_json_with_and_without_the_services_name(service, name, target, member):
    connection = http.client.HTTPConnection("127.0.0.1", service(name), timeout=20)
    response, body = ask(connection, "GET", target)
    assert response.headers["Content-Type"] == "application/json"
    assert member in json.loads(body)
    assert ask(connection, "GET", "/" + target.removeprefix(f"/{name}").lstrip("/"))[1] == body
    connection.close()


@pytest.mark.parametrize(
    "target", ["/orders", "/orders/x", "/orders/1/2", "//[", "/%ff", "/bytes/x"]
)
def test_what_is_not_there_is_404(orders, target):
    response, body = ask(orders, "GET", target)
    assert response.status == 404
    assert "error" in json.loads(body)


def test_other_methods_than_get_are_for_echo_only(orders):
    response, _ = ask(orders, "POST", "/orders/42", b"x")
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


def test_head_has_the_fields_of_get_and_no_body(orders):
    got, body = ask(orders, "GET", "/orders/42")
    response, nothing = ask(orders, "HEAD", "/orders/42")
    assert nothing == b""
    assert response.headers["Content-Length"] == got.headers["Content-Length"] == str(len(body))
    assert ask(orders, "HEAD", "/bytes/100")[0].headers["Content-Length"] == "100"


@pytest.mark.parametrize("chunked", [False, True])
def test_echo_says_what_was_received(orders, chunked):
    data = os.urandom(3_000_000)
    body = iter([data[:1], data[1:2_000_000], data[2_000_000:]]) if chunked else data
    response, answer = ask(orders, "POST", "/orders/echo?a=b", body, {"X-Seen": "yes"})
    echo = json.loads(answer)
    assert response.status == 200
    assert (echo["method"], echo["target"]) == ("POST", "/orders/echo?a=b")
    assert ["X-Seen", "yes"] in echo["headers"]
    assert (echo["length"], echo["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("count", [0, 1, 255, 65536, 65537, 5_000_000])
def test_bytes_are_as_many_as_asked_for(orders, count):
    _, body = ask(orders, "GET", f"/bytes/{count}")
    assert body == (bytes(range(256)) * (count // 256 + 1))[:count] == b"".join(pieces(count))


def test_more_bytes_than_allowed_are_refused(orders):
    assert ask(orders, "GET", f"/bytes/{MAX_BYTES + 1}")[0].status == 404


def test_who_waits_for_100_continue_is_told(service):
    port = service("orders")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"ok")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_requests_are_answered_in_order(service):
    answer = raw(
        service("orders"),
        b"GET /orders/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /orders/2 HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.index(b'"id": 1') < answer.index(b'"id": 2')


def test_what_is_not_http_is_answered_400_and_the_end(service):
    answer = raw(service("orders"), b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_an_http_1_0_request_ends_its_connection(service):
    answer = raw(service("orders"), b"GET /healthz HTTP/1.0\r\n\r\n")
    assert b'"status": "ok"' in answer
