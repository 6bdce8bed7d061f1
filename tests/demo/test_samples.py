from __future__ import annotations

from gwd.demo.samples import SERVICES


def test_answers_follow_from_the_request_alone():
    for name, segments, query in (
        ("profile", ["ada"], {}),
        ("orders", [], {"user": ["ada"]}),
        ("orders", ["42"], {}),
        ("cart", ["ada"], {}),
    ):
        answers = [SERVICES[name](segments, query) for _ in range(3)]
        assert answers[0] is not None
        assert answers == [answers[0]] * 3


def test_an_order_of_a_list_is_the_same_as_alone():
    listed = SERVICES["orders"]([], {"user": ["ada"]})
    for order in listed["items"]:
        assert SERVICES["orders"]([str(order["id"])], {}) == order


def test_different_users_have_different_orders():
    ids = {
        SERVICES["orders"]([], {"user": [user]})["items"][0]["id"]
        for user in ("ada", "grace", "edsger", "barbara")
    }
    assert len(ids) > 1
