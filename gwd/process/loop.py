"""Which event loop a child runs: uvloop where there is one, else asyncio's, said aloud.

Always called after the fork: a loop made before it would share its epoll and its signal pipe with
the parent.
"""

from __future__ import annotations

import asyncio
import os
import sys


def new_loop() -> asyncio.AbstractEventLoop:
    """A fresh event loop, set as the current one of this thread.

    uvloop, unless GWD_EVENT_LOOP=asyncio asks for the other or it cannot be imported; then one
    warning line on stderr says so, because requests cost three to four times as much there.
    """
    loop = _uvloop()
    if loop is None:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def _uvloop() -> asyncio.AbstractEventLoop | None:
    if os.environ.get("GWD_EVENT_LOOP") == "asyncio":
        return None
    try:
        import uvloop
    except ImportError as error:
        print(
            f"gwd[{os.getpid()}]: warning: uvloop is not usable ({error}); "
            "running on asyncio's loop, which is slower",
            file=sys.stderr,
            flush=True,
        )
        return None
    return uvloop.new_event_loop()
