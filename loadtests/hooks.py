"""locust's hooks, with types: a listener that is decorated stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Listener = TypeVar("_Listener", bound=Callable[..., None])


def listen(hook: Any) -> Callable[[_Listener], _Listener]:
    """Call the decorated function whenever `hook` is fired."""

    def add(listener: _Listener) -> _Listener:
        hook.add_listener(listener)
        return listener

    return add
