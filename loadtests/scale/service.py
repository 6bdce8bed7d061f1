"""The service behind the gateway: one nginx that listens at many loopback addresses.

Endpoints differ by address (127.2.0.1, 127.2.0.2 and so on), not by port: so hundreds of them need
one free port, and the gateway sees as many peers.
"""

from __future__ import annotations

from pathlib import Path

from loadtests.compare.proxies import nginx
from loadtests.compare.running import Running, free_port

MOST = 500


def addresses(count: int, port: int) -> list[str]:
    """The first `count` addresses at which it answers."""
    return [f"127.2.{number // 250}.{number % 250 + 1}:{port}" for number in range(count)]


def start_service(room: Path) -> Running:
    room.mkdir(parents=True)
    room.chmod(0o755)  # nginx's worker may be another user
    port = free_port()
    listens = [f"    listen {address} backlog=4096;" for address in addresses(MOST, port)]
    text = [
        nginx.head(room) + "  access_log off;",
        "  server {",
        f"    listen 127.0.0.1:{port} backlog=4096;",
        *listens,
        "    location / { return 200 'hello'; }",
        "  }",
        "}",
    ]
    (room / "nginx.conf").write_text("\n".join(text) + "\n")
    return Running(room, nginx.command(room), port)
