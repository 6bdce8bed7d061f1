from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwd.policies.claims import MAX_FORWARDED, ClaimRules, Forward, find_claim, scopes
from gwd.policies.compact import Rejected

NOW = 1_800_000_000.0
RULES = ClaimRules("https://issuer.example", ("api", "other"), leeway=30.0, require_exp=True)
GOOD = {"iss": "https://issuer.example", "aud": "api", "exp": NOW + 100}


def test_good_claims_hold_until_exp_and_leeway() -> None:
    assert RULES.judge(GOOD, NOW) == (-30.0, NOW + 130)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://issuer.example/",
        "HTTPS://issuer.example",
        "https://issuer.example.evil",
        " https://issuer.example",
        "",
        None,
        ["https://issuer.example"],
        {"https://issuer.example": 1},
        1,
    ],
)
def test_an_issuer_that_is_not_exact_is_refused(issuer: Any) -> None:
    with pytest.raises(Rejected, match="another issuer"):
        RULES.judge(GOOD | {"iss": issuer}, NOW)


def test_a_missing_issuer_is_refused() -> None:
    with pytest.raises(Rejected, match="another issuer"):
        RULES.judge({"aud": "api", "exp": NOW + 100}, NOW)


@pytest.mark.parametrize("audience", ["api", "other", ["api"], ["x", "other"], ["api", "other"]])
def test_any_audience_of_the_token_may_match_any_of_ours(audience: Any) -> None:
    RULES.judge(GOOD | {"aud": audience}, NOW)


@pytest.mark.parametrize(
    ("audience", "said"),
    [
        ("API", "another audience"),
        ("ap", "another audience"),
        ("api other", "another audience"),
        ([], "another audience"),
        (["x"], "another audience"),
        (None, "no valid audience"),
        (1, "no valid audience"),
        ({"api": 1}, "no valid audience"),
        (["api", 1], "no valid audience"),
        ([["api"]], "no valid audience"),
    ],
)
def test_other_and_odd_audiences_are_refused(audience: Any, said: str) -> None:
    with pytest.raises(Rejected, match=said):
        RULES.judge(GOOD | {"aud": audience}, NOW)


def test_a_missing_audience_is_refused() -> None:
    with pytest.raises(Rejected, match="no valid audience"):
        RULES.judge({"iss": GOOD["iss"], "exp": NOW + 100}, NOW)


def test_exp_is_past_at_its_very_second_but_for_leeway() -> None:
    exact = ClaimRules(str(GOOD["iss"]), ("api",), leeway=0.0, require_exp=True)
    exact.judge(GOOD | {"exp": NOW + 1}, NOW)
    with pytest.raises(Rejected, match="expired"):
        exact.judge(GOOD | {"exp": NOW}, NOW)
    RULES.judge(GOOD | {"exp": NOW - 29}, NOW)
    with pytest.raises(Rejected, match="expired"):
        RULES.judge(GOOD | {"exp": NOW - 30}, NOW)


def test_exp_is_required_unless_told() -> None:
    eternal = {"iss": GOOD["iss"], "aud": "api"}
    with pytest.raises(Rejected, match="does not say when it expires"):
        RULES.judge(eternal, NOW)
    lenient = ClaimRules(str(GOOD["iss"]), ("api",), leeway=0.0, require_exp=False)
    assert lenient.judge(eternal, NOW)[1] == float("inf")
    with pytest.raises(Rejected, match="expired"):
        lenient.judge(eternal | {"exp": NOW - 1}, NOW)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "instant",
    [
        " 12 ",
        "1_0",
        "1800000100",
        "١٨٠٠٠٠٠١٠٠",
        1e308,
        10**4000,
        2**53,
        float(2**53),
        -1,
        -1.5,
        True,
        False,
        None,
        [],
        [1800000100],
        {},
    ],
)
def test_an_instant_that_is_not_a_plain_number_is_refused(name: str, instant: Any) -> None:
    with pytest.raises(Rejected, match="wrong type"):
        RULES.judge(GOOD | {name: instant}, NOW)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_refused_past_leeway(name: str) -> None:
    assert RULES.judge(GOOD | {name: NOW + 30}, NOW)[0] == NOW
    with pytest.raises(Rejected, match="not valid yet"):
        RULES.judge(GOOD | {name: NOW + 31}, NOW)


def test_fractions_of_seconds_count() -> None:
    assert RULES.judge(GOOD | {"exp": NOW + 0.5, "nbf": NOW - 0.5}, NOW) == (NOW - 30.5, NOW + 30.5)


