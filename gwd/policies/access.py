"""Who may come at all: lists of networks. What is denied is denied, whatever is allowed; if there
is a list of the allowed, all others are denied."""

from __future__ import annotations

from collections.abc import Sequence

from gwd.http.addresses import Networks, pack
from gwd.http.problem import Refusal
from gwd.policies.interface import Request

DENIED = Refusal(403, "address_denied", "Requests from this address are not allowed.")


class Access:
    """A policy on the client's address. Raises ValueError for what is not a network."""

    __slots__ = ("_allow", "_deny")

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        self._allow = Networks(allow)
        self._deny = Networks(deny)

    def __bool__(self) -> bool:
        """Whether anybody is kept out."""
        return bool(self._allow or self._deny)

    def __str__(self) -> str:
        lists = (("allow", self._allow), ("deny", self._deny))
        return " and ".join(name for name, networks in lists if networks)

    def judge(self, ip: str) -> Refusal | None:
        """None if `ip` may come. With any list, what is not an IP address may not."""
        if not (self._allow or self._deny):
            return None
        try:
            packed = pack(ip)
        except ValueError:
            return DENIED
        if self._deny.contains_packed(packed):
            return DENIED
        if self._allow and not self._allow.contains_packed(packed):
            return DENIED
        return None

    def __call__(self, request: Request) -> Refusal | None:
        return self.judge(request.visitor.ip)
