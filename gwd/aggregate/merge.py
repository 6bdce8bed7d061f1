"""The answers of the parts → one JSON object.

Strategy: a part that needs no picking is checked and its bytes are joined in as they came, so
nothing in it can change; the rest goes through `pick`. The object is keyed by part name in file
order, whatever order the answers came in.

A part is there if it answered 2xx with JSON; an empty body (204 too) is not JSON. What is missing:
a required part ends the aggregate, 504 if it (the first in file order) timed out and 502 for
everything else, for a 404 too: that is the upstream's word about its own resource. An optional
part is replaced by its default or left out, and named as incomplete either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gwd.aggregate.pick import Unusable, check, pick
from gwd.aggregate.plan import Plan, PlannedPart
from gwd.http.problem import Refusal


@dataclass(slots=True)
class Outcome:
    """What became of one part.

    `status` 0: no response. `error`: "" or a log word, "timeout" being the one that means 504; an
    outcome with an error is missing whatever its status says.
    """

    status: int
    body: bytes
    error: str


@dataclass(slots=True)
class Merged:
    """`body`: a JSON object. `incomplete`: names of missing parts, `reasons`: why, as log words."""

    body: bytes
    incomplete: tuple[str, ...]
    reasons: tuple[str, ...]


def merge(plan: Plan, outcomes: Sequence[Outcome]) -> Merged | Refusal:
    """Join `outcomes`, one per part of `plan` in its order.

    Returns a Refusal 502 "part_failed" or 504 "part_timeout" if a required part is missing; its
    detail names the part and nothing of the upstream.
    """
    members: list[bytes] = []
    incomplete: list[str] = []
    reasons: list[str] = []
    for part, outcome in zip(plan.parts, outcomes, strict=True):
        value, reason = _value(part, outcome)
        if value is None:
            if part.required:
                return _refusal(part, reason)
            incomplete.append(part.name)
            reasons.append(reason)
            value = part.default
        if value is not None:
            members.append(part.key + value)
    return Merged(b"{" + b",".join(members) + b"}", tuple(incomplete), tuple(reasons))


def _value(part: PlannedPart, outcome: Outcome) -> tuple[bytes | None, str]:
    if outcome.error:
        return None, outcome.error
    if not 200 <= outcome.status < 300:
        return None, f"status_{outcome.status}"
    try:
        if part.pick is None:
            return check(outcome.body), ""
        return pick(outcome.body, part.pick), ""
    except Unusable as unusable:
        return None, str(unusable)


def _refusal(part: PlannedPart, reason: str) -> Refusal:
    if reason == "timeout":
        return Refusal(504, "part_timeout", f'The required part "{part.name}" took too long.')
    return Refusal(502, "part_failed", f'The required part "{part.name}" could not be had.')
