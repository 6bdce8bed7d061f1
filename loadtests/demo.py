"""The demo that is loaded: found or started before the first user, ended after the last.

A scenario imports this module and has, by that alone, a gateway to load: the one that $GWD_URL and
$TOKEN name, or else a fresh `gwd demo` on free ports. What kills services or reloads the gateway
wants a demo of its own, and says so by `own()`.

The demo tells what happens on its output for as long as it runs. That goes to a file: a pipe that
nobody reads would fill, and the demo would stop in the middle of a sentence.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from locust import events
from locust.env import Environment

from gwd.supervisor.daemon import Daemon
from loadtests.hooks import listen

ROOT = Path(__file__).resolve().parents[1]
READY_LINES = re.compile(
    r"(?s)gateway +(?P<url>http://\S+).*config (?P<config>\S+).*"
    r"export TOKEN=(?P<token>\S+).*--admin (?P<admin>\S+)\nwhy\n.*\n"
)
"""What is read of the block that the demo prints when all is ready, up to its last lines."""
START = 40.0
"""Seconds for the demo to be ready; it takes about one."""
END = 30.0


class Demo:
    """A running demo that belongs to this run."""

    def __init__(self) -> None:
        """Raises SystemExit if it does not start."""
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gwd", "demo", "--port", "0"], cwd=ROOT, stdout=self._output
        )
        deadline = time.monotonic() + START
        while (found := READY_LINES.search(self.said())) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise SystemExit("the demo did not start")
            time.sleep(0.05)
        self.url, self.token, self.admin = found["url"], found["token"], found["admin"]
        self.config = Path(found["config"])

    def said(self) -> str:
        """All that it has printed."""
        return os.pread(self._output.fileno(), 1 << 24, 0).decode()

    def daemon(self) -> Daemon:
        """Its gateway, to be looked at and signalled. To be closed."""
        return Daemon.find(self.admin, None, {})

    def instances(self) -> dict[str, int]:
        """The living instances of its services by name (`orders-1`), with their process ids."""
        found = {}
        for child in psutil.Process(self._process.pid).children():
            try:
                name = child.name()
                if child.status() != psutil.STATUS_ZOMBIE and re.fullmatch(r"\w+-\d", name):
                    found[name] = child.pid
            except psutil.NoSuchProcess:
                pass
        return found

    def gateway_processes(self) -> list[psutil.Process]:
        """The gateway's supervisor and all its children."""
        with self.daemon() as daemon:
            root = psutil.Process(daemon.pid)
        return [root, *root.children(recursive=True)]

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()


_demo: Demo | None = None


def own() -> Demo:
    """The demo of this run. Raises SystemExit if it loads another's gateway."""
    if _demo is None:
        raise SystemExit("this scenario needs a demo of its own: unset GWD_URL")
    return _demo


@listen(events.init)
def find_gateway(environment: Environment, **_: Any) -> None:
    """Point the users at $GWD_URL, or at a demo that is started for them."""
    global _demo
    if environment.host is None:
        environment.host = os.environ.get("GWD_URL")
    if environment.host is None:
        _demo = Demo()
        environment.host, os.environ["TOKEN"] = _demo.url, _demo.token
    if "TOKEN" not in os.environ:
        raise SystemExit("TOKEN is not set: the demo prints the line that sets it")


@listen(events.quit)
def end_demo(exit_code: int, **_: Any) -> None:
    if _demo is not None:
        _demo.end()
