"""The proxies under comparison: how each is configured and started, one worker each.

Every peer routes by path, sends the same forwarding fields, keeps upstream connections, and really
writes an access log. What is measured is its whole process tree.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import psutil


@dataclass(frozen=True, slots=True)
class Peer:
    """`files` gives the peer's config files and its command for (directory, port, upstream)."""

    name: str
    program: str
    version: tuple[str, ...]
    files: Callable[[Path, int, int], tuple[dict[str, str], list[str]]]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _gwd(room: Path, port: int, upstream: int) -> tuple[dict[str, str], list[str]]:
    text = f"""
[server]
bind = ["127.0.0.1:{port}"]
workers = 1
access_log = "{room}/access.log"
[admin]
bind = "unix:{room}/admin.sock"
[limits.per_ip]
rate = "1000000/s"
burst = 1000000
[upstreams.service]
endpoints = ["127.0.0.1:{upstream}"]
[[routes]]
name = "service"
path = "/*"
upstream = "service"
"""
    return {"gwd.toml": text}, [sys.executable, "-m", "gwd", "run", "--config", f"{room}/gwd.toml"]


_NGINX_HEAD = """
worker_processes 1; daemon off; pid {room}/pid; error_log {room}/error.log;
events {{ worker_connections 8192; }}
http {{
  client_body_temp_path {room}/1; proxy_temp_path {room}/2; fastcgi_temp_path {room}/3;
  uwsgi_temp_path {room}/4; scgi_temp_path {room}/5; keepalive_requests 100000000;
"""


def _nginx(room: Path, port: int, upstream: int) -> tuple[dict[str, str], list[str]]:
    text = (
        _NGINX_HEAD.format(room=room)
        + f"""
  access_log {room}/access.log combined buffer=32k flush=1s;
  limit_req_zone $binary_remote_addr zone=ip:10m rate=1000000r/s;
  upstream service {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; client_max_body_size 100m;
    location / {{
      limit_req zone=ip burst=100000 nodelay;
      proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Request-Id $request_id;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
"""
    )
    return {"nginx.conf": text}, ["nginx", "-p", str(room), "-c", f"{room}/nginx.conf"]


def _haproxy(room: Path, port: int, upstream: int) -> tuple[dict[str, str], list[str]]:
    text = f"""
global
  nbthread 1
  maxconn 8000
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
  bind 127.0.0.1:{port}
  unique-id-format %{{+X}}o%ci:%cp_%rt:%pid
  http-request set-header X-Request-Id %[unique-id]
  http-request set-header X-Forwarded-Proto http
  default_backend service
backend service
  server one 127.0.0.1:{upstream} pool-max-conn 256
"""
    return {"haproxy.cfg": text}, ["haproxy", "-db", "-f", f"{room}/haproxy.cfg"]


def _caddy(room: Path, port: int, upstream: int) -> tuple[dict[str, str], list[str]]:
    text = f"""
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  log {{
    output file {room}/access.log
  }}
  reverse_proxy 127.0.0.1:{upstream}
}}
"""
    return {"Caddyfile": text}, ["caddy", "run", "--config", f"{room}/Caddyfile"]


def _envoy(room: Path, port: int, upstream: int) -> tuple[dict[str, str], list[str]]:
    def address(number: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "use_remote_address": True,
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers"
                    ".file.v3.FileAccessLog",
                    "path": f"{room}/access.log",
                },
            }
        ],
        "http_filters": [
            {
                "name": "router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}],
                }
            ]
        },
    }
    config = {
        "static_resources": {
            "listeners": [
                {
                    "address": address(port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "service",
                    "connect_timeout": "2s",
                    "load_assignment": {
                        "cluster_name": "service",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}
                        ],
                    },
                }
            ],
        }
    }
    command = [
        program("envoy") or "envoy",
        "-c",
        f"{room}/envoy.json",
        "--concurrency",
        "1",
        "-l",
        "error",
    ]
    command += ["--disable-hot-restart"]
    return {"envoy.json": json.dumps(config)}, command


PEERS = (
    Peer("gwd", sys.executable, (sys.executable, "-m", "gwd", "--version"), _gwd),
    Peer("nginx", "nginx", ("nginx", "-v"), _nginx),
    Peer("haproxy", "haproxy", ("haproxy", "-v"), _haproxy),
    Peer("envoy", "envoy", ("envoy", "--version"), _envoy),
    Peer("caddy", "caddy", ("caddy", "version"), _caddy),
)


def program(name: str) -> str | None:
    """Where the program `name` is: on the path, or beside this Python; None if nowhere."""
    beside = Path(sys.executable).parent / name
    return shutil.which(name) or (str(beside) if beside.exists() else None)


_UPSTREAM = """
  access_log off;
  server {{
    listen 127.0.0.1:{port} backlog=4096; client_max_body_size 100m;
    location / {{ return 200 '{{"id": 42, "name": "a small answer of a service"}}'; }}
    location /big {{ alias {room}/big; }}
  }}
}}
"""


class Running:
    """A started program and its process tree."""

    def __init__(self, room: Path, command: list[str], port: int) -> None:
        self.port = port
        with (room / "output.log").open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, cwd=room)
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    text = (room / "output.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{command[0]} did not start:\n{text}") from None
                time.sleep(0.05)

    def tree(self) -> list[psutil.Process]:
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of user and system time of the whole tree so far."""
        times = [process.cpu_times() for process in self.tree()]
        return sum(t.user + t.system for t in times)

    def memory(self) -> int:
        """Proportional set size of the whole tree, bytes."""
        return sum(process.memory_full_info().pss for process in self.tree())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start(peer: Peer, room: Path, upstream: int) -> Running:
    room.mkdir(parents=True)
    port = free_port()
    files, command = peer.files(room, port, upstream)
    for name, text in files.items():
        (room / name).write_text(text)
    running = Running(room, command, port)
    answers = [_get(port, path) for path in ("/items/42", "/big")]
    if answers != [_get(upstream, path) for path in ("/items/42", "/big")]:
        running.stop()
        raise RuntimeError(f"{peer.name} does not pass on what the service answers")
    return running


def _get(port: int, path: str) -> bytes:
    request = Request(f"http://127.0.0.1:{port}{path}", headers={"Host": "api.example.com"})
    with urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def start_upstream(room: Path) -> Running:
    """The service behind all of them: nginx with a small answer and a file of 1 MiB at /big."""
    room.mkdir(parents=True)
    room.chmod(0o755)
    (room / "big").write_bytes(bytes(range(256)) * 4096)
    port = free_port()
    text = _NGINX_HEAD.format(room=room) + _UPSTREAM.format(room=room, port=port)
    (room / "nginx.conf").write_text(text)
    return Running(room, ["nginx", "-p", str(room), "-c", f"{room}/nginx.conf"], port)
