"""What an aggregate route fetches: its parts, compiled once.

Strategy: everything that depends on config alone is done here: targets become functions of the
captures, `pick` becomes a tree, keys and defaults become bytes that the merge only joins.

Invariants: parts stand in file order; names are unique, so no key of the merged object can
collide; a default is JSON.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from gwd.aggregate.pick import PickTree, compile_pick
from gwd.config.snapshot import Part, Route
from gwd.routing.rewrite import compile_template


class PlanError(ValueError):
    """A part that cannot be planned; the text says why."""


class PlannedPart:
    """One call of an aggregate.

    `target(captures)` is path and query for `upstream`. `timeout` in seconds, None: the route's or
    the upstream's. `pick` None: the answer as it came. `key` is the name as JSON, with its colon.
    `default` is JSON text, None: a missing part is left out.
    """

    __slots__ = ("default", "key", "name", "pick", "required", "target", "timeout", "upstream")

    def __init__(self, part: Part, pattern: str) -> None:
        """Raises PlanError, and PatternError for a path that does not fit the route's."""
        self.name = part.name
        self.upstream = part.upstream
        if not part.path.startswith("/"):
            raise PlanError(f'part "{part.name}": path "{part.path}" does not begin with "/"')
        self.target: Callable[[tuple[str, ...]], str] = compile_template(pattern, part.path)
        self.required = part.required
        self.timeout = part.timeout
        try:
            self.pick: PickTree | None = compile_pick(part.pick) if part.pick else None
        except ValueError as error:
            raise PlanError(f'part "{part.name}": pick: {error}') from None
        self.key = orjson.dumps(part.name) + b":"
        self.default = part.default
        if part.default is not None:
            try:
                orjson.loads(part.default)
            except orjson.JSONDecodeError as error:
                raise PlanError(f'part "{part.name}": default is not JSON: {error}') from None


class Plan:
    """The parts of an aggregate route, in file order.

    Raises PlanError or PatternError for a route that the config should have refused.
    """

    __slots__ = ("parts",)

    def __init__(self, route: Route) -> None:
        self.parts = tuple(PlannedPart(part, route.path) for part in route.parts)
        names = [part.name for part in self.parts]
        for name in names:
            if names.count(name) > 1:
                raise PlanError(f'two parts are named "{name}"')
