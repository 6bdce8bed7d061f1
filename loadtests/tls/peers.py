"""gwd, nginx and HAProxy with one certificate, one worker each, before one plain service."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtests.compare.proxies import nginx
from loadtests.compare.running import Running, free_port, program

_GWD = """
[server]
bind = [{{ address = "127.0.0.1:{port}", tls = true }}]
workers = {workers}
access_log = "{room}/access.log"
[server.tls]
cert = "{room}/cert.pem"
key = "{room}/key.pem"
[segment]
max_workers = 4
max_ips = 1024
max_endpoints = 8
max_routes = 8
[upstreams.service]
endpoints = ["127.0.0.1:{service}"]
[[routes]]
name = "all"
path = "/*"
upstream = "service"
"""
# Tickets as gwd has them, and none of the sessions that only one process could resume.
_NGINX = """
  access_log {room}/access.log combined buffer=32k flush=1s;
  upstream service {{ server 127.0.0.1:{service}; keepalive 256; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-Id $request_id;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; server_name gw.test;
    ssl_certificate {room}/cert.pem; ssl_certificate_key {room}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets on;
    location / {{ proxy_pass http://service; }}
  }}
}}
"""
_HAPROXY = """
global
  nbthread 1
  maxconn 8000
  tune.ssl.cachesize 0
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port} ssl crt {room}/both.pem alpn http/1.1 ssl-min-ver TLSv1.2
  unique-id-format %{{+X}}o%ci:%cp_%rt:%pid
  http-request set-header X-Request-Id %[unique-id]
  default_backend service
backend service
  server one 127.0.0.1:{service} pool-max-conn 256
"""


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    file: str
    """The name of its config."""
    text: str
    command: Callable[[Path], list[str]]


def _gwd(room: Path) -> list[str]:
    config, admin = f"{room}/gwd.toml", f"unix:{room}/run/admin.sock"
    return [sys.executable, "-m", "gwd", "run", "--config", config, "--admin", admin]


def _haproxy(room: Path) -> list[str]:
    return ["haproxy", "-db", "-f", f"{room}/haproxy.cfg"]


PEERS = (
    Peer("gwd", "gwd.toml", _GWD, _gwd),
    Peer("nginx", "nginx.conf", _NGINX, nginx.command),
    Peer("haproxy", "haproxy.cfg", _HAPROXY, _haproxy),
)


def installed() -> list[Peer]:
    return [peer for peer in PEERS if peer.name == "gwd" or program(peer.name)]


def start(
    peer: Peer, room: Path, certificates: tuple[Path, Path], service: int, workers: int = 1
) -> Running:
    """Start `peer` with its own copy of certificate and key."""
    room.mkdir(parents=True)
    room.chmod(0o755)
    certificate, key = (path.read_bytes() for path in certificates)
    (room / "cert.pem").write_bytes(certificate)
    for name, data in (("key.pem", key), ("both.pem", certificate + key)):
        (room / name).touch(0o600)
        (room / name).write_bytes(data)
    port = free_port()
    text = peer.text.format(room=room, port=port, service=service, workers=workers)
    if peer.name == "nginx":
        text = nginx.head(room) + text
    (room / peer.file).write_text(text)
    return Running(room, peer.command(room), port)
