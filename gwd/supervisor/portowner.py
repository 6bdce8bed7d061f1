"""Who listens on a port: for the one message in which everybody wants to know."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"
"""TCP_LISTEN in the fourth column of /proc/net/tcp."""


def port_owner(port: int) -> str:
    """ "nginx (process 812)", or "another process" where that may not be seen."""
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    if wanted:
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with suppress(OSError):
                    for fd in os.listdir(process / "fd"):
                        if os.readlink(process / "fd" / fd) in wanted:
                            name = (process / "comm").read_text().strip()
                            return f"{name} (process {process.name})"
    return "another process"


def _listening(port: int) -> list[str]:
    """Inodes of the TCP sockets that listen on `port`."""
    found = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.append(fields[9])
    return found
