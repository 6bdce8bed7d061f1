"""What makes a run good: the exit status, and the lines that say why.

A request is good if its scenario said so; refusals that a scenario expects are good, too. So not
one may have failed, and at least one must have been made. A request is lost if it got no answer, or
one of 500 and above: those are counted apart, for they are the gateway's. A scenario adds what it
must have shown besides (`must`): a run in which nothing was killed shows nothing about kills.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from locust import events
from locust.env import Environment

from loadtests.hooks import listen

Criterion = Callable[[], str]
"""What is wrong; "" if nothing is."""

_criteria: list[Criterion] = []
_lost = 0


def must(criterion: Criterion) -> Criterion:
    """Judge by `criterion`, too, at the end of the run."""
    _criteria.append(criterion)
    return criterion


@listen(events.request)
def count_lost(response: Any = None, exception: Any = None, **_: Any) -> None:
    global _lost
    status = getattr(response, "status_code", 0)
    if exception is not None and (not status or status >= 500):
        _lost += 1


@listen(events.quitting)
def judge(environment: Environment, **_: Any) -> None:
    total = environment.stats.total
    wrong = [text for criterion in _criteria if (text := criterion())]
    if not total.num_requests:
        wrong.append("no request was made")
    if total.num_failures:
        wrong.append(f"{total.num_failures} failed, which is {total.fail_ratio:.2%}")
    print(f"requests {total.num_requests}, failed {total.num_failures}, lost {_lost}")
    for text in wrong:
        print(f"not good: {text}")
    if wrong:
        environment.process_exit_code = 1
