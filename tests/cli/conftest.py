"""A running gateway for the commands that look at one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
[server]
bind = ["127.0.0.1:0"]
workers = {workers}
access_log = "off"
{server}
[segment]
max_ips = 1024
[upstreams.app]
endpoints = ["127.0.0.1:{upstream}"]
[[routes]]
name = "hello"
path = "/hello"
respond = {{ status = 200, body = "{body}" }}
[[routes]]
name = "app"
path = "/app/*"
upstream = "app"
"""


class Running:
    """A directory with a config, and `gwd` commands about the gateway that runs from it."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "gwd.toml"
        self.admin = str(directory / "run" / "admin.sock")
        self.log = directory / "log"
        self.process: subprocess.Popen[bytes]
        self.addresses: list[str] = []
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("GWD_")}

    def write(
        self, body: str = "one", workers: int = 1, server: str = "", upstream: int = 9
    ) -> None:
        text = CONFIG.format(body=body, workers=workers, server=server, upstream=upstream)
        self.config.write_text(text)

    def start(self, *arguments: str, ready: bool = True) -> None:
        """`gwd run`; unless `ready` is False, until it is ready."""
        reader, writer = os.pipe()
        command = [sys.executable, "-m", "gwd", "run", "--config", str(self.config)]
        command += ["--admin", self.admin, "--ready-fd", str(writer), *arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, pass_fds=[writer], stderr=log, env=self.environ
            )
        os.close(writer)
        with open(reader, "rb") as stream:
            line = stream.readline() if ready else b""
        assert bool(line) == ready, self.log.read_text()
        if ready:
            record = json.loads(line)
            assert record["pid"] == self.process.pid
            self.addresses = record["addresses"]

    def gwd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command against it."""
        command = [sys.executable, "-m", "gwd", *arguments, "--admin", self.admin]
        return subprocess.run(command, capture_output=True, text=True, env=self.environ, timeout=60)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A config, written; not started."""
    running = Running(tmp_path)
    running.write()
    yield running
    process = getattr(running, "process", None)
    if process is not None:
        process.kill()
        process.wait()
