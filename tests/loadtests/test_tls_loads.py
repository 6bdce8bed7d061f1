"""The pure parts of the TLS measurements: what is read, reckoned and written."""

from __future__ import annotations

import json
import ssl
import sys
from collections import Counter
from pathlib import Path

import pytest
from cryptography import x509

from loadtests.limits.report import Show
from loadtests.tls import __main__ as tls
from loadtests.tls import certificates, findings, peers
from loadtests.tls.__main__ import show_soak
from loadtests.tls.soak import JUDGED_FROM, MOST, Soaked

KEPT = Path(__file__).parents[2] / "loadtests" / "reports" / "2026-11-24-tls-soak"

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


def test_growth_is_that_of_the_second_half() -> None:
    rises = Soaked(10, [(second, min(second, 300) / 10) for second in range(0, 601, 10)])
    assert rises.growth == pytest.approx(0, abs=0.01)
    leaks = Soaked(10, [(second, 30 + second / 60) for second in range(0, 601, 10)])
    assert leaks.growth == pytest.approx(60)
    assert Soaked(1, [(0, 1.0), (10, 2.0)]).growth == 0


DONE = Counter(done=100, resumed=50)


def soaked(minutes: float, per_hour: float, told: Counter[str] = DONE) -> Soaked:
    """A soak in which memory grows evenly."""
    seconds = range(0, int(minutes * 60) + 1, 10)
    return Soaked(minutes, [(s, 40 + s * per_hour / 3600) for s in seconds], told)


def test_a_soak_fails_if_memory_grows_by_the_bound() -> None:
    assert soaked(JUDGED_FROM, MOST - 1).wrong == ""
    assert soaked(JUDGED_FROM, MOST - 1).verdict == "good: less than 40 MiB/h"
    assert soaked(JUDGED_FROM, MOST + 1).wrong == "memory grew by 41.0 MiB/h, 40 or more"
    short = soaked(JUDGED_FROM / 2, MOST + 1)
    assert short.wrong == ""
    assert short.verdict.startswith("not judged")


def test_a_soak_in_which_nothing_was_done_fails() -> None:
    for told in (Counter[str](), Counter(done=5)):
        assert "nothing was shown" in soaked(1, 0, told).wrong


def test_the_kept_soak_is_good_by_the_bound() -> None:
    kept = json.loads((KEPT / "report.json").read_text())
    rows = kept["shows"][0]["rows"]
    points = [(float(row["after, s"]), float(row["MiB"])) for row in rows]
    assert Soaked(30, points, DONE).wrong == ""


def test_the_show_of_a_soak_tells_its_verdict() -> None:
    show = show_soak(soaked(JUDGED_FROM, MOST + 1))
    assert show.wrong.startswith("memory grew by 41.0")
    assert "+41.0 MiB/h over the second half, failed: memory grew" in show.notes[0]


@pytest.mark.parametrize(("wrong", "status"), [("", 0), ("memory grew", "memory grew")])
def test_a_failed_soak_is_a_failed_run(
    monkeypatch: pytest.MonkeyPatch, wrong: str, status: int | str
) -> None:
    show = Show("soak", "A soak", "Looked at.", ("what",), wrong=wrong)
    monkeypatch.setattr(tls, "_shows", lambda *_: iter([show]))
    monkeypatch.setattr(sys, "argv", ["loadtests.tls", "--soak", "30"])
    with pytest.raises(SystemExit) as ended:
        tls.main()
    assert ended.value.code == status


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
