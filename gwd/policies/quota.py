"""A quota as its callers are told of it: the answer 429 and its fields.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10: what the policy is, and how much
of it is left. `w` is a whole number of seconds, so a rate is told in the smallest window in which
it comes to whole requests; the burst is a parameter of our own. Retry-After never lies before `t`.
"""

from __future__ import annotations

import math

from gwd.http.problem import Refusal

EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
MOST_WINDOW = 3600


class Quota:
    """The quota called `name`, for the callers of one limiter."""

    __slots__ = ("_detail", "_last", "_last_seconds", "_members", "_name", "_policy")

    def __init__(self, name: str, per_second: float, burst: int, detail: str) -> None:
        self._name = _quoted(name)
        self._detail = detail
        count, window = whole(per_second)
        self._policy = (
            "RateLimit-Policy",
            f"{self._name};q={count};w={window};gwd-burst={burst}",
        )
        self._members = (("violated-policies", [name]),)
        self._last_seconds = 0
        self._last: Refusal | None = None
        """The last refusal, told to who may ask again in so many seconds: a flood gets that one."""

    def refusal(self, wait_us: int) -> Refusal:
        """Told to who may ask again in `wait_us`."""
        seconds = math.ceil(wait_us / 1_000_000)
        if self._last is not None and seconds == self._last_seconds:
            return self._last
        self._last_seconds = seconds
        self._last = Refusal(
            429,
            "rate_limited",
            self._detail,
            (
                ("Retry-After", str(seconds)),
                ("RateLimit", f"{self._name};r=0;t={seconds}"),
                self._policy,
            ),
            type=EXCEEDED,
            members=self._members,
        )
        return self._last


def whole(per_second: float) -> tuple[int, int]:
    """A rate as whole events in whole seconds, in the smallest such window."""
    for window in range(1, MOST_WINDOW + 1):
        quota = per_second * window
        if abs(quota - round(quota)) < 1e-6 and quota >= 1:
            return round(quota), window
    return max(1, round(per_second * MOST_WINDOW)), MOST_WINDOW


def _quoted(name: str) -> str:
    """A structured-field string (RFC 9651 §3.3.3); names of the config are printable ASCII."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
