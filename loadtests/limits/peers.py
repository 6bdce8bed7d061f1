"""nginx and HAProxy, with and without a limit per address, one worker each, before one service."""

from __future__ import annotations

from pathlib import Path

from loadtests.compare.proxies import haproxy, nginx
from loadtests.compare.running import Running, free_port

_NGINX = """
  {http}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ {location} }}
  }}
}}
"""
_PASS = """
      proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Request-Id $request_id;
"""
_STICK = """
  stick-table type ip size 1m expire 60s store http_req_rate(1s)
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }
"""


def start_service(room: Path) -> Running:
    """What stands behind all of them: nginx with a small answer."""
    return _start_nginx(room, "access_log off;", "return 200 'hello';")


def start_nginx(room: Path, upstream: int, *, limit: bool) -> Running:
    http = (
        f"access_log {room}/access.log combined buffer=32k flush=1s;"
        f" upstream service {{ server 127.0.0.1:{upstream}; keepalive 256; }}"
    )
    location = _PASS
    if limit:
        http += " limit_req_zone $binary_remote_addr zone=ip:10m rate=1000000r/s;"
        location = "limit_req zone=ip burst=100000 nodelay;" + location
    return _start_nginx(room, http, location)


def _start_nginx(room: Path, http: str, location: str) -> Running:
    room.mkdir(parents=True)
    room.chmod(0o755)
    port = free_port()
    path = room / "nginx.conf"
    path.write_text(nginx.head(room) + _NGINX.format(port=port, http=http, location=location))
    return Running(room, nginx.command(room), port)


def start_haproxy(room: Path, upstream: int, *, limit: bool) -> Running:
    room.mkdir(parents=True)
    port = free_port()
    path = room / "haproxy.cfg"
    text = haproxy.CONFIG.format(port=port, upstream=upstream, rules=_STICK if limit else "")
    path.write_text(text)
    return Running(room, ["haproxy", "-db", "-f", str(path)], port)
