"""The ways to the service: straight, or through a proxy that passes tunnels and streams on.

One worker each. Whatever makes a proxy wait for more of an answer before it passes on what it has
is off: with the defaults of nginx and HAProxy an event may wait for the next ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

from loadtests.compare.running import Running, free_port, program

DIRECT, GWD = "direct", "gwd"
GATEWAY = """
[server]
bind = ["127.0.0.1:{port}"]
workers = 1
access_log = "{room}/access.log"
[admin]
bind = "unix:{room}/admin.sock"
[upstreams.service]
endpoints = ["127.0.0.1:{upstream}"]
[[routes]]
name = "service"
path = "/*"
upstream = "service"
"""
CHANGED = '[[routes]]\nname = "other"\npath = "/other"\nrespond = { body = "other" }\n'
"""What every other reload adds."""
_NGINX = """
worker_processes 1; daemon off; pid {room}/pid; error_log {room}/error.log;
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {room}/1; proxy_temp_path {room}/2; fastcgi_temp_path {room}/3;
  uwsgi_temp_path {room}/4; scgi_temp_path {room}/5;
  access_log {room}/access.log;
  map $http_upgrade $upgraded {{ default upgrade; "" ""; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgraded;
    }}
  }}
}}
"""
_HAPROXY = """
global
  nbthread 1
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  option http-no-delay
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend front
  bind 127.0.0.1:{port}
  default_backend service
backend service
  server one 127.0.0.1:{upstream}
"""
PEERS = ("nginx", "haproxy")


def there() -> list[str]:
    """The peers that are installed."""
    return [name for name in PEERS if program(name)]


class Way:
    """A started proxy. `config` is the file of a gateway of ours."""

    def __init__(self, name: str, room: Path, upstream: int) -> None:
        room.mkdir(parents=True)
        room.chmod(0o755)
        self.port = free_port()
        places = {"room": room, "port": self.port, "upstream": upstream}
        if name == GWD:
            self.text = GATEWAY.format(**places)
            self.config = room / "gwd.toml"
            command = [sys.executable, "-m", "gwd", "run", "--config", str(self.config)]
        elif name == "nginx":
            self.text, self.config = _NGINX.format(**places), room / "nginx.conf"
            command = ["nginx", "-p", str(room), "-c", str(self.config)]
        else:
            self.text, self.config = _HAPROXY.format(**places), room / "haproxy.cfg"
            command = ["haproxy", "-db", "-f", str(self.config)]
        self.config.write_text(self.text)
        command[0] = program(command[0]) or command[0]
        self.running = Running(room, command, self.port)

    def stop(self) -> None:
        self.running.stop()


def start_service(room: Path) -> Running:
    room.mkdir(parents=True)
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("service.py")), str(port)]
    return Running(room, command, port)
