from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from authority import Authority

ROUTE = '[[routes]]\nname = "r"\npath = "/*"\nrespond = { body = "x" }\n'
PROXIES = 'trusted_proxies = ["10.0.0.0/8"]\n'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The lines of [server.tls] that name a certificate and its key, and a client authority."""
    directory: Path = tmp_path_factory.mktemp("files")
    authority = Authority()
    (directory / "ca.pem").write_bytes(authority.pem)
    pair = authority.issue("a.test").write(directory, "a")
    return pair, f'client_ca = "{directory}/ca.pem"\n'


def flags(loaded: Any) -> list[tuple[bool, bool, bool, str]]:
    return [
        (bind.tls, bind.proxy_protocol, bind.redirect_https, bind.client_auth)
        for bind in loaded.snapshot.server.bind
    ]


@pytest.mark.parametrize(
    ("binds", "spoken"),
    [
        ('"127.0.0.1:1"', [True]),
        ('{ address = "127.0.0.1:1", redirect_https = true }, "127.0.0.1:2"', [False, True]),
        ('{ address = "127.0.0.1:1", tls = false }, "127.0.0.1:2"', [False, True]),
        ('"127.0.0.1:1", { address = "127.0.0.1:2", tls = true }', [False, True]),
    ],
)
def test_tls_is_spoken_where_the_items_say_so_else_everywhere_it_can(
    good: Any, files: tuple[str, str], binds: str, spoken: list[bool]
) -> None:
    loaded = good(f"[server]\nbind = [{binds}]\n[server.tls]\n{files[0]}{ROUTE}")
    assert [tls for tls, *_ in flags(loaded)] == spoken
    assert loaded.warnings == []


def test_without_tls_nothing_is_encrypted(good: Any) -> None:
    assert flags(good(ROUTE)) == [(False, False, False, "none")]
    assert good(ROUTE).snapshot.server.tls is None


def test_everything_of_tls_reaches_the_snapshot(good: Any, files: tuple[str, str]) -> None:
    text = (
        '[server]\nbind = [{ address = "127.0.0.1:1", client_auth = "optional" }]\n'
        'handshake_timeout = "3s"\nmax_handshakes = 7\nmax_handshakes_per_ip = 2\n'
        f'[server.tls]\n{files[0]}{files[1]}min_version = "1.3"\n'
        'hsts = "max-age=63072000; includeSubDomains; preload"\n'
        f'client_fields = {{ subject = "X-Client", san = "X-Client-San" }}\n{ROUTE}'
    )
    server = good(text).snapshot.server
    assert (server.handshake_timeout, server.max_handshakes, server.max_handshakes_per_ip) == (
        3.0,
        7,
        2,
    )
    tls = server.tls
    assert tls is not None
    assert tls.min_version == "1.3"
    assert tls.hsts == "max-age=63072000; includeSubDomains; preload"
    assert tls.client_fields == (("subject", "X-Client"), ("san", "X-Client-San"))
    assert server.bind[0].client_auth == "optional"


def test_switches_may_come_from_variables(good: Any, files: tuple[str, str]) -> None:
    text = '[server]\nbind = [{ address = "127.0.0.1:1", tls = "${TLS}" }]\n'
    text += f"[server.tls]\n{files[0]}{ROUTE}"
    assert flags(good(text, {"TLS": "true"}))[0][0] is True
    loaded = good(text, {"TLS": "false"})
    assert flags(loaded)[0][0] is False
    assert "speaks TLS" in loaded.warnings[0].message


def test_certificates_nobody_gets_are_warned_of(good: Any, files: tuple[str, str]) -> None:
    text = '[server]\nbind = [{ address = "127.0.0.1:1", tls = false }]\n'
    (warning,) = good(f"{text}[server.tls]\n{files[0]}{ROUTE}").warnings
    assert "no item of server.bind speaks TLS" in warning.message


def test_a_redirect_to_where_nothing_listens_is_warned_of(
    good: Any, files: tuple[str, str]
) -> None:
    bind = '{ address = "127.0.0.1:1", redirect_https = true }'
    (warning,) = good(f"[server]\nbind = [{bind}]\n{ROUTE}").warnings
    assert warning.key == "server.bind[0].redirect_https"
    assert "sent to port 443, on which nothing of this gateway listens" in warning.message
    plain = f'[server]\nbind = [{bind}, {{ address = "127.0.0.1:2", tls = false }}]\n'
    found = good(f"{plain}[server.tls]\n{files[0]}{ROUTE}").warnings
    assert [w.key for w in found] == ["server.bind[0].redirect_https", "server.tls"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            'bind = [{ address = "127.0.0.1:1", tls = true }]',
            "server.bind[0].tls: has no certificate; add [server.tls]",
        ),
        ("[server.tls]", "server.tls: has no certificate; add cert and key"),
        ('[server.tls]\nmin_version = "1.3"', "server.tls: has no certificate"),
        (
            'bind = [{ address = "127.0.0.1:1", proxy_protocol = true }]',
            "server.bind[0].proxy_protocol: nobody may send its header; add server.trusted_",
        ),
        ("proxy_protocol = true", "server.proxy_protocol: nobody may send its header"),
    ],
)
def test_what_lacks_its_other_half_is_refused(wrong: Any, text: str, error: str) -> None:
    (found,) = wrong(f"[server]\n{text}\n{ROUTE}")
    assert error in found


@pytest.mark.parametrize(
    ("bind", "more", "error"),
    [
        (
            "tls = true, redirect_https = true",
            "",
            "server.bind[0].redirect_https: stands beside tls = true; use one of them",
        ),
        (
            'client_auth = "required"',
            "",
            'server.bind[0].client_auth: "required" knows no authority',
        ),
        (
            'tls = false, client_auth = "optional"',
            "CA",
            'server.bind[0].client_auth: "optional" asks for a certificate where no TLS',
        ),
        ("tls = true", 'client_fields = { subject = "X-C" }', "nobody is verified; add client_ca"),
        (
            'client_auth = "required"',
            'CA\nclient_fields = { colour = "X-C" }',
            'client_fields.colour: this key is not allowed; use one of "subject", "issuer", '
            '"serial", "san", "fingerprint"',
        ),
        (
            'client_auth = "required"',
            'CA\nclient_fields = { subjekt = "X-C" }',
            'client_fields.subjekt: this key is not allowed; did you mean "subject"?',
        ),
        (
            'client_auth = "required"',
            'CA\nclient_fields = { subject = "X-C", san = "x-c" }',
            "carries subject already",
        ),
        (
            'client_auth = "required"',
            'CA\nclient_fields = { subject = "X-Forwarded-For" }',
            "another meaning",
        ),
        (
            "tls = true",
            'min_version = "1.1"',
            'server.tls.min_version: "1.1" is not allowed; use "1.2" or "1.3"',
        ),
        ("tls = true", 'hsts = "includeSubDomains"', "has no max-age in seconds"),
        ("tls = true", 'hsts = "max-age=1; max-age=2"', "says one thing twice"),
        ("tls = true", 'hsts = "max-age=1\\r\\nX: y"', "server.tls.hsts"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    wrong: Any, files: tuple[str, str], bind: str, more: str, error: str
) -> None:
    text = f'[server]\nbind = [{{ address = "127.0.0.1:1", {bind} }}]\n'
    more = more.replace("CA", files[1])
    found = wrong(f"{text}[server.tls]\n{files[0]}{more}\n{ROUTE}")
    assert len(found) == 1
    assert error in found[0]


def test_a_claim_and_a_client_certificate_do_not_share_a_header(
    wrong: Any, files: tuple[str, str]
) -> None:
    text = '[server]\nbind = [{ address = "127.0.0.1:1", client_auth = "required" }]\n'
    text += f'[server.tls]\n{files[0]}{files[1]}client_fields = {{ subject = "X-User" }}\n'
    text += '[auth.main]\ntype = "jwt"\nissuer = "i"\naudience = "a"\nalgorithms = ["HS256"]\n'
    text += 'secret_env = "S"\nforward_claims = { sub = "x-user" }\n'
    (error,) = wrong(text + ROUTE, {"S": "s" * 32})
    assert "carries the claim sub of auth.main already" in error


def test_half_a_certificate_is_told_once(wrong: Any) -> None:
    (error,) = wrong(f'[server.tls]\ncert = "a.pem"\n{ROUTE}')
    assert "has no key beside it; add key" in error


def test_authorities_that_are_never_asked_for_are_warned_of(
    good: Any, files: tuple[str, str]
) -> None:
    (warning,) = good(f"[server.tls]\n{files[0]}{files[1]}{ROUTE}").warnings
    assert "no client is asked for a certificate" in warning.message


def test_proxy_protocol_holds_for_every_item_that_does_not_say_otherwise(good: Any) -> None:
    items = '"127.0.0.1:1", { address = "127.0.0.1:2", proxy_protocol = false }'
    text = f"[server]\nbind = [{items}]\n{PROXIES}proxy_protocol = true\n{ROUTE}"
    assert [proxied for _, proxied, *_ in flags(good(text))] == [True, False]
