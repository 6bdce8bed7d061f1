"""What upstreams are told of a client's certificate: one line each, that nothing can end."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.policies.certificate import MOST_VALUE, certificate_headers, certificate_lines

DER = b"\x30\x03abc"
TEXT = st.text(max_size=30)
NAMES = st.lists(
    st.lists(st.tuples(st.sampled_from(["commonName", "organizationName"]), TEXT), min_size=1),
    max_size=4,
).map(lambda parts: tuple(tuple(part) for part in parts))


def subject(*parts: tuple[str, str]) -> bytes:
    told = {"subject": tuple((part,) for part in parts)}
    return certificate_lines([("subject", "X-C")], told, DER)


def san(*names: tuple[str, Any]) -> bytes:
    return certificate_lines([("san", "X-S")], {"subjectAltName": names}, DER)


def test_without_a_verified_certificate_nothing_is_told() -> None:
    fields = [("subject", "X-C"), ("fingerprint", "X-F")]
    assert certificate_lines(fields, None, None) == b""
    assert certificate_lines(fields, {}, DER) == b""
    assert certificate_lines(fields, {"serialNumber": "01"}, None) == b""


def test_each_fact_is_a_line_of_its_own(tmp_path: Path) -> None:
    issued = Authority("An Authority").client("worker.example")
    path = tmp_path / "client.pem"
    path.write_bytes(issued.cert)
    told = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    der = ssl.PEM_cert_to_DER_cert(issued.cert.decode())
    facts = ("subject", "issuer", "serial", "san", "fingerprint")
    lines = certificate_lines([(fact, f"X-{fact}") for fact in facts], told, der)
    shown = dict(line.split(b": ") for line in lines.split(b"\r\n")[:-1])
    assert shown[b"X-subject"] == b"CN=worker.example"
    assert shown[b"X-issuer"] == b"CN=An Authority"
    assert shown[b"X-san"] == b"DNS:worker.example"
    assert re.fullmatch(rb"[0-9A-F]+", shown[b"X-serial"])
    assert re.fullmatch(rb"[0-9a-f]{64}", shown[b"X-fingerprint"])


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ((("countryName", "DE"), ("commonName", "a")), b"CN=a,C=DE"),
        ((("commonName", "a,O=root"),), rb"CN=a\,O\=root"),
        ((("commonName", "a+b"),), rb"CN=a\+b"),
        ((("commonName", " a "),), rb"CN=\20a\20"),
        ((("commonName", "#a"),), rb"CN=\#a"),
        ((("commonName", 'a"\\<>;'),), rb"CN=a\"\\\<\>\;"),
        ((("commonName", "Zoë"),), rb"CN=Zo\C3\AB"),
        ((("commonName", "a\r\nX: b"),), rb"CN=a\0D\0AX: b"),
        ((("commonName", "a\0b"),), rb"CN=a\00b"),
        ((("emailAddress", "a@b.example"),), b"emailAddress=a@b.example"),
    ],
)
def test_what_means_something_in_a_name_is_escaped(
    parts: tuple[tuple[str, str], ...], line: bytes
) -> None:
    assert subject(*parts) == b"X-C: " + line + b"\r\n"


def test_one_alternative_name_never_looks_like_two() -> None:
    assert san(("DNS", "a"), ("URI", "spiffe://x/y")) == b"X-S: DNS:a,URI:spiffe://x/y\r\n"
    assert san(("URI", "u,DNS:root")) == b"X-S: URI:u%2CDNS:root\r\n"
    assert san(("URI", "u\r\nX: y")) == b"X-S: URI:u%0D%0AX:%20y\r\n"
    assert san(("DirName", ((("commonName", "a"),),)), ("DNS", "a")) == b"X-S: DNS:a\r\n"
    assert san(("IP Address", "::1")) == b"X-S: IPAddress:::1\r\n"
    assert san() == b""


def test_what_is_too_long_is_not_told() -> None:
    assert subject(("commonName", "x" * (MOST_VALUE - 3))) != b""
    assert subject(("commonName", "x" * (MOST_VALUE - 2))) == b""


@settings(max_examples=200, deadline=None)
@given(NAMES, st.lists(st.tuples(st.sampled_from(["DNS", "URI", "email"]), TEXT), max_size=4))
def test_sec_24_whatever_it_says_each_fact_is_one_printable_line(
    name: Any, names: list[tuple[str, str]]
) -> None:
    told = {"subject": name, "subjectAltName": tuple(names)}
    lines = certificate_lines([("subject", "X-C"), ("san", "X-S")], told, DER)
    assert re.fullmatch(rb"(?:X-[CS]: [!-~](?:[ -~]*[!-~])?\r\n){0,2}", lines)


@settings(max_examples=200, deadline=None)
@given(NAMES, NAMES)
def test_different_names_are_spelt_differently(one: Any, other: Any) -> None:
    first, second = (
        certificate_lines([("subject", "X-C")], {"subject": name}, DER) for name in (one, other)
    )
    if first and second and one != other:
        assert first != second


def test_the_headers_are_nobody_elses() -> None:
    assert certificate_headers([("san", "X-Client-San")]) == {b"x-client-san"}
