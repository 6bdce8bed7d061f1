"""nginx. It has no verifier of tokens (that is nginx Plus) and no aggregates."""

from __future__ import annotations

from pathlib import Path

from loadtests.compare.place import Place, Setup

_HEAD = """
worker_processes 1; daemon off; pid {room}/pid; error_log {room}/error.log;
events {{ worker_connections 8192; }}
http {{
  client_body_temp_path {room}/1; proxy_temp_path {room}/2; fastcgi_temp_path {room}/3;
  uwsgi_temp_path {room}/4; scgi_temp_path {room}/5; keepalive_requests 100000000;
"""
# Bodies pass without touching a disk. A chunked request body is passed on as it comes, as all the
# other peers do; otherwise it would be gathered and sent with a length.
_PROXY = """
  access_log {room}/access.log combined buffer=32k flush=1s;
  {zone}
  upstream service {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Request-Id $request_id;
  proxy_max_temp_file_size 0;
  server {{
    listen 127.0.0.1:{port} backlog=4096; client_max_body_size 100m;
    {limit}
    location / {{ proxy_pass http://service; }}
    location /stream {{ proxy_pass http://service; proxy_request_buffering off; }}
  }}
}}
"""


def plain(place: Place) -> Setup:
    return _setup(
        place,
        "limit_req_zone $binary_remote_addr zone=ip:10m rate=1000000r/s;",
        "limit_req zone=ip burst=100000 nodelay;",
    )


def limited(place: Place) -> Setup:
    # Refusals are in the access log; a line more for each in the error log would be unfair.
    return _setup(
        place,
        "limit_req_zone $binary_remote_addr zone=ip:10m rate=1r/m;",
        "limit_req zone=ip; limit_req_status 429; limit_req_log_level info;",
    )


def command(room: Path) -> list[str]:
    return ["nginx", "-p", str(room), "-c", f"{room}/nginx.conf"]


def head(room: Path) -> str:
    """How a configuration begins that needs nothing outside `room`."""
    return _HEAD.format(room=room)


def _setup(place: Place, zone: str, limit: str) -> Setup:
    text = head(place.room) + _PROXY.format(
        room=place.room, port=place.port, upstream=place.upstream, zone=zone, limit=limit
    )
    return Setup({"nginx.conf": text}, command(place.room))
