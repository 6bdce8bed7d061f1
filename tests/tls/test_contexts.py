from __future__ import annotations

import dataclasses
import os
import ssl
import subprocess
from collections.abc import Callable

import pytest
from authority import Authority, Issued
from handshakes import PATIENCE, Client, Served, Workers

from gwd.config.snapshot import Bind, Certificate
from gwd.tls.contexts import BadCertificate, ListenerContexts

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("newest", [TLS12, TLS13], ids=["1.2", "1.3"])
REFUSED = (ssl.SSLError, ConnectionError)
Forked = Callable[..., Workers]


def client(served: Served, **how: object) -> Client:
    return Client(served.authority.pem, directory=served.directory, **how)


@VERSIONS
def test_the_name_asked_for_chooses_the_certificate(
    served: Served, forked: Forked, newest: ssl.TLSVersion
) -> None:
    issue = served.authority.issue
    snapshot = served.snapshot(
        issue("a.test"), issue("b.test", "*.b.test", kind="rsa"), issue("x.b.test", kind="ed25519")
    )
    (port,) = forked(snapshot, 1).ports
    ask = client(served, newest=newest).ask
    for name, subject in {
        "a.test": "a.test",
        "b.test": "b.test",
        "y.b.test": "b.test",
        "x.b.test": "x.b.test",
        "X.B.test": "x.b.test",
        "nobody.test": "a.test",
        None: "a.test",
    }.items():
        told, names, _ = ask(port, name)
        assert subject in names
        assert told["name"] == (name.lower() if name else None)


@VERSIONS
@pytest.mark.parametrize("name", ["a.test", "b.test", None])
def test_a_session_resumes_on_every_worker_for_every_name_before_and_after_a_renewal(
    served: Served, forked: Forked, newest: ssl.TLSVersion, name: str | None
) -> None:
    issue = served.authority.issue
    other = issue("b.test", kind="rsa")
    workers = forked(served.snapshot(issue("a.test"), other), 3)
    us = client(served, newest=newest)
    first, _, session = us.ask(workers.ports[0], name)
    assert not first["resumed"]
    pids = {first["pid"]}
    for port in workers.ports[1:]:
        told, _, _ = us.ask(port, name, session)
        assert told["resumed"]
        pids.add(told["pid"])
    assert len(pids) == 3
    # Another certificate, of another kind of key; and the same one among others.
    assert workers.renew(served.snapshot(issue("a.test", kind="rsa"), other)) == ["", "", ""]
    for port in workers.ports:
        told, _, _ = us.ask(port, name, session)
        assert told["resumed"]
    # What begins after the renewal resumes as well, and sees the new certificate.
    fresh = client(served, newest=newest)
    told, _, session = fresh.ask(workers.ports[2], name)
    assert not told["resumed"]
    assert fresh.ask(workers.ports[0], name, session)[0]["resumed"]


@VERSIONS
def test_tls_that_a_reload_brings_resumes_over_workers_that_were_forked_without(
    served: Served, forked: Forked, newest: ssl.TLSVersion
) -> None:
    without = served.snapshot()
    workers = forked(served.snapshot(served.authority.issue("a.test")), 2, before=without)
    us = client(served, newest=newest)
    _, names, session = us.ask(workers.ports[0], "a.test")
    assert names == {"a.test"}
    assert us.ask(workers.ports[1], "a.test", session)[0]["resumed"]


def test_a_renewed_certificate_leaves_nothing_of_the_old_one(
    served: Served, forked: Forked
) -> None:
    """An RSA certificate that is followed by an EC one must not be served to clients of RSA."""
    issue = served.authority.issue
    workers = forked(served.snapshot(issue("old.test", kind="rsa")), 1)
    assert workers.renew(served.snapshot(issue("new.test", kind="ec"))) == [""]
    us = client(served, newest=TLS12)
    assert us.ask(workers.ports[0])[1] == {"new.test"}
    us.context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError):
        us.ask(workers.ports[0])


def test_a_certificate_that_cannot_be_loaded_changes_nothing(
    served: Served, forked: Forked
) -> None:
    issue = served.authority.issue
    good = served.snapshot(issue("a.test"))
    workers = forked(good, 1)
    bad = _with(good, Certificate(issue("b.test").cert, issue("b.test").key, (), "c", "k"))
    (said,) = workers.renew(bad)
    assert "key values mismatch" in said
    assert client(served).ask(workers.ports[0])[1] == {"a.test"}


