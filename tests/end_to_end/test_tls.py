"""TLS through real processes: what a handshake must be, and what it changes for requests."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from authority import Authority
from rig.client import Broken, Client, request
from rig.gateway import Gateway, rss, until
from rig.kinds import Outside, StartGateway, StartUpstream
from rig.programs import curl, program
from rig.site import HELLO, A, B, Site
from rig.tls import context
from rig.upstream import response

STRANGER, CLIENT = "127.0.0.5", "203.0.113.7"
HSTS = "max-age=31536000; includeSubDomains"


@pytest.fixture
def site(gateway: StartGateway, tmp_path: Path, outside: Outside) -> Site:
    return Site(gateway, tmp_path, outside)


def get(client: Client, target: str = "/x", *fields: str, host: str = A):  # type: ignore[no-untyped-def]
    return client.request(request(target, *fields, host=host))


def test_the_certificate_is_that_of_the_name_and_the_service_learns_of_https(
    site: Site, upstream: StartUpstream
) -> None:
    app = upstream()
    site.start(app.address, server=("forwarded = true",))
    for name in (A, B, "x.wild.example"):
        client = site.connect(name)  # it checks the name
        assert client.tls.selected_alpn_protocol() is None
        for _ in range(3):
            assert get(client, host=name.upper()).status == 200
        got = app.requests[-1]
        assert got.get("x-forwarded-proto") == "https"
        assert got.get("x-forwarded-host") == name
        assert "proto=https" in (got.get("forwarded") or "")
    lines = site.running.logged(9)
    assert {line["tls"] for line in lines} == {"TLSv1.3"}


def test_an_unknown_name_gets_the_first_certificate_and_no_name_any_host(
    site: Site, upstream: StartUpstream
) -> None:
    site.start(upstream().address)
    with pytest.raises(ssl.SSLCertVerificationError):
        site.connect("c.example")
    client = site.connect("c.example", check=False)
    assert ("DNS", A) in client.tls.getpeercert()["subjectAltName"]  # type: ignore[index]
    assert get(client, host="c.example").status == 200
    nameless = site.connect(None)
    assert get(nameless, host=A).status == get(nameless, host=B).status == 200


def test_a_host_that_disagrees_with_the_name_is_misdirected(
    site: Site, upstream: StartUpstream
) -> None:
    app = upstream()
    site.start(app.address, server=('trusted_proxies = ["127.0.0.1"]',))
    client = site.connect(A)
    for host, status in ((A, 200), (B, 421), ("A.Example.:443", 200), (f"x.{A}", 421), (A, 200)):
        answer = get(client, host=host)
        assert answer.status == status, host
        if status == 421:
            assert answer.get("content-type") == "application/problem+json"
            assert json.loads(answer.body)["status"] == 421
            assert not answer.closes
    assert get(client, "/-/ready", host=B).status == 421
    client.send(b"GET /x HTTP/1.0\r\n\r\n")
    assert client.response().status == 200
    assert len(app.requests) == 4
    assert len(site.running.logged(3, reason="misdirected", status=421)) == 3


def test_answers_over_tls_are_strict_whoever_makes_them(
    site: Site, upstream: StartUpstream
) -> None:
    app = upstream()
    own = 'headers = { "Strict-Transport-Security" = "max-age=1" }'
    routes = f"""