@pytest.mark.parametrize("name", ["sub", "jti"])
@pytest.mark.parametrize("value", [1, None, ["ada"], {}, True])
def test_a_subject_or_id_that_is_no_text_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Rejected, match="wrong type"):
        RULES.judge(GOOD | {name: value}, NOW)


_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "jti"]), _values))
def test_accepted_claims_hold_now_and_no_claims_raise_anything_else(claims: dict[str, Any]) -> None:
    try:
        since, until = RULES.judge(GOOD | claims, NOW)
    except Rejected:
        return
    assert since <= NOW < until


@pytest.mark.parametrize(
    ("claims", "granted"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scope": " a  b "}, {"a", "b"}),
        ({"scope": ""}, set()),
        ({"scp": "a b"}, {"a", "b"}),
        ({"scp": ["a", "b"]}, {"a", "b"}),
        ({"scope": "a", "scp": ["b"]}, {"a"}),
        ({"scope": ["a", 1, None]}, {"a"}),
        ({"scope": {"a": 1}}, set()),
        ({"scope": 1}, set()),
        ({"scope": "a\tb"}, {"a\tb"}),
        ({}, set()),
    ],
)
def test_scopes_are_words_of_scope_or_scp(claims: dict[str, Any], granted: set[str]) -> None:
    assert scopes(claims) == granted


def test_a_claim_is_found_by_its_name_or_by_a_dotted_path() -> None:
    claims = {"a": {"b": {"c": 1}}, "https://x.example/role": "admin", "a.b": 2, "list": [1]}
    assert find_claim(claims, "a.b.c") == 1
    assert find_claim(claims, "a.b") == 2
    assert find_claim(claims, "https://x.example/role") == "admin"
    for absent in ("b", "a.c", "a.b.c.d", "list.0", "", "a."):
        assert find_claim(claims, absent) is None


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("ada", b"X-Claim: ada\r\n"),
        ("Ada Lovelace", b"X-Claim: Ada Lovelace\r\n"),
        ("", b"X-Claim: \r\n"),
        (7, b"X-Claim: 7\r\n"),
        (-1.5, b"X-Claim: -1.5\r\n"),
        (True, b"X-Claim: true\r\n"),
        (False, b"X-Claim: false\r\n"),
        (["a", "b c"], b"X-Claim: a, b c\r\n"),
        ([], b"X-Claim: \r\n"),
        ("x" * MAX_FORWARDED, b"X-Claim: " + b"x" * MAX_FORWARDED + b"\r\n"),
        (None, b""),
    ],
)
def test_a_claim_becomes_a_field_line(value: Any, line: bytes) -> None:
    assert Forward([("c", "X-Claim")]).lines({"c": value}) == line


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nX: y",
        "a\nb",
        "a\x00b",
        "a\x7f",
        "a\tb",
        "\x1b[2J",
        "é",
        "\ud800",
        " a",
        "a ",
        " ",
        "x" * (MAX_FORWARDED + 1),
        {"a": 1},
        [1],
        ["a,b"],
        ["a", ""],
        ["a\r\nb"],
        [" a"],
        ["x" * 600, "y" * 600],
        10**2000,
    ],
)
def test_a_claim_that_no_field_can_hold_refuses_the_token(value: Any) -> None:
    with pytest.raises(Rejected, match="cannot be passed on"):
        Forward([("c", "X-Claim")]).lines({"c": value})


def test_claims_go_in_the_order_of_the_config() -> None:
    forward = Forward([("sub", "X-User-Id"), ("realm_access.roles", "X-Roles"), ("no", "X-No")])
    lines = forward.lines({"realm_access": {"roles": ["a", "b"]}, "sub": "ada"})
    assert lines == b"X-User-Id: ada\r\nX-Roles: a, b\r\n"


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    _values | st.lists(st.text(max_size=5), max_size=3) | st.text(st.characters(max_codepoint=130))
)
def test_whatever_is_forwarded_is_one_clean_line(value: Any) -> None:
    try:
        lines = Forward([("c", "X-Claim")]).lines({"c": value})
    except Rejected:
        return
    if value is None:
        assert lines == b""
        return
    assert lines.startswith(b"X-Claim: ")
    assert lines.endswith(b"\r\n")
    content = lines[9:-2]
    assert content == content.strip(b" ")
    assert all(0x20 <= byte <= 0x7E for byte in content)
