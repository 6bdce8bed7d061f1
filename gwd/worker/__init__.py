"""A worker process: accept, the client's connection, the journey of a request."""

from __future__ import annotations

from gwd.process.child import Child


def run(child: Child) -> int:
    """Be worker `child` until told to end. Returns the exit status."""
    from gwd.worker.process import Worker

    return Worker(child).run()
