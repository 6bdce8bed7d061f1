from __future__ import annotations

import base64
import contextlib
import datetime

import pytest
from authority import KINDS, Authority, Issued, private_pem
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwd.config.certificates import Unusable, judge_authorities, judge_pair
from gwd.config.units import NotAllowed


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def why_not(issued: Issued) -> tuple[bool, str]:
    with pytest.raises(Unusable) as refused:
        judge_pair(issued.cert, issued.key)
    return refused.value.of_key, str(refused.value)


@pytest.mark.parametrize("kind", ["ec", "ec384", "ed25519", "rsa"])
def test_a_certificate_with_its_key_is_good(authority: Authority, kind: str) -> None:
    issued = authority.issue("Shop.Example", "*.shop.example", "127.0.0.1", kind=kind)
    verdict = judge_pair(issued.cert, issued.key)
    assert verdict.names == ("shop.example", "*.shop.example")
    assert verdict.warnings == ()


def test_a_certificate_for_an_address_alone_is_good(authority: Authority) -> None:
    issued = authority.issue("192.0.2.1")
    assert judge_pair(issued.cert, issued.key).names == ()


def test_one_file_may_hold_both(authority: Authority) -> None:
    issued = authority.issue("a.test")
    both = b"# the shop's\n" + issued.key + issued.cert
    assert judge_pair(both, both).names == ("a.test",)


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    of_key, why = why_not(Issued(authority.issue("a.test").cert, authority.issue("a.test").key))
    assert of_key
    assert "does not belong to this certificate" in why


def test_a_chain_that_does_not_begin_with_its_leaf_is_told(authority: Authority) -> None:
    issued = authority.issue("a.test")
    of_key, why = why_not(Issued(authority.pem + issued.cert, issued.key))
    assert not of_key
    assert "not in the first place" in why


@pytest.mark.parametrize(
    ("kind", "why"), [("rsa1024", "weak key, RSA of 1024 bits"), ("koblitz", "curve secp256k1")]
)
def test_weak_and_odd_keys_are_refused(authority: Authority, kind: str, why: str) -> None:
    assert why in why_not(authority.issue("a.test", kind=kind))[1]


def test_a_certificate_without_names_is_refused(authority: Authority) -> None:
    assert "subjectAltName" in why_not(authority.issue())[1]


def test_a_key_with_a_passphrase_is_refused(authority: Authority) -> None:
    key = private_pem(KINDS["ec"](), b"secret")
    of_key, why = why_not(Issued(authority.issue("a.test").cert, key))
    assert of_key
    assert "passphrase" in why


@pytest.mark.parametrize(
    ("cert", "key", "of_key"),
    [
        (b"nothing", None, False),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, False),
        (None, b"nothing", True),
        (None, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", True),
    ],
)
def test_what_is_no_pem_is_refused(
    authority: Authority, cert: bytes | None, key: bytes | None, of_key: bool
) -> None:
    issued = authority.issue("a.test")
    blamed, why = why_not(Issued(cert or issued.cert, key or issued.key))
    assert blamed is of_key
    assert "AAAA" not in why


@pytest.mark.parametrize(
    ("begins", "days", "warning"),
    [
        (-9, -2, "has expired on "),
        (-9, 29.5, "expires in 29 days, on "),
        (-9, 1.5, "expires in 1 day, on "),
        (2, 90, "is not valid before "),
    ],
)
def test_time_brings_warnings(
    authority: Authority, begins: float, days: float, warning: str
) -> None:
    issued = authority.issue("a.test", begins=begins, days=days)
    (found,) = judge_pair(issued.cert, issued.key).warnings
    assert warning in found


def test_a_certificate_is_judged_at_the_time_given(authority: Authority) -> None:
    issued = authority.issue("a.test")
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=91)
    assert "has expired" in judge_pair(issued.cert, issued.key, later).warnings[0]


def test_a_chain_out_of_order_is_warned_of(authority: Authority) -> None:
    middle = Authority("in the middle", authority)
    issued = middle.issue("a.test")
    good = judge_pair(issued.cert + middle.pem + authority.pem, issued.key)
    assert good.warnings == ()
    (warning,) = judge_pair(issued.cert + authority.pem + middle.pem, issued.key).warnings
    assert 'holds "CN=an authority" behind "CN=a.test"' in warning


def test_a_certificate_for_clients_is_warned_of(authority: Authority) -> None:
    issued = authority.issue("a.test", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    (warning,) = judge_pair(issued.cert, issued.key).warnings
    assert "extendedKeyUsage" in warning
    anything = authority.issue("a.test", usage=None)
    assert judge_pair(anything.cert, anything.key).warnings == ()


def test_only_authorities_are_authorities(authority: Authority) -> None:
    assert judge_authorities(authority.pem + Authority("another").pem) == ()
    with pytest.raises(NotAllowed, match="no authority"):
        judge_authorities(authority.pem + authority.issue("a.test").cert)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_key_may_be_in_its_older_form(authority: Authority, kind: str) -> None:
    issued = authority.issue("a.test", kind=kind)
    key = serialization.load_pem_private_key(issued.key, None)
    older = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert judge_pair(issued.cert, parameters + older).names == ("a.test",)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_file_holds_it_is_judged(authority: Authority, data: st.DataObject) -> None:
    """Bytes changed anywhere in a certificate: a verdict, or Unusable, never anything else."""
    issued = _PAIRS.setdefault(0, authority.issue("a.test", "b.test"))
    der = bytearray(x509.load_pem_x509_certificate(issued.cert).public_bytes(_DER))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der)
    pem += b"-----END CERTIFICATE-----\n"
    with contextlib.suppress(Unusable):
        judge_pair(pem, issued.key)
    with contextlib.suppress(Unusable):
        judge_pair(issued.cert + pem, issued.key)
    with contextlib.suppress(NotAllowed):
        judge_authorities(pem)


_PAIRS: dict[int, Issued] = {}
_DER = serialization.Encoding.DER
