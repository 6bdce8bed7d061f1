"""The pure parts of the TLS measurements: what is read, reckoned and written."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509

from loadtests.tls import certificates, findings, peers
from loadtests.tls.soak import Soaked

GOOD = """CONNECTED(00000003)
---
No ALPN negotiated
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
HTTP/1.1 200 OK
"""
OLD = """CONNECTED(00000003)
40C7:error:0A00042E:SSL routines:ssl3_read_bytes:tlsv1 alert protocol version:x.c:1605:SSL alert
---
New, (NONE), Cipher is (NONE)
"""
AGAIN = """New, TLSv1.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384
ALPN protocol: http/1.1
    Protocol  : TLSv1.2
RENEGOTIATING
40C7:error:0A000153:SSL routines:ssl3_read_bytes:no renegotiation:x.c:1:
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD, "TLSv1.3, TLS_AES_256_GCM_SHA384; answered 200"),
        (OLD, "no handshake; alert: protocol version"),
        (
            AGAIN,
            "TLSv1.2, ECDHE-ECDSA-AES256-GCM-SHA384; ALPN http/1.1; renegotiation refused",
        ),
        ("", "no handshake"),
    ],
)
def test_what_s_client_says_in_a_few_words(text: str, words: str) -> None:
    assert findings.read(text) == words


def test_growth_is_that_of_the_settled_part() -> None:
    rises = Soaked(10, [(second, min(second, 150) / 10) for second in range(0, 601, 10)])
    assert rises.growth == pytest.approx(0, abs=0.01)
    leaks = Soaked(10, [(second, 30 + second / 60) for second in range(0, 601, 10)])
    assert leaks.growth == pytest.approx(60)
    assert Soaked(1, [(0, 1.0), (10, 2.0)]).growth == 0


def test_a_certificate_belongs_to_its_key_and_name(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    serial = certificates.write(certificate, key)
    made = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert made.serial_number == serial
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    assert key.stat().st_mode & 0o077 == 0


def test_gwd_takes_part_in_any_case() -> None:
    assert peers.installed()[0].name == "gwd"