def test_openssl_names_the_certificate_it_does_not_take(served: Served) -> None:
    issue = served.authority.issue
    snapshot = served.snapshot(issue("a.test"))
    with pytest.raises(BadCertificate) as refused:
        ListenerContexts.make(_with(snapshot, Certificate(b"no", b"no", (), "c", "k")))
    assert refused.value.index == 0


def _with(snapshot, certificate: Certificate):
    tls = dataclasses.replace(snapshot.server.tls, certificates=(certificate,))
    server = dataclasses.replace(snapshot.server, tls=tls)
    return dataclasses.replace(snapshot, server=server)


# policy


@VERSIONS
def test_ciphers_are_ecdhe_and_aead(served: Served, forked: Forked, newest: ssl.TLSVersion) -> None:
    for kind in ("ec", "rsa"):
        (port,) = forked(served.snapshot(served.authority.issue("a.test", kind=kind)), 1).ports
        us = client(served, newest=newest)
        cipher = us.ask(port)[0]["cipher"]
        assert cipher.startswith("ECDHE-" if newest is TLS12 else "TLS_")
        assert "GCM" in cipher or "POLY1305" in cipher
    us = client(served, newest=TLS12)
    us.context.set_ciphers("AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA256:DHE-RSA-AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError):
        us.ask(port)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_nothing_older_than_the_minimum_is_spoken(served: Served, forked: Forked) -> None:
    issued = served.authority.issue("a.test")
    (port,) = forked(served.snapshot(issued), 1).ports
    old = client(served, oldest=ssl.TLSVersion.TLSv1, newest=ssl.TLSVersion.TLSv1_1)
    old.context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        old.ask(port)
    workers = forked(served.snapshot(issued, min_version="1.3"), 1, before=served.snapshot(issued))
    with pytest.raises(ssl.SSLError):
        client(served, newest=TLS12).ask(workers.ports[0])
    assert client(served).ask(workers.ports[0])[0]["version"] == "TLSv1.3"


@VERSIONS
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(("h2", "http/1.1"), "http/1.1"), (("http/1.1",), "http/1.1"), (("h2",), None), ((), None)],
)
def test_http_1_1_is_the_one_protocol(
    served: Served,
    forked: Forked,
    newest: ssl.TLSVersion,
    offered: tuple[str, ...],
    chosen: str | None,
) -> None:
    """Who offers only others hears of none (Python cannot send RFC 7301's alert)."""
    (port,) = forked(served.snapshot(served.authority.issue("a.test")), 1).ports
    assert client(served, alpn=offered, newest=newest).ask(port, "a.test")[0]["alpn"] == chosen


def test_a_client_may_not_renegotiate(served: Served, forked: Forked) -> None:
    (port,) = forked(served.snapshot(served.authority.issue("a.test")), 1).ports
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as openssl:
        try:
            assert openssl.stdout is not None
            while not openssl.stdout.readline().startswith(b'{"name"'):
                assert openssl.poll() is None
            _, said = openssl.communicate(b"R\n", timeout=PATIENCE)
        finally:
            openssl.kill()
    assert b"no renegotiation" in said


