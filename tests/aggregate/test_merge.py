from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.aggregate.merge import Merged, Outcome, merge
from gwd.aggregate.plan import Plan
from gwd.http.problem import Refusal

MakePlan = Callable[..., Plan]


def ok(body: bytes, status: int = 200) -> Outcome:
    return Outcome(status, body, "")


def merged(plan: Plan, *outcomes: Outcome) -> Merged:
    result = merge(plan, outcomes)
    assert isinstance(result, Merged)
    return result


def test_the_body_is_keyed_by_part_in_file_order(make_plan: MakePlan) -> None:
    plan = make_plan({"name": "b"}, {"name": 'q"é'}, {"name": "a", "pick": ("x",)})
    result = merged(plan, ok(b'{"x": 1}\n'), ok(b"[1.50]"), ok(b'{"x":1,"y":2}'))
    assert result.body == '{"b":{"x": 1},"q\\"é":[1.50],"a":{"x":1}}'.encode()
    assert (result.incomplete, result.reasons) == ((), ())


MISSING = [
    (Outcome(0, b"", "unreachable"), "unreachable"),
    (Outcome(0, b"", "timeout"), "timeout"),
    (Outcome(200, b"{}", "too_large"), "too_large"),
    (Outcome(404, b"{}", ""), "status_404"),
    (Outcome(301, b"{}", ""), "status_301"),
    (Outcome(500, b"{}", ""), "status_500"),
    (Outcome(204, b"", ""), "bad_json"),
    (Outcome(200, b"", ""), "bad_json"),
    (Outcome(200, b"<html>", ""), "bad_json"),
    (Outcome(200, b'{"a":', ""), "bad_json"),
]


@pytest.mark.parametrize(("outcome", "reason"), MISSING)
def test_a_missing_optional_part_is_left_out_or_replaced_and_named(
    make_plan: MakePlan, outcome: Outcome, reason: str
) -> None:
    plan = make_plan({"name": "a"}, {"name": "b", "default": b"[]"}, {"name": "c"})
    result = merged(plan, outcome, outcome, ok(b"1"))
    assert result.body == b'{"b":[],"c":1}'
    assert result.incomplete == ("a", "b")
    assert result.reasons == (reason, reason)


@pytest.mark.parametrize(("outcome", "reason"), MISSING)
def test_a_missing_required_part_is_502_or_504(
    make_plan: MakePlan, outcome: Outcome, reason: str
) -> None:
    plan = make_plan({"name": "a"}, {"name": "b", "required": True, "default": b"[]"})
    result = merge(plan, [ok(b"1"), outcome])
    assert isinstance(result, Refusal)
    expected = (504, "part_timeout") if reason == "timeout" else (502, "part_failed")
    assert (result.status, result.reason) == expected
    assert '"b"' in result.detail


def test_the_first_required_part_in_file_order_decides(make_plan: MakePlan) -> None:
    plan = make_plan({"name": "a", "required": True}, {"name": "b", "required": True})
    late, dead = Outcome(0, b"", "timeout"), Outcome(0, b"", "unreachable")
    assert getattr(merge(plan, [late, dead]), "status", 0) == 504
    assert getattr(merge(plan, [dead, late]), "status", 0) == 502


def test_all_parts_optional_and_missing_is_an_empty_object(make_plan: MakePlan) -> None:
    result = merged(make_plan({"name": "a"}), Outcome(0, b"", "unreachable"))
    assert (result.body, result.incomplete) == (b"{}", ("a",))


def test_nothing_to_pick_counts_as_missing(make_plan: MakePlan) -> None:
    result = merged(make_plan({"name": "a", "pick": ("x",), "default": b"null"}), ok(b"7"))
    assert result.body == b'{"a":null}'
    assert result.reasons == ("nothing_to_pick",)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.booleans(),
            st.sampled_from(
                [b"{}", b'{"x":[1e400]}', b"x", b"", b"1}", b'],"z":[', b'1,"z":2', b"\xff"]
            ),
            st.sampled_from([200, 201, 204, 404, 0]),
        ),
        max_size=5,
    )
)
def test_whatever_parts_answer_the_body_is_an_object_of_known_keys(
    make_plan: MakePlan, drawn: list[tuple[bool, bool, bytes, int]]
) -> None:
    plan = make_plan(
        *(
            {"name": f"p{i}", "pick": ("x",) if picks else (), "default": b"0" if default else None}
            for i, (picks, default, _, _) in enumerate(drawn)
        )
    )
    result = merged(plan, *(Outcome(status, body, "") for _, _, body, status in drawn))
    keys = json.loads(result.body, object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    expected = [
        part.name
        for part in plan.parts
        if part.name not in result.incomplete or part.default is not None
    ]
    assert keys == expected
