from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.aggregate.pick import Unusable, _is_too_deep, check, compile_pick, pick


def picked(body: str, *paths: str) -> Any:
    return pick(body.encode(), compile_pick(paths)).decode()


@pytest.mark.parametrize(
    ("body", "paths", "made"),
    [
        ('{"a":1,"b":2,"c":3}', ["c", "a"], '{"c":3,"a":1}'),
        ('{"a":{"b":{"c":1,"d":2}},"e":3}', ["a.b.c"], '{"a":{"b":{"c":1}}}'),
        (
            '{"items":[{"id":1,"x":0},{"id":2,"total":5}],"n":2}',
            ["items.id", "items.total"],
            '{"items":[{"id":1},{"id":2,"total":5}]}',
        ),
        ('[{"id":1,"x":0},{"id":2}]', ["id"], '[{"id":1},{"id":2}]'),
        ('{"items":[[{"id":1,"x":0}],[]]}', ["items.id"], '{"items":[[{"id":1}],[]]}'),
        ('{"items":[1,null,{"id":1}]}', ["items.id"], '{"items":[{"id":1}]}'),
        ('{"items":{"id":1}}', ["items", "items.id"], '{"items":{"id":1}}'),
        ('{"items":{"id":1,"x":2}}', ["items.id", "items"], '{"items":{"id":1,"x":2}}'),
        ('{"items":5,"a":1}', ["items.id", "a"], '{"a":1}'),
        ('{"a":null}', ["a", "b"], '{"a":null}'),
        ("{}", ["a"], "{}"),
        ("[]", ["a"], "[]"),
        ('{"a":1,"a":2}', ["a"], '{"a":2}'),
        ('{"é\\u00e9":"\\ud83d\\ude00"}', ["éé"], '{"éé":"😀"}'),
    ],
)
def test_pick_keeps_what_is_named_and_the_objects_around_it(
    body: str, paths: list[str], made: str
) -> None:
    assert picked(body, *paths) == made


@pytest.mark.parametrize("body", ["5", "null", '"text"', "true"])
def test_a_document_that_is_neither_object_nor_list_has_nothing_to_pick(body: str) -> None:
    with pytest.raises(Unusable, match="nothing_to_pick"):
        picked(body, "a")


@pytest.mark.parametrize(
    "number",
    [
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "0.1234567890123456789",
        "10000000000000000.5",
        "1e400",
        "-1E-400",
        "12.50e2",
        "-0",
        "9007199254740993",
    ],
)
def test_numbers_a_double_would_change_stay_as_they_are_written(number: str) -> None:
    assert picked(f'{{"a":{number},"b":0}}', "a") == f'{{"a":{number}}}'
    assert picked(f'{{"a":[{{"x":{number}}}]}}', "a.x") == f'{{"a":[{{"x":{number}}}]}}'
    assert check(f"[{number}]".encode()) == f"[{number}]".encode()


BAD = [b"", b" ", b"{", b"nope", b"NaN", b"[Infinity]", b"[1e5,NaN]", b"{'a':1}", b"[1],", b"\xff",
       b'"\xff1e5"', b'["\\ud800"]', b'["\\ud800",1e5]', b"[01]", b"[1e5,01]", b'["\n"]',
       b"\xff\xfe[\x001\x00]\x00"]  # fmt: skip


@pytest.mark.parametrize("body", BAD)
def test_what_is_not_json_is_unusable(body: bytes) -> None:
    with pytest.raises(Unusable, match="bad_json"):
        check(body)
    with pytest.raises(Unusable, match="bad_json"):
        pick(b'{"a":' + body + b"}", compile_pick(["a"]))


def test_many_lists_are_not_deep_ones() -> None:
    wide = "[" + "[[1e999]]," * 2_000 + '"' + r"\"" + "[" * 2_000 + '"]'
    assert check(wide.encode()) == wide.encode()


@pytest.mark.parametrize(("depth", "good"), [(900, True), (901, False)])
def test_how_deep_a_document_with_delicate_numbers_may_be(depth: int, good: bool) -> None:
    body = ("[" * depth + "1e5" + "]" * depth).encode()
    assert _is_too_deep(body) is not good
    assert _is_too_deep(b"[" + b'"[[]]",' * 500 + body[1:]) is not good


def test_a_string_that_never_ends_is_looked_at_once() -> None:
    body = b"[" * 1001 + b'1e5,"' + rb"\"" * 500_000
    with pytest.raises(Unusable, match="bad_json"):
        check(body)  # within the time of a test, and not in hours


@pytest.mark.parametrize("number", ["1", "1e5"])
def test_a_depth_bomb_is_unusable(number: str) -> None:
    bombs = ["[" * 100_000 + number, "[" * 5_000 + number + "]" * 5_000, '{"a":' * 100_000 + number]
    for bomb in bombs:
        with pytest.raises(Unusable, match="bad_json"):
            check(bomb.encode())
        with pytest.raises(Unusable, match="bad_json"):
            picked(bomb, "a")


def test_what_is_too_deep_to_be_written_is_unusable() -> None:
    with pytest.raises(Unusable, match="bad_json"):
        picked('{"a":' + "[" * 600 + "]" * 600 + "}", "a")


def test_lists_are_followed_only_so_deep_in_lists() -> None:
    assert picked("[" * 32 + '{"a":1}' + "]" * 32, "a") == "[" * 32 + '{"a":1}' + "]" * 32
    assert picked("[" * 33 + '{"a":1}' + "]" * 33, "a") == "[" * 32 + "]" * 32


def test_a_checked_body_stays_byte_for_byte() -> None:
    body = b'{ "a" : 1.50 , "a" : 1e2, "b":"\\u00e9" }'
    assert check(b"\xef\xbb\xbf \r\n\t" + body + b"\n") == body


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=12,
)
PATHS = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join), min_size=1, max_size=3
)
LEFT_OUT = object()


def reference(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [v for v in (reference(item, paths) for item in value) if v is not LEFT_OUT]
    if not isinstance(value, dict):
        return LEFT_OUT
    made = {}
    for name in value:
        deeper = [path[1:] for path in paths if path[0] == name]
        if [] in deeper:
            made[name] = value[name]
        elif deeper:
            inner = reference(value[name], deeper)
            if inner is not LEFT_OUT:
                made[name] = inner
    return made


@settings(max_examples=200, deadline=None)
@given(JSON, PATHS)
def test_pick_is_a_projection_that_changes_no_value(value: Any, paths: list[str]) -> None:
    body = json.dumps(value).encode()
    expected = reference(value, [path.split(".") for path in paths])
    if expected is LEFT_OUT:
        with pytest.raises(Unusable):
            pick(body, compile_pick(paths))
    else:
        assert json.loads(pick(body, compile_pick(paths))) == expected
    assert check(body) == body
