from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gwd.aggregate.plan import Plan, PlanError
from gwd.routing.pattern import PatternError

MakePlan = Callable[..., Plan]


def test_parts_keep_the_order_of_the_file(make_plan: MakePlan) -> None:
    plan = make_plan({"name": "b"}, {"name": "a"}, {"name": "c"})
    assert [part.name for part in plan.parts] == ["b", "a", "c"]


def test_a_target_is_made_from_the_captures_of_the_route(make_plan: MakePlan) -> None:
    (part,) = make_plan({"name": "a", "path": "/orders/{user}?u={user}"}).parts
    assert part.target(("a;b",)) == "/orders/a;b?u=a%3Bb"


@pytest.mark.parametrize(
    "part",
    [
        {"name": "a", "pick": ("a..b",)},
        {"name": "a", "pick": ("",)},
        {"name": "a", "default": b"{"},
        {"name": "a", "default": b""},
        {"name": "a", "path": "https://elsewhere.example/"},
    ],
)
def test_a_part_that_cannot_work_is_refused(make_plan: MakePlan, part: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match='part "a"'):
        make_plan(part)


def test_two_parts_of_one_name_are_refused(make_plan: MakePlan) -> None:
    with pytest.raises(PlanError, match='"a"'):
        make_plan({"name": "a"}, {"name": "b"}, {"name": "a"})


def test_a_placeholder_the_route_does_not_capture_is_refused(make_plan: MakePlan) -> None:
    with pytest.raises(PatternError):
        make_plan({"name": "a", "path": "/{id}"})
