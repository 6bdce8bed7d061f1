from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.policies.compact import (
    MAX_TOKEN,
    Parsed,
    Rejected,
    decode_base64url,
    encode_base64url,
    is_kid,
    strict_json,
)


def token(header: bytes = b'{"alg":"EdDSA"}', payload: bytes = b"{}") -> bytes:
    return b".".join(map(encode_base64url, (header, payload, b"signature")))


@given(st.binary(max_size=100))
def test_base64url_comes_back(data: bytes) -> None:
    assert decode_base64url(encode_base64url(data)) == data


@pytest.mark.parametrize(
    "text", [b"QQ==", b"QQ=", b"QR", b"Q", b"Q+", b"Q/", b"Q Q", b"Q\n", b"QUJ"]
)
def test_base64url_has_one_spelling(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_base64url(text)


@settings(max_examples=200)
@given(st.binary(max_size=12) | st.text("AQgw_-=+/", max_size=8).map(str.encode))
def test_whatever_base64url_is_read_is_spelt_as_it_was_written(text: bytes) -> None:
    try:
        data = decode_base64url(text)
    except ValueError:
        return
    assert encode_base64url(data) == text


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":1}',
        b'[{"a":{"b":1,"b":1}}]',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b"",
        b"{}{}",
        b"{'a':1}",
        b'{"a":1,}',
        b"01",
        b"1" * 5000,
    ],
)
def test_strict_json_refuses(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        strict_json(text)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=200)
@given(_json)
def test_strict_json_reads_what_json_writes(value: Any) -> None:
    assert strict_json(json.dumps(value).encode()) == value


def test_a_token_is_taken_apart() -> None:
    parsed = Parsed(token(b'{"alg":"EdDSA","kid":"k 1"}', b'{"sub":"ada"}'))
    assert (parsed.alg, parsed.kid, parsed.signature) == ("EdDSA", "k 1", b"signature")
    assert parsed.signing_input + b"." + encode_base64url(b"signature") == token(
        b'{"alg":"EdDSA","kid":"k 1"}', b'{"sub":"ada"}'
    )
    assert parsed.claims() == {"sub": "ada"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b".",
        b"..",
        b"a.b",
        token() + b".",
        token() + b".a.b",
        token() + b"=",
        token().replace(b".", b"=."),
        token() + b"\n",
        b" " + token(),
        token()[: token().rindex(b".") + 1],
        token(payload=b""),
        token(header=b""),
        token().replace(b".", b". "),
        "tökén".encode(),
        b'{"protected":"","payload":"","signature":""}',
    ],
)
def test_what_is_not_one_compact_token_is_refused(text: bytes) -> None:
    with pytest.raises(Rejected, match="malformed"):
        Parsed(text)


def test_a_token_with_bits_set_past_its_end_is_refused() -> None:
    whole = encode_base64url(bytes(64))  # ends in "A": two bits that count, four that do not
    head = token().rsplit(b".", 1)[0] + b"."
    Parsed(head + whole)
    for last in b"BCDEFGHIJKLMNOP":
        with pytest.raises(Rejected, match="malformed"):
            Parsed(head + whole[:-1] + bytes([last]))


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'"x"',
        b"null",
        b"{}",
        b'{"alg":null}',
        b'{"alg":["EdDSA"]}',
        b'{"alg":{"EdDSA":1}}',
        b'{"alg":1}',
        b'{"alg":"none","alg":"EdDSA"}',
        b'{"alg":"EdDSA","kid":null}',
        b'{"alg":"EdDSA","kid":1}',
        b'{"alg":"EdDSA","kid":["a"]}',
        b'{"alg":"EdDSA","kid":""}',
        b'{"alg":"EdDSA","kid":"a\\u0000b"}',
        b'{"alg":"EdDSA","kid":"\\ud800"}',
        '{"alg":"EdDSA","kid":"ключ"}'.encode(),
        b'{"alg":"EdDSA","kid":"a\\nb"}',
        b'{"alg":"EdDSA","kid":"%s"}' % (b"k" * 257),
        b'\xef\xbb\xbf{"alg":"EdDSA"}',
        '{"alg":"EdDSA"}'.encode("utf-16"),
        b"[" * 3000,
        b'{"a":' * 1000,
    ],
)
def test_a_header_that_is_no_plain_object_is_refused(header: bytes) -> None:
    with pytest.raises(Rejected, match="malformed"):
        Parsed(token(header))


@pytest.mark.parametrize(
    "member",
    [
        b'"crit":["b64"]',
        b'"crit":[]',
        b'"crit":["http://example.com/x"]',
        b'"crit":null',
        b'"b64":false',
        b'"b64":0',
        b'"b64":true',
        b'"zip":"DEF"',
        b'"zip":""',
        b'"cty":"JWT"',
    ],
)
def test_a_parameter_that_changes_the_reading_is_refused(member: bytes) -> None:
    with pytest.raises(Rejected, match="not supported"):
        Parsed(token(b'{"alg":"EdDSA",' + member + b"}"))


@pytest.mark.parametrize(
    "payload", [b"[]", b'"x"', b"null", b'{"a":1,"a":1}', b"[" * 3000, b"\xff"]
)
def test_claims_that_are_no_plain_object_are_refused(payload: bytes) -> None:
    with pytest.raises(Rejected, match="malformed"):
        Parsed(token(payload=payload)).claims()


def test_a_token_past_8_kib_is_refused_unread() -> None:
    fitting = token(payload=b" " * 5000)
    Parsed(fitting)
    with pytest.raises(Rejected, match="too long"):
        Parsed(b"!" * (MAX_TOKEN + 1))


def test_a_kid_is_printable_and_short() -> None:
    assert is_kid("../../etc/passwd")
    assert is_kid("k" * 256)
    for kid in ("", "k" * 257, "é", "a\x7f", None, 1, b"k"):
        assert not is_kid(kid)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200)
    | st.builds(token, st.binary(max_size=60), st.binary(max_size=60))
    | st.builds(lambda value: token(json.dumps(value).encode()), _json)
)
def test_no_bytes_raise_anything_but_a_rejection(text: bytes) -> None:
    try:
        Parsed(text).claims()
    except Rejected as rejection:
        said = rejection.description
        assert said.isascii()
        assert said.isprintable()
        assert not set('"\\') & set(said)