def test_a_name_that_is_not_ascii_ends_the_handshake_and_prints_nothing(
    served: Served, forked: Forked, capfd: pytest.CaptureFixture[str]
) -> None:
    (port,) = forked(served.snapshot(served.authority.issue("a.test")), 1).ports
    command = [b"openssl", b"s_client", b"-connect", b"127.0.0.1:%d" % port]
    ended = subprocess.run(
        [*command, b"-servername", b"caf\xe9.test"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert b"alert internal error" in ended.stderr
    assert client(served).ask(port, "a.test")[0]["name"] == "a.test"
    assert capfd.readouterr().err == ""


# client certificates


@VERSIONS
def test_a_client_is_verified_where_its_listener_asks_for_it(
    served: Served, forked: Forked, newest: ssl.TLSVersion
) -> None:
    theirs = Authority("the clients' authority")
    good, foreign = theirs.client(), Authority("nobody").client()
    a, b = served.authority.issue("a.test"), served.authority.issue("b.test")

    def answer(port: int, certificate: Issued | None, name: str) -> bool | None:
        us = client(served, certificate=certificate, newest=newest)
        try:
            return us.ask(port, name)[0]["client"]
        except REFUSED:
            return None

    for client_auth, without in (("required", None), ("optional", False)):
        snapshot = served.snapshot(a, b, client_auth=client_auth, client_ca=theirs.pem)
        (port,) = forked(snapshot, 1).ports
        for name in ("a.test", "b.test"):
            assert answer(port, good, name) is True
            assert answer(port, None, name) is without
            assert answer(port, foreign, name) is None
            assert answer(port, theirs.issue("s.test"), name) is None, "a server's certificate"


@VERSIONS
def test_no_other_worker_resumes_where_clients_show_certificates(
    served: Served, forked: Forked, newest: ssl.TLSVersion
) -> None:
    theirs = Authority("the clients' authority")
    snapshot = served.snapshot(
        served.authority.issue("a.test"), client_auth="required", client_ca=theirs.pem
    )
    workers = forked(snapshot, 2)
    us = client(served, certificate=theirs.client(), newest=newest)
    _, _, session = us.ask(workers.ports[0], "a.test")
    assert session is None or not session.has_ticket
    told, _, _ = us.ask(workers.ports[1], "a.test", session)
    assert told["client"]
    assert not told["resumed"]
    # Without tickets only TLS 1.2 may resume, in the process that verified the client.
    told, _, _ = us.ask(workers.ports[0], "a.test", session)
    assert told["client"]
    assert newest is TLS12 or not told["resumed"]


@VERSIONS
def test_another_authority_ends_what_the_old_one_allowed(
    served: Served, forked: Forked, newest: ssl.TLSVersion
) -> None:
    old, new = Authority("the old one"), Authority("the new one")
    issued = served.authority.issue("a.test")
    workers = forked(served.snapshot(issued, client_auth="required", client_ca=old.pem), 1)
    (port,) = workers.ports
    us = client(served, certificate=old.client(), newest=newest)
    _, _, session = us.ask(port, "a.test")
    now = served.snapshot(issued, client_auth="required", client_ca=new.pem)
    assert workers.renew(now) == [""]
    with pytest.raises(REFUSED):
        us.ask(port, "a.test", session)
    with pytest.raises(REFUSED):
        us.ask(port, "a.test")
    assert client(served, certificate=new.client(), newest=newest).ask(port)[0]["client"]


def test_an_authority_is_believed_without_the_one_that_signed_it(
    served: Served, forked: Forked
) -> None:
    root = Authority("the root")
    middle = Authority("in the middle", root)
    snapshot = served.snapshot(
        served.authority.issue("a.test"), client_auth="required", client_ca=middle.pem
    )
    (port,) = forked(snapshot, 1).ports
    assert client(served, certificate=middle.client()).ask(port)[0]["client"]
    with pytest.raises(REFUSED):
        client(served, certificate=root.client()).ask(port)


# the objects


def test_a_plain_listener_has_no_context_and_a_tls_one_keeps_its_own(served: Served) -> None:
    issue = served.authority.issue
    contexts = ListenerContexts.make(served.snapshot(issue("a.test")))
    tls = Bind("127.0.0.1", 1, tls=True)
    assert contexts.of(Bind("127.0.0.1", 1)) is None
    before = contexts.of(tls)
    assert before is not None
    contexts.renew(served.snapshot(issue("b.test")))
    contexts.renew(served.snapshot())
    assert contexts.of(tls) is before


def test_certificates_that_stay_are_not_loaded_again(served: Served) -> None:
    issue = served.authority.issue
    stays = issue("b.test")
    contexts = ListenerContexts.make(served.snapshot(issue("a.test"), stays))
    assert list(contexts.prepare(served.snapshot(issue("a.test"), stays))) == [None]


def test_a_handshake_after_tls_was_switched_off_is_ended(served: Served) -> None:
    contexts = ListenerContexts.make(served.snapshot(served.authority.issue("a.test")))
    context = contexts.of(Bind("127.0.0.1", 1, tls=True))
    assert context is not None
    contexts.renew(served.snapshot())
    connection = context.wrap_bio(incoming := ssl.MemoryBIO(), ssl.MemoryBIO(), True)
    hello = ssl.MemoryBIO()
    peer = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        peer.do_handshake()
    incoming.write(hello.read())
    with pytest.raises(ssl.SSLError):
        connection.do_handshake()


def test_keys_are_in_no_file(served: Served) -> None:
    before = set(os.listdir("/proc/self/fd"))
    ListenerContexts.make(served.snapshot(served.authority.issue("a.test")))
    assert set(os.listdir("/proc/self/fd")) == before
