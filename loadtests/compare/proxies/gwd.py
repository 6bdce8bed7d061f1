"""gwd, with one worker and a limit per address, as `gwd run` starts it."""

from __future__ import annotations

import json
import sys

from loadtests.compare.place import Place, Setup
from loadtests.compare.tokens import AUDIENCE, ISSUER

UNMET = 'rate = "1000000/s"\nburst = 1000000\n'
ONE = 'rate = "1/h"\nburst = 1\n'
_ROUTE = """
[[routes]]
name = "service"
path = "/*"
upstream = "service"
"""
_PARTS = """
[[routes]]
name = "home"
path = "/home/{user}"
methods = ["GET"]
[[routes.parts]]
name = "profile"
upstream = "service"
path = "/profile/{user}"
required = true
[[routes.parts]]
name = "orders"
upstream = "service"
path = "/orders/{user}"
[[routes.parts]]
name = "cart"
upstream = "service"
path = "/cart/{user}"
"""


def plain(place: Place) -> Setup:
    return _setup(place, UNMET, _ROUTE)


def tokens(place: Place) -> Setup:
    auth = f"""
[auth.main]
type = "jwt"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
algorithms = ["RS256"]
jwks_file = {json.dumps(str(place.room / "jwks.json"))}
"""
    setup = _setup(place, UNMET, auth + _ROUTE + 'auth = "main"\n')
    setup.files["jwks.json"] = place.keys.jwks
    return setup


def parts(place: Place) -> Setup:
    return _setup(place, UNMET, _PARTS)


def limited(place: Place) -> Setup:
    return _setup(place, ONE, _ROUTE)


def _setup(place: Place, limit: str, routes: str) -> Setup:
    room = place.room
    text = f"""
[server]
bind = ["127.0.0.1:{place.port}"]
workers = 1
access_log = "{room}/access.log"
[admin]
bind = "unix:{room}/admin.sock"
[limits.per_ip]
{limit}
[upstreams.service]
endpoints = ["127.0.0.1:{place.upstream}"]
{routes}"""
    command = [sys.executable, "-m", "gwd", "run", "--config", f"{room}/gwd.toml"]
    return Setup({"gwd.toml": text}, command)
