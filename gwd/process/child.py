"""What the supervisor gives to a child: one value, complete before the child's first line runs.

The fds in it are the only ones the child still has besides 0, 1 and 2. They are shared with the
supervisor, which keeps every listener open: a child that dies leaves its queue to its successor.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from gwd.config.snapshot import Snapshot
from gwd.segment.memory import Segment
from gwd.tls.contexts import ListenerContexts

WORKER = "worker"
CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Child:
    """One child process.

    `slot` counts workers from 0 (the controller is slot 0 of its role); `column` is this
    process's own column of the segment, the only one it may write. `listeners` holds one
    listening, non-blocking socket per address of `snapshot.server.bind`, in that order, and is
    empty for the controller. A worker that drains accepts what is queued, then closes them. When
    the gateway stops, nobody has them open from then on, and clients are refused at once.
    `workers` says how many worker slots there are, for shares of gateway-wide limits.
    """

    role: str
    slot: int
    column: int
    segment: Segment
    channel: socket.socket
    """Our end of a non-blocking SOCK_SEQPACKET pair; only `control.Control` touches it."""
    listeners: tuple[socket.socket, ...]
    snapshot: Snapshot
    generation: int
    supervisor_pid: int
    workers: int
    tls: ListenerContexts = field(default_factory=ListenerContexts)
    """Made before the fork and this process's own from then on; it renews them itself."""
