"""What stands behind the gateway: nginx with a small answer, a large one, and a sink for bodies."""

from __future__ import annotations

from pathlib import Path

from loadtests.compare.proxies import nginx
from loadtests.compare.running import Running, free_port

BIG = 1 << 20
_SERVER = """
  access_log off; root {room};
  server {{
    listen 127.0.0.1:{port} backlog=4096; client_max_body_size 100m;
    location = /hello {{ return 200 'hello'; }}
    location = /big {{ }}
    location = /sink {{ proxy_pass http://127.0.0.1:{port}/hello; }}
  }}
}}
"""


def start_service(room: Path) -> Running:
    room.mkdir(parents=True)
    room.chmod(0o755)
    (room / "big").write_bytes(b"x" * BIG)
    port = free_port()
    text = nginx.head(room) + _SERVER.format(room=room, port=port)
    (room / "nginx.conf").write_text(text)
    return Running(room, nginx.command(room), port)
