"""gwd, with one worker and a limit per address, as `gwd run` starts it."""

from __future__ import annotations

import json
import os
import sys
from functools import partial

from loadtests.compare.place import LIMITED, PARTS, PLAIN, TOKENS, Place, Setup, Writer
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


def writers(python: str = sys.executable) -> dict[str, Writer]:
    """By kind of work: gwd as the interpreter `python` runs it."""
    return {
        PLAIN: partial(_write, python, UNMET, _ROUTE),
        TOKENS: partial(_tokens, python),
        PARTS: partial(_write, python, UNMET, _PARTS),
        LIMITED: partial(_write, python, ONE, _ROUTE),
    }


def _tokens(python: str, place: Place) -> Setup:
    auth = f"""
[auth.main]
type = "jwt"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
algorithms = ["RS256"]
jwks_file = {json.dumps(str(place.room / "jwks.json"))}
"""
    setup = _write(python, UNMET, auth + _ROUTE + 'auth = "main"\n', place)
    setup.files["jwks.json"] = place.keys.jwks
    return setup


def _write(python: str, limit: str, routes: str, place: Place) -> Setup:
    room = place.room
    text = f"""
[server]
bind = ["127.0.0.1:{place.port}"]
workers = 1
access_log = "{room}/access.log"
[limits.per_ip]
{limit}
[upstreams.service]
endpoints = ["127.0.0.1:{place.upstream}"]
{routes}"""
    command = [python, "-m", "gwd", "run", "--config", f"{room}/gwd.toml"]
    # Several may run: each has its own place for what its commands look for.
    return Setup({"gwd.toml": text}, command, {**os.environ, "RUNTIME_DIRECTORY": str(room)})
