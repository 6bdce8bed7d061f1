"""Configs for gateways under test: small, quick to start, one upstream named `app` behind /*."""

from __future__ import annotations

from collections.abc import Iterable

SEGMENT = """
[segment]
max_workers = 4
max_ips = 1024
max_endpoints = 32
max_routes = 64
"""

ANY_PATH = """
[[routes]]
name = "app"
path = "/*"
upstream = "app"
"""


def upstream(name: str, endpoints: Iterable[str], *lines: str) -> str:
    """One `[upstreams.NAME]` table."""
    listed = ", ".join(f'"{endpoint}"' for endpoint in endpoints)
    return "\n".join((f"\n[upstreams.{name}]", f"endpoints = [{listed}]", *lines, ""))


def config(
    *endpoints: str,
    server: Iterable[str] = (),
    app: Iterable[str] = (),
    routes: str = ANY_PATH,
    more: str = "",
) -> str:
    """A whole file. `server` and `app` are lines of `[server]` and `[upstreams.app]`; `routes` and
    `more` are whole tables."""
    lines = ["[server]", *server]
    if not any(line.startswith("bind") for line in server):
        lines.insert(1, 'bind = ["127.0.0.1:0"]')
    apps = upstream("app", endpoints, *app) if endpoints else ""
    return "\n".join(lines) + "\n" + SEGMENT + apps + more + routes
