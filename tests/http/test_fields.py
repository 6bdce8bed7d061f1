"""Verdicts on single field lines (SEC-07, SEC-08, SEC-13, SEC-14, SEC-16)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.http.fields import MOST_KNOWN, MOST_KNOWN_LINE, GatePolicy, Kind, judge, learn
from gwd.http.problem import Refusal
from gwd.http.scan import is_clean

DROP = GatePolicy(removed=frozenset({b"x-user-id"}))
FORWARD = GatePolicy(removed=frozenset({b"x-user-id"}), odd_names="forward")
REJECT = GatePolicy(removed=frozenset({b"x-user-id"}), odd_names="reject")


def refused(line: bytes, policy: GatePolicy = DROP) -> int:
    with pytest.raises(Refusal) as caught:
        judge(line, policy)
    assert caught.value.close
    return caught.value.status


def test_a_plain_field_is_written_anew_in_canonical_form() -> None:
    field = judge(b"X-Custom:\t one,  two \t", DROP)
    assert (field.kind, field.name, field.line) == (
        Kind.PLAIN,
        b"x-custom",
        b"X-Custom: one,  two\r\n",
    )


def test_opaque_bytes_pass_in_fields_that_nobody_reads_here() -> None:
    assert judge(b"X-Name: J\xfcrgen", DROP).line == b"X-Name: J\xfcrgen\r\n"
    assert judge(b"User-Agent: J\xfcrgen", DROP).value == b"J\xfcrgen"


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Expect",
        b"Authorization",
        b"X-Forwarded-For",
        b"X-Request-Id",
        b"traceparent",
    ],
)
def test_bytes_outside_ascii_are_refused_in_fields_that_the_gateway_reads(name: bytes) -> None:
    assert refused(name + b": \xff") == 400


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Host",
        b": x",
        b" A: b",
        b"\tA: b",
        b"A : b",
        b"A\t: b",
        b"Content-Length : 3",
        b"A(b: c",
        b"A\xff: c",
        b'"A": c',
        b" folded continuation",
        b" folded: continuation",
    ],
)
def test_sec_07_lines_that_are_no_field_are_refused(line: bytes) -> None:
    for policy in (DROP, FORWARD, REJECT):
        assert refused(line, policy) == 400


@pytest.mark.parametrize("name", [b"X_Custom", b"X.Custom", b"x~custom", b"x!custom"])
def test_sec_08_odd_names_are_dropped_rejected_or_forwarded(name: bytes) -> None:
    assert judge(name + b": v", DROP).line == b""
    assert judge(name + b": v", FORWARD).line == name + b": v\r\n"
    assert refused(name + b": v", REJECT) == 400


SPELLINGS = [b"X-User-Id", b"x-user-id", b"X-USER-ID", b"X_User_Id", b"x_user-id", b"X.User.Id"]


@pytest.mark.parametrize("name", SPELLINGS)
def test_sec_14_identity_headers_are_removed_in_every_spelling(name: bytes) -> None:
    for policy in (DROP, FORWARD):
        assert judge(name + b": admin", policy).line == b""


@pytest.mark.parametrize("configured", SPELLINGS)
@pytest.mark.parametrize("sent", SPELLINGS)
def test_sec_14_however_the_operator_wrote_them(configured: bytes, sent: bytes) -> None:
    policy = GatePolicy(removed=frozenset({configured}), odd_names="forward")
    assert judge(sent + b": admin", policy).line == b""


def test_an_identity_header_that_the_gateway_reads_is_read_and_not_forwarded() -> None:
    policy = GatePolicy(removed=frozenset({b"authorization", b"host"}))
    field = judge(b"Authorization: Bearer x", policy)
    assert (field.kind, field.value, field.line) == (Kind.AUTHORIZATION, b"Bearer x", b"")
    assert judge(b"Host: a", policy).kind == Kind.HOST


@pytest.mark.parametrize(
    "name",
    [
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Proxy-Authorization",
        b"Proxy-Anything",
        b"Proxy",
        b"TE",
        b"Trailer",
        b"Upgrade",
        b"HTTP2-Settings",
        b"Forwarded",
        b"X-Real-IP",
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"X-Forwarded-Port",
        b"X-Forwarded-Prefix",
        b"X-Request-Id",
        b"traceparent",
    ],
)
def test_hop_by_hop_and_forwarding_fields_are_never_passed_on(name: bytes) -> None:
    assert judge(name + b": h2c", DROP).line == b""
    assert judge(name.upper() + b": h2c", DROP).line == b""
    posing = name.replace(b"-", b"_")
    if posing != name:
        assert judge(posing + b": h2c", FORWARD).line == b""


@pytest.mark.parametrize(
    "name", [b"Content_Length", b"Transfer_Encoding", b"Transfer.Encoding", b"X_Forwarded_For"]
)
def test_odd_spellings_of_what_frames_a_message_are_never_passed_on(name: bytes) -> None:
    field = judge(name + b": 5", FORWARD)
    assert (field.kind, field.line) == (Kind.PLAIN, b"")


@pytest.mark.parametrize(
    "value",
    [b"", b"+3", b"-0", b"0x3", b"3_0", b"1 2", b"3,", b"3, 3", b"3;x", b"1.0", b"1" * 19],
)
def test_sec_03_an_odd_content_length_is_refused(value: bytes) -> None:
    assert refused(b"Content-Length: " + value) == 400


@pytest.mark.parametrize(("value", "number"), [(b"0", 0), (b" 003\t", 3), (b"9" * 18, 10**18 - 1)])
def test_a_content_length_is_a_number(value: bytes, number: int) -> None:
    assert judge(b"Content-Length:" + value, DROP).number == number


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (b"chunked", 1),
        (b"Chunked", 1),
        (b" \tchunked \t", 1),
        (b"", 0),
        (b"xchunked", 0),
        (b"chunked, chunked", 0),
        (b"gzip, chunked", 0),
        (b'"chunked"', 0),
        (b"chunked;q=1", 0),
        (b"chunked,", 0),
        (b"identity", 0),
    ],
)
def test_sec_04_only_chunked_is_chunked(value: bytes, good: int) -> None:
    assert judge(b"Transfer-Encoding:" + value, DROP).number == good


@pytest.mark.parametrize(
    ("value", "good"),
    [(b"100-continue", 1), (b"100-Continue", 1), (b"y 100-continue", 0), (b"100-continue, x", 0)],
)
def test_sec_15_only_100_continue_is_an_expectation(value: bytes, good: int) -> None:
    assert judge(b"Expect: " + value, DROP).number == good


def test_connection_lists_options() -> None:
    assert judge(b"Connection: , Close ,TE,, x-hop", DROP).options == {b"close", b"te", b"x-hop"}


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"Content-Length",
        b"Content-Type",
        b"Transfer-Encoding",
        b"Authorization",
        b"Cookie",
        b"Forwarded",
        b"X-Forwarded-For",
        b"X-Forwarded-Anything",
        b"X-Real-IP",
        b"Via",
        b"X-Request-Id",
        b"traceparent",
        b"X-User-Id",
        b"X_User_Id",
    ],
)
def test_sec_13_connection_must_not_name_protected_fields(name: bytes) -> None:
    assert refused(b"Connection: close, " + name) == 400


@pytest.mark.parametrize("value", [b"a b", b"close;x", b'"close"', b"a:b"])
def test_connection_must_be_a_list_of_names(value: bytes) -> None:
    assert refused(b"Connection: " + value) == 400


@pytest.mark.parametrize("value", [b"a b", b"a" * 65, b"", b"a,b", b"../x"])
def test_a_request_id_that_is_none_means_nothing(value: bytes) -> None:
    assert judge(b"X-Request-Id: " + value, DROP).kind == Kind.PLAIN


@pytest.mark.parametrize(
    "value",
    [
        b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"1" * 32 + b"-" + b"0" * 16 + b"-01",
        b"ff-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"A" * 32 + b"-" + b"1" * 16 + b"-01",
        b"x",
    ],
)
def test_a_traceparent_that_is_none_means_nothing(value: bytes) -> None:
    assert judge(b"traceparent: " + value, DROP).kind == Kind.PLAIN


ODD = st.text("Xx-_.~!AuserId", min_size=1, max_size=12).map(str.encode)


@settings(max_examples=200)
@given(ODD, st.sampled_from([DROP, FORWARD]))
def test_whatever_is_forwarded_is_one_clean_line(name: bytes, policy: GatePolicy) -> None:
    line = judge(name + b": v", policy).line
    if line:
        assert is_clean(line)
        assert line.count(b"\r\n") == 1
        assert line.lower().translate(bytes.maketrans(b"_.~!", b"----")) != b"x-user-id: v\r\n"


@pytest.mark.parametrize(
    "name", [b"Authorization", b"cookie", b"Proxy-Authorization", b"X-Api-Key", b"x_auth_token"]
)
def test_a_line_with_a_secret_is_not_remembered(name: bytes) -> None:
    policy = GatePolicy()
    line = name + b": s3cret"
    learn(line, judge(line, policy), policy)
    assert not policy.known


def test_sec_17_remembered_lines_are_bounded() -> None:
    policy = GatePolicy()
    for number in range(MOST_KNOWN + 10):
        line = b"X-A: %d" % number
        learn(line, judge(line, policy), policy)
    assert len(policy.known) == 10
    long = b"X-A: " + b"x" * MOST_KNOWN_LINE
    learn(long, judge(long, policy), policy)
    assert long not in policy.known
