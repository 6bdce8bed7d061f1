"""Echo gateways in processes of their own, and looking at processes from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("echo_gateway.py")
CONFIG = """
[server]
bind = {bind}
workers = {workers}
{server}
[segment]
max_workers = {max_workers}
max_ips = 1024
max_endpoints = 16
max_routes = 16
[[routes]]
name = "r"
path = "/*"
respond = {{ status = 200, body = "{body}" }}
"""
PATIENCE = 20.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for `condition` to hold; what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s in vain for: {what}"
        time.sleep(0.01)
    return result


def descendants(pid: int) -> set[int]:
    """All living processes below `pid`."""
    children: dict[int, set[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), set()).add(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), set())
        todo += below - found
        found |= below
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Gateway:
    """One echo gateway."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.admin = str(directory / "admin.sock")
        self.config = directory / "gwd.toml"
        self.log = directory / "log"
        self.process: subprocess.Popen[bytes]
        self.addresses: list[str] = []
        self.settings: dict[str, Any] = {}

    def write(self, body: str = "one", **changes: Any) -> None:
        """Write the config: `body` and, kept from call to call, workers, bind, server text."""
        defaults = {"bind": '["127.0.0.1:0"]', "workers": 2, "server": "", "max_workers": 4}
        self.settings = defaults | self.settings | changes
        # Renamed into place: a reload must never read half a file.
        new = self.config.with_suffix(".new")
        new.write_text(CONFIG.format(body=body, **self.settings))
        new.rename(self.config)

    def start(self, *arguments: str, ready: bool = True, **environ: str) -> None:
        """Start it; unless `ready` is False, wait until it says so."""
        reader, writer = os.pipe()
        command = [sys.executable, str(PROGRAM), str(self.config), "--admin", self.admin]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-fd", str(writer), *arguments],
                pass_fds=[writer],
                stderr=log,
                env=os.environ | environ,
                process_group=0,
            )
        os.close(writer)
        with open(reader, "rb") as stream:
            if ready:
                line = stream.readline()
                assert line, self.said()
                self.addresses = json.loads(line)["addresses"]

    @property
    def port(self) -> int:
        return int(self.addresses[0].rpartition(":")[2])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def ask(self, word: str = "who") -> dict[str, Any]:
        """One word on a fresh connection, the answer; {} if the connection broke."""
        with self.connect() as sock:
            sock.sendall(word.encode() + b"\n")
            try:
                data = sock.makefile("rb").readline()
            except ConnectionResetError:
                return {}
        return json.loads(data) if data else {}

    def workers(self) -> dict[int, dict[str, Any]]:
        """What every worker answers, by slot; asks until all slots of the config have answered."""
        found: dict[int, dict[str, Any]] = {}

        def everybody() -> bool:
            answer = self.ask()
            if answer:
                found[answer["slot"]] = answer
            return len(found) == self.settings["workers"]

        until(everybody, "an answer of every worker")
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The event lines of the log, those called `name` or all."""
        found = []
        for line in self.said().splitlines():
            if line.startswith("{"):
                record = json.loads(line)
                if not name or record["msg"] == name:
                    found.append(record)
        return found

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def reload(self) -> dict[str, Any]:
        """HUP, wait for the result; its event."""
        before = len(self.events("reload done")) + len(self.events("reload refused"))
        self.signal(signal.SIGHUP)

        def result() -> list[dict[str, Any]]:
            done = self.events("reload done") + self.events("reload refused")
            return done if len(done) > before else []

        results = until(result, "the result of a reload")
        return max(results, key=lambda record: record["ts"])
