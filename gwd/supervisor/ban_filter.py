"""The filter against the banned, on every listener or on none, and what the segment says of it.

The controller compiles it, the supervisor has the listeners. If the kernel takes it on one of them
but not on another, which new listeners may turn out to do, all are without, and that is known:
workers close what the kernel does not drop, in status and log stands why.
"""

from __future__ import annotations

import os

from gwd.process.events import Log
from gwd.segment.bans import FILTER_FAILED, FILTER_OFF, FILTER_ON, Bans
from gwd.supervisor.listeners import Listeners


class BanFilter:
    def __init__(self, listeners: Listeners, bans: Bans, log: Log) -> None:
        self._listeners = listeners
        self._bans = bans
        self._log = log
        self._refused = False
        self._latest = (b"", 0, 0)

    def put(self, program: bytes, addresses: int, sequence: int) -> None:
        """Have the kernel drop who is banned, or else say why it does not."""
        self._latest = (program, addresses, sequence)
        state, code = (FILTER_ON if program else FILTER_OFF), 0
        try:
            self._listeners.filter(program)
        except OSError as error:
            state, code = FILTER_FAILED, error.errno or 0
            if not self._refused:
                detail = f"{os.strerror(code)}: workers close at accept instead"
                self._log("warning", "ban filter refused", detail=detail, addresses=addresses)
            self._refused = True
        else:
            if program and self._refused:
                self._refused = False
                self._log("info", "ban filter taken", addresses=addresses)
        self._bans.filter_is(state, code, addresses, sequence)

    def grow(self, slots: int) -> None:
        """Have listeners for `slots` slots, with the filter of the others. Raises BindError."""
        before = len(self._listeners)
        self._listeners.grow(slots)
        if len(self._listeners) > before and self._latest[0]:
            self.put(*self._latest)
