"""What each kind of child runs. The supervisor knows its children's code by these names only."""

from __future__ import annotations

from gwd.process.child import CONTROLLER, WORKER, Child
from gwd.supervisor.children import Entry


def _worker(child: Child) -> int:
    from gwd.worker import run

    return run(child)


def _controller(child: Child) -> int:
    from gwd.controller import run

    return run(child)


ROLES: dict[str, Entry] = {WORKER: _worker, CONTROLLER: _controller}


def preload() -> None:
    """Import, in the supervisor, what every child runs.

    So a fork starts in milliseconds instead of importing for a fifth of a second, which is what a
    client in the queue of a crashed worker waits, and children share the pages of the code. The
    supervisor only holds these modules; importing them must start no thread (a test looks).
    """
    import gwd.controller
    import gwd.process.loop
    import gwd.worker  # noqa: F401
