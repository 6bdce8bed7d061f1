"""Where the config file and the runtime directory lie (DESIGN §1.1).

Strategy: the first place that applies wins, in a fixed order. Nothing here imports more than
the standard library: `gwd status` and its like use it and must start fast.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from gwd.config.problems import ConfigError, Problem

PLACES = ("conf/gwd.toml", "/etc/gwd/gwd.toml")


def find_config(option: str | None, environ: Mapping[str, str] | None = None) -> str:
    """The path of the config file: `option`, `$GWD_CONFIG`, then `PLACES`.

    "-" is standard input. A path that was asked for is returned whether it exists or not: loading
    it says what is wrong. Raises ConfigError if nothing was asked for and no place has a file.
    """
    environ = os.environ if environ is None else environ
    asked = option or environ.get("GWD_CONFIG")
    if asked:
        return asked
    for place in PLACES:
        if os.path.exists(place):
            return place
    raise ConfigError(
        [
            Problem(
                file=PLACES[0],
                message=f"no config file here or at {PLACES[1]}; "
                "use --config FILE or $GWD_CONFIG, or try gwd demo",
            )
        ]
    )


def runtime_directories(environ: Mapping[str, str] | None = None) -> list[str]:
    """Every directory a daemon may keep its runtime files in, likeliest first.

    For those who look for a daemon: it may run as another user, with another environment.
    """
    environ = os.environ if environ is None else environ
    found: list[str] = []
    given = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if given.startswith("/"):
        found.append(given)
    found.append("/run/gwd")
    session = environ.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/"):
        found.append(os.path.join(session, "gwd"))
    found.append(f"/tmp/gwd-{os.getuid()}")
    return found


def runtime_directory(environ: Mapping[str, str] | None = None) -> str:
    """The directory for the admin socket and other runtime files of a daemon started here.

    `$RUNTIME_DIRECTORY` (systemd), `/run/gwd` if writable, `$XDG_RUNTIME_DIR/gwd`,
    `/tmp/gwd-UID`. Only chosen, not made: see `make_runtime_directory`.
    """
    environ = os.environ if environ is None else environ
    for path in runtime_directories(environ):
        if path == environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or _writable(path):
            return path
    return f"/tmp/gwd-{os.getuid()}"


def _writable(path: str) -> bool:
    there = path if os.path.lexists(path) else os.path.dirname(path)
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def make_runtime_directory(environ: Mapping[str, str] | None = None) -> str:
    """`runtime_directory`, made with mode 0700 if it is not there yet.

    Raises PermissionError if it is a link or belongs to somebody else: anyone may create names
    in /tmp, and whoever owns the directory could swap the socket in it.
    """
    path = runtime_directory(environ)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.getuid(), 0):
            raise PermissionError(f"{path} is not a directory of this user") from None
    return path


def default_admin_bind(environ: Mapping[str, str] | None = None) -> str:
    """What `[admin] bind` is when the file does not say: a socket in the runtime directory."""
    return f"unix:{runtime_directory(environ)}/admin.sock"
