"""The service behind all of them: nginx, which answers from memory and never gets in the way.

/big                      a file of 1 MiB
/stream                   10 KiB in chunks, as if the length was not known; takes any method
/profile/, /orders/, /cart/   a small JSON object each, to be made one of
everything else           a small JSON object
"""

from __future__ import annotations

from pathlib import Path

from loadtests.compare.proxies import nginx
from loadtests.compare.running import Running, free_port

# sub_filter takes the length away, so the file leaves in chunks of one output buffer each; files
# are for GET only, and the answer to the 405 of a POST is that file again.
_SERVICE = """
  access_log off;
  server {{
    listen 127.0.0.1:{port} backlog=4096; client_max_body_size 100m;
    default_type application/json;
    location / {{ return 200 '{{"id": 42, "name": "a small answer of a service"}}'; }}
    location /profile/ {{ return 200 '{{"user": "ada", "name": "Ada", "member_since": 2017}}'; }}
    location /orders/ {{ return 200 '{{"items": [{{"id": 7}}, {{"id": 8}}, {{"id": 9}}]}}'; }}
    location /cart/ {{ return 200 '{{"lines": [{{"article": "teapot"}}], "total": 24.5}}'; }}
    location /big {{ alias {room}/big; }}
    location /stream {{
      error_page 405 =200 /stream; alias {room}/text;
      sub_filter_types *; sub_filter "never there" ""; output_buffers 1 2560;
    }}
  }}
}}
"""


def start_service(room: Path) -> Running:
    room.mkdir(parents=True)
    room.chmod(0o755)  # nginx's worker may be another user
    (room / "big").write_bytes(bytes(range(256)) * 4096)
    (room / "text").write_bytes(b"0123456789abcdef" * 640)
    port = free_port()
    text = nginx.head(room) + _SERVICE.format(room=room, port=port)
    (room / "nginx.conf").write_text(text)
    return Running(room, nginx.command(room), port)
