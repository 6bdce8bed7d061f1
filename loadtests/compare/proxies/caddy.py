"""Caddy, as its packages come: without a limiter, a verifier of tokens, or aggregates."""

from __future__ import annotations

from loadtests.compare.place import Place, Setup


def plain(place: Place) -> Setup:
    text = f"""
{{
  admin off
  auto_https off
}}
http://:{place.port} {{
  bind 127.0.0.1
  log {{
    output file {place.room}/access.log
  }}
  reverse_proxy 127.0.0.1:{place.upstream}
}}
"""
    return Setup({"Caddyfile": text}, ["caddy", "run", "--config", f"{place.room}/Caddyfile"])