[[routes]]
name = "own"
path = "/own"
respond = {{ body = "own", {own} }}
[[routes]]
name = "app"
path = "/*"
upstream = "app"
"""
    app.on("/up", response(b"up", "strict-transport-security: max-age=2", "A: 1"))
    app.on("/plain", response(b"plain"))
    site.start(
        app.address,
        bind=("tls = true", "tls = false"),
        tls=f'hsts = "{HSTS}"',
        routes=routes,
    )
    client = site.connect()
    targets = ("/up", "/plain", "/up", "/up", "/plain", "/plain", "/own", "/nothing%2Fhere")
    for target in targets:
        answer = get(client, target)
        assert answer.all("strict-transport-security") == [HSTS], target
        assert target != "/up" or (answer.get("a"), answer.body) == ("1", b"up")
    assert get(client, host=B).get("strict-transport-security") == HSTS
    client.send(b"BAD\r\n\r\n")
    assert client.response().get("strict-transport-security") == HSTS
    plain = site.plain(listener=1)
    assert get(plain, "/plain").get("strict-transport-security") is None
    assert get(plain, "/none").get("strict-transport-security") is None


def test_a_redirecting_listener_sends_everybody_to_https(
    site: Site, upstream: StartUpstream
) -> None:
    app = upstream()
    running = site.start(
        app.address,
        bind=("redirect_https = true", "tls = true"),
        more='[limits]\ndeny = ["127.0.0.5"]\n',
    )
    port = site.address(1)[1]
    client = site.plain()
    for target, path in (
        ("/", "/"),
        ("/a%20b/../c%20d?e=f&g", "/c%20d?e=f&g"),
        ("/-/ready", "/-/ready"),
        ("//x.example/", "/x.example/"),
    ):
        answer = get(client, target, host="A.example:8080")
        assert answer.status == 308
        assert answer.get("location") == f"https://a.example:{port}{path}"
        assert answer.get("strict-transport-security") is None
    posted = client.request(request("/x", method="POST", body=b"12345", host="[::1]"))
    assert (posted.status, posted.get("location")) == (308, f"https://[::1]:{port}/x")
    assert client.request(request("*", method="OPTIONS")).status == 204
    assert client.request(b"GET / HTTP/1.0\r\n\r\n").status == 400
    assert get(site.plain(source=STRANGER)).status == 403
    assert not app.requests
    answer = curl(
        *("--cacert", str(_written(site.authority.pem, running)), "-L", "-o", "/dev/null"),
        *("-w", "%{http_code} %{num_redirects}"),
        *("--connect-to", f"{A}:80:127.0.0.1:{site.address(0)[1]}"),
        *("--connect-to", f"{A}:{port}:127.0.0.1:{port}"),
        f"http://{A}/x",
    )
    assert answer.stdout == "200 1", answer.stderr


def _written(pem: bytes, running: Gateway) -> Path:
    path = running.directory / "authority.pem"
    path.write_bytes(pem)
    return path


# client certificates

FIELDS = """client_ca = "{ca}"
client_fields = { subject = "X-Client", fingerprint = "X-Print", san = "X-San", serial = "X-No" }
"""
SPOOFED = ("X-Client: CN=root", "x-client: CN=root", "X_Client: CN=root", "X-Print: 00")


def _fields(site: Site, directory: Path) -> str:
    path = directory / "clients.pem"
    path.write_bytes(site.authority.pem)
    return FIELDS.replace("{ca}", str(path))


def test_upstreams_are_told_of_verified_clients_and_of_nobody_else(
    site: Site, upstream: StartUpstream, tmp_path: Path
) -> None:
    app = upstream()
    site.start(
        app.address,
        bind=('tls = true, client_auth = "optional"', "tls = true", "tls = false"),
        tls=_fields(site, tmp_path),
    )
    shown = site.authority.client("worker-7.example")
    known = site.connect(shown=shown)
    for _ in range(2):
        assert get(known, "/x", *SPOOFED).status == 200
        got = app.requests[-1]
        assert got.get("x-client") == "CN=worker-7.example"
        assert got.get("x-san") == "DNS:worker-7.example"
        assert len(got.get("x-print") or "") == 64
        assert got.get("x-no")
    others = (site.connect(), site.connect(listener=1, shown=shown), site.plain(listener=2))
    for client in others:
        assert get(client, "/x", *SPOOFED).status == 200
        names = {name for name, _ in app.requests[-1].fields}
        assert not {"x-client", "x_client", "x-print", "x-san", "x-no"} & names
    forged = Authority("a stranger").client("worker-7.example")
    assert site.refuses(shown=forged)


def test_where_a_certificate_is_required_nobody_comes_in_without(
    site: Site, upstream: StartUpstream, tmp_path: Path
) -> None:
    app = upstream()
    site.start(
        app.address,
        bind=('tls = true, client_auth = "required"',),
        tls=_fields(site, tmp_path),
        workers=2,
    )
    assert site.refuses()
    assert site.refuses(shown=Authority("a stranger").client())
    assert site.refuses(shown=site.authority.issue("a client", days=-0.5))
    assert not app.requests
    client = site.connect(shown=site.authority.client("alice"))
    assert client.tls.session is None or not client.tls.session.has_ticket
    assert get(client).status == 200
    assert app.requests[-1].get("x-client") == "CN=alice"


# the handshake itself


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(
    site: Site, upstream: StartUpstream, version: ssl.TLSVersion
) -> None:
    site.start(upstream().address)
    old = context(site.authority.pem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = version
    old.set_ciphers("ALL:@SECLEVEL=0")
    assert site.refuses(tls=old)


@pytest.mark.parametrize(
    ("listener", "versions", "ciphers", "reason"),
    [
        (0, ("TLSv1_1", "TLSv1_1"), "ALL:@SECLEVEL=0", "TLSV1_ALERT_PROTOCOL_VERSION"),
        (0, ("TLSv1_2", "TLSv1_2"), "AES128-SHA", "SSLV3_ALERT_HANDSHAKE_FAILURE"),
        (1, ("TLSv1_2", "TLSv1_2"), "", "SSLV3_ALERT_HANDSHAKE_FAILURE"),
        (1, ("TLSv1_3", "TLSv1_3"), "", "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    ],
)
def test_who_is_refused_is_told_why(
    site: Site, listener: int, versions: tuple[str, str], ciphers: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(site.authority.pem)
    site.start(
        bind=("tls = true", 'tls = true, client_auth = "required"'),
        tls=f'client_ca = "{tmp_path}/ca.pem"\n',
        routes='[[routes]]\nname = "r"\npath = "/*"\nrespond = { body = "x" }\n',
    )
    tls = context(site.authority.pem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tls.minimum_version, tls.maximum_version = (ssl.TLSVersion[v] for v in versions)
    if ciphers:
        tls.set_ciphers(ciphers)
    with pytest.raises(ssl.SSLError) as caught:  # noqa: PT012  # TLS 1.3 tells it afterwards
        client = site.connect(tls=tls, listener=listener)
        client.sock.recv(1)
    assert caught.value.reason == reason


def test_renegotiation_is_refused(site: Site, upstream: StartUpstream) -> None:
    site.start(upstream().address)
    host, port = site.address()
    command = [program("openssl"), "s_client", "-connect", f"{host}:{port}", "-tls1_2"]
    with subprocess.Popen(
        [*command, "-servername", A],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        said = b""
        while b"Verify return code" not in said:
            said += client.stdout.readline()
        client.stdin.write(b"R\n")
        client.stdin.flush()
        rest, _ = client.communicate(timeout=10)
    assert b"RENEGOTIATING" in rest
    assert b"no renegotiation" in rest


def test_a_plain_request_is_told_what_is_spoken_here(site: Site, upstream: StartUpstream) -> None:
    app = upstream()
    site.start(app.address, tls=f'hsts = "{HSTS}"')
    answer = get(site.plain())
    assert answer.status == 400
    assert "HTTPS" in json.loads(answer.body)["detail"]
    assert not app.requests
    site.running.logged(1, reason="malformed")


@pytest.mark.parametrize(
    "hello", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x80\x2e\x01", b"\0", b"\x16" * 70000]
)
def test_who_does_not_do_its_handshake_is_reset_in_time(
    site: Site, upstream: StartUpstream, hello: bytes
) -> None:
    site.start(upstream().address, server=('handshake_timeout = "300ms"',))
    client = site.plain()
    client.send(hello)
    assert client.end(5) in ("reset", "closed")
    assert get(site.connect()).status == 200


def test_sec_49_denied_and_banned_peers_do_not_even_begin(
    site: Site, upstream: StartUpstream
) -> None:
    site.start(
        upstream().address,
        bind=("tls = true", "tls = true, proxy_protocol = true"),
        server=('trusted_proxies = ["127.0.0.1"]',),
        more='[limits]\ndeny = ["127.0.0.6", "203.0.113.66"]\n'
        '[limits.per_ip]\nrate = "1000/s"\n'
        '[limits.ban]\nafter = 60\nfor = "60s"\naction = "close"\n',
    )
    assert site.running.command("ban", STRANGER, "--for", "1h").returncode == 0
    assert site.running.command("ban", CLIENT, "--for", "1h").returncode == 0
    assert site.shuts_out("127.0.0.6")
    assert site.shuts_out(STRANGER)
    for announced in (CLIENT, "203.0.113.66"):
        header = f"PROXY TCP4 {announced} 192.0.2.1 1 2\r\n".encode()
        assert site.shuts_out(before=header, listener=1)
    header = b"PROXY TCP4 203.0.113.8 192.0.2.1 1 2\r\n"
    assert get(site.connect(before=header, listener=1)).status == 200
    assert get(site.connect()).status == 200


def test_proxy_header_and_handshake_together_make_the_client(
    site: Site, upstream: StartUpstream
) -> None:
    app = upstream()
    site.start(
        app.address,
        bind=("tls = true, proxy_protocol = true",),
        server=('trusted_proxies = ["127.0.0.1"]',),
    )
    header = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\x7f\0\0\1\0\1\0\2"
    client = site.connect(before=header)
    assert get(client).status == 200
    assert app.requests[-1].get("x-forwarded-for") == CLIENT
    assert app.requests[-1].get("x-forwarded-proto") == "https"
    (line,) = site.running.logged(1)
    assert (line["client_ip"], line["remote_ip"]) == (CLIENT, "127.0.0.1")
    assert site.shuts_out()


def _serves_a_stranger(site: Site) -> bool:
    try:
        with site.connect(source=STRANGER) as client:
            return get(client).status == 200
    except (OSError, Broken):
        return False


def test_one_address_has_so_many_handshakes_and_no_more(
    site: Site, upstream: StartUpstream
) -> None:
    site.start(
        upstream().address,
        server=("max_handshakes = 4", "max_handshakes_per_ip = 2", 'handshake_timeout = "1s"'),
    )
    held = [site.plain(source=STRANGER) for _ in range(2)]
    for client in held:
        client.send(HELLO)
    assert site.shuts_out(STRANGER)
    assert get(site.connect()).status == 200  # others have their turn
    done = site.connect()
    assert get(done).status == 200  # who is done does not count
    assert [client.end() for client in held] == ["reset", "reset"]
    assert until(lambda: _serves_a_stranger(site))


def test_those_who_never_finish_a_handshake_do_not_keep_all_places(
    site: Site, upstream: StartUpstream
) -> None:
    site.start(
        upstream().address,
        server=("max_connections = 20", 'handshake_timeout = "60s"', 'head_timeout = "60s"'),
    )
    crowd = [site.plain(source=f"127.0.9.{number + 1}") for number in range(40)]
    for client in crowd[:10]:
        client.send(HELLO)
    for number in range(4):
        began = time.monotonic()
        assert get(site.connect(source=f"127.0.8.{number + 1}")).status == 200
        assert time.monotonic() - began < 10  # and not a minute
    assert sum(client.end(0.1) == "open" for client in crowd) > 10  # no more than need be


def test_handshakes_count_on_max_connections_over_all_workers(
    site: Site, upstream: StartUpstream
) -> None:
    running = site.start(upstream().address, server=("max_connections = 40",), workers=2)
    assert get(site.connect()).status == 200

    def held() -> int:
        return sum(len(os.listdir(f"/proc/{worker}/fd")) for worker in running.workers())

    before = held()
    for number in range(100):
        site.plain(source=f"127.0.9.{number + 1}")
    time.sleep(0.5)  # by when all that may be accepted are, and nobody has to make room
    # One may have borrowed all that the other, which is sure of its half, had not taken yet.
    assert 38 <= held() - before <= 62


def test_sec_49_connections_that_have_not_said_a_word_count_on_their_addresss(
    site: Site, upstream: StartUpstream
) -> None:
    site.start(
        upstream().address,
        server=('handshake_timeout = "4s"',),
        more='[limits.per_ip]\nrate = "1000/s"\nconnections = 3\n',
    )

    silent = [site.plain(source=STRANGER) for _ in range(3)]
    assert [client.end(0.3) for client in silent] == ["open"] * 3
    assert site.shuts_out(STRANGER)
    assert get(site.connect()).status == 200
    silent[0].close()  # in mid-air
    assert until(lambda: _serves_a_stranger(site), 2)
    assert [client.end() for client in silent[1:]] == ["reset"] * 2  # not in time
    assert until(lambda: _serves_a_stranger(site))
    time.sleep(0.2)
    done = [site.connect(source=STRANGER) for _ in range(3)]
    assert [get(client).status for client in done] == [200] * 3
    assert site.shuts_out(STRANGER)
    for client in done:
        client.close()
    assert until(lambda: _serves_a_stranger(site))


def test_a_full_line_of_handshakes_delays_others_and_refuses_nobody(
    site: Site, upstream: StartUpstream
) -> None:
    site.start(
        upstream().address,
        bind=("tls = true", "tls = false"),
        server=("max_handshakes = 2", "max_handshakes_per_ip = 2", 'handshake_timeout = "2s"'),
    )
    held = []
    for number in range(12):
        client = site.plain(source=f"127.0.0.{20 + number}")
        client.send(HELLO)
        held.append(client)
    began = time.monotonic()
    assert get(site.plain(listener=1)).status == 200
    assert time.monotonic() - began < 2 or held[0].end(0) != "open"
    assert get(site.connect()).status == 200
    assert until(lambda: all(client.end(0) == "reset" for client in held))


def test_who_comes_at_once_with_more_than_the_line_admits_gets_its_turn(
    site: Site, upstream: StartUpstream
) -> None:
    running = site.start(
        upstream().address,
        server=("max_handshakes = 1", "max_handshakes_per_ip = 1", 'handshake_timeout = "500ms"'),
    )
    (worker,) = running.workers()
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        for number in range(5):  # they are accepted all together, and take half a second each
            site.plain(source=f"127.0.0.{20 + number}").send(HELLO)
        last = pool.submit(site.connect)
        time.sleep(0.2)
        os.kill(worker, signal.SIGCONT)
        assert get(last.result()).status == 200


# the end of a connection


def test_the_end_is_told_and_the_answer_read_though_the_body_still_comes(
    site: Site, upstream: StartUpstream
) -> None:
    site.start(upstream().address, server=('max_body = "1KiB"',))
    client = site.connect()
    client.send(request("/x", "Content-Length: 1000000", method="POST", host=A))
    for _ in range(20):
        client.send(bytes(10_000))
        time.sleep(0.001)
    answer = client.response()
    assert (answer.status, answer.closes) == (413, True)
    assert client.end(1) == "closed"

    polite = site.connect()
    answer = get(polite, "/x", "Connection: close")
    assert answer.status == 200
    assert polite.end(1) == "closed"


def test_big_bodies_go_both_ways(site: Site, upstream: StartUpstream) -> None:
    app = upstream()
    body = bytes(range(256)) * 8000
    app.on("/big", response(body))
    site.start(app.address)
    client = site.connect()
    answer = client.request(request("/big", method="POST", body=body, host=A))
    assert answer.body == body
    assert app.requests[-1].body == body


def test_a_graceful_stop_ends_what_is_silent_and_finishes_the_rest(
    site: Site, upstream: StartUpstream
) -> None:
    app = upstream()
    running = site.start(app.address)
    silent, busy = site.plain(), site.connect()
    assert get(busy).status == 200
    began = time.monotonic()
    running.process.terminate()
    assert silent.end(3) in ("reset", "closed")
    assert busy.end(3) == "closed"
    assert running.process.wait(10) == 0
    assert time.monotonic() - began < 15  # and not shutdown_grace


def test_a_reload_holds_for_connections_that_are_open(
    site: Site, upstream: StartUpstream, tmp_path: Path
) -> None:
    app = upstream()
    running = site.start(
        app.address,
        bind=('tls = true, client_auth = "optional"',),
        tls=_fields(site, tmp_path) + 'hsts = "max-age=1"\n',
    )
    client = site.connect(shown=site.authority.client("alice"))
    assert get(client).get("strict-transport-security") == "max-age=1"
    text = running.config.read_text()
    text = text.replace("max-age=1", HSTS).replace('subject = "X-Client"', 'subject = "X-Subject"')
    assert running.reload(text).returncode == 0, running.said()
    answer = get(client, "/x", "X-Subject: CN=root", "X-Client: kept")
    assert answer.all("strict-transport-security") == [HSTS]
    got = app.requests[-1]
    assert (got.get("x-subject"), got.get("x-client")) == ("CN=alice", "kept")


def test_who_is_banned_is_cut_off_over_tls_too(site: Site, upstream: StartUpstream) -> None:
    running = site.start(upstream().address)
    client = site.connect(source=STRANGER)
    other = site.connect()
    assert get(client).status == get(other).status == 200
    assert running.command("ban", STRANGER, "--for", "1h").returncode == 0
    assert client.end(5) in ("reset", "cut")
    assert get(other).status == 200


def test_who_accepts_for_another_speaks_as_that_listener(
    site: Site, upstream: StartUpstream
) -> None:
    running = site.start(
        upstream().address, bind=("redirect_https = true", "tls = true"), workers=2
    )
    hung = running.workers()[0]
    os.kill(hung, signal.SIGSTOP)
    try:
        assert until(lambda: "listener adopted" in running.said())
        for _ in range(12):  # whichever queue the kernel chooses
            assert get(site.connect(listener=1)).status == 200
            assert get(site.plain()).status == 308
    finally:
        os.kill(hung, signal.SIGCONT)


def test_a_storm_of_handshakes_leaves_no_memory_behind(site: Site, upstream: StartUpstream) -> None:
    running = site.start(
        upstream().address, server=("max_handshakes = 1000", "max_handshakes_per_ip = 1000")
    )
    (worker,) = running.workers()
    hello, wire = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context(site.authority.pem).wrap_bio(hello, wire, server_hostname=A).do_handshake()
    first = wire.read()
    before = rss(worker)
    for _ in range(2):
        held = [site.plain() for _ in range(700)]
        for client in held:
            client.send(first)
        for client in held:
            assert client.sock.recv(1)
        for client in held:
            client.close()
    # Seven: the sets and tables that grew with them. Without asking for it back, over forty.
    assert until(lambda: rss(worker) - before < 14_000_000)
