"""Programs that are not ours: nginx as a real upstream, curl and wrk as real clients."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

PACKAGES = {"nginx": "nginx-light", "setpriv": "util-linux"}
"""The Debian package of a program, where it has another name."""
PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
PATIENCE = 10.0
"""Seconds a program may take to start or to end."""


def program(name: str) -> str:
    """The path of `name`; the test is skipped, with what to install, if there is none."""
    path = shutil.which(name, path=PLACES)
    if path is None:
        pytest.skip(f"needs {name}: apt-get install {PACKAGES.get(name, name)}")
    return path


def curl(*arguments: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run curl, silent and without the user's settings."""
    return subprocess.run(
        [program("curl"), "-q", "-sS", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
    )


_NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    client_max_body_size 100m;
    keepalive_timeout {keepalive};
    server {{
        listen 127.0.0.1:{port};
        root {prefix}/html;
        location = /hello {{ return 200 "hello from nginx\\n"; }}
        location = /healthz {{ return 200 "ok\\n"; }}
        {locations}
    }}
}}
"""


class Nginx:
    """An nginx of our own: one process, its own prefix, files under `html`."""

    def __init__(self, prefix: Path, *, locations: str = "", keepalive: str = "75s") -> None:
        path = program("nginx")
        self.html = prefix / "html"
        self.html.mkdir(parents=True)
        prefix.chmod(0o755)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._errors = prefix / "error.log"
        config = prefix / "nginx.conf"
        config.write_text(
            _NGINX.format(prefix=prefix, port=self.port, locations=locations, keepalive=keepalive)
        )
        self._process = subprocess.Popen(
            [path, "-p", str(prefix), "-e", str(self._errors), "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_it_listens(self.port, self._process, self._errors)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)


def free_port() -> int:
    """A port nobody uses now: for programs that cannot take port 0 and tell which it became."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes], errors: Path) -> None:
    """Raises RuntimeError if `process` ends, or does not listen within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = errors.read_text() if errors.exists() else ""
                raise RuntimeError(f"it does not listen on port {port}: {said}") from None
            time.sleep(0.01)
