"""The whole demo: every line that it prints is run, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


class Running:
    """A `gwd demo` of its own session, with a directory for its temporary files."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gwd", "demo", *options],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines))
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines: list[str]) -> None:
        with stream:
            lines.extend(line.rstrip("\n") for line in stream)

    def ready(self) -> Running:
        until(lambda: self.command("why") or self.process.poll() is not None, "the guide")
        assert self.process.poll() is None, self.err
        return self

    def command(self, title: str) -> str:
        """The command printed below `title`, "" if it is not printed yet."""
        for line, after in zip(self.out, self.out[1:], strict=False):
            if line == title:
                return after.strip()
        return ""

    def paste(self, title: str) -> subprocess.CompletedProcess[str]:
        """Run the line below `title` in a shell into which the token's line was pasted first."""
        script = f"{self.command('first the token')}\n{self.command(title)}\n"
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def port(self) -> int:
        found = re.search(r"gateway +http://127\.0\.0\.1:(\d+)", "\n".join(self.out))
        assert found is not None
        return int(found[1])

    def ports(self) -> list[int]:
        """All the ports of the overview."""
        rows = "\n".join(self.out[:4])
        return [int(port) for port in re.findall(r":(\d+)\b", rows)]

    def members(self) -> set[int]:
        """Every living process of the demo."""
        found = set()
        for process in psutil.process_iter():
            try:
                ours = os.getsid(process.pid) == self.process.pid
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.add(process.pid)
            except (OSError, psutil.Error):
                continue
        return found

    def end(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def nothing_is_left(self) -> None:
        assert self.members() == set()
        for port in self.ports():
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0
        assert list(self.directory.iterdir()) == []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*options: str) -> Running:
        started.append(Running(tmp_path, *options))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.wait()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
def test_every_printed_line_shows_what_it_says(demo):
    running = demo("--port", "0").ready()

    killed = running.paste("5 a crash")
    assert killed.returncode == 0, killed.stderr
    killed_at = time.monotonic()
    served: set[str] = set()

    def route() -> None:
        answer = running.paste("1 a route")
        assert answer.stdout.startswith("HTTP/1.1 200 "), answer
        served.add(re.findall(r"(?i)x-served-by: (\S+)", answer.stdout)[0])

    for _ in range(10):
        route()
    assert served == {"orders-2"}

    answer = running.paste("2 no token")
    assert answer.stdout.startswith("HTTP/1.1 401 ")
    assert re.search("(?i)^content-type: application/problem\\+json", answer.stdout, re.MULTILINE)

    home = json.loads(running.paste("3 one answer").stdout)
    assert home["profile"]["name"] == "Ada"
    assert [set(order) for order in home["orders"]["items"]] == [{"id", "total"}] * 3
    assert home["cart"]["lines"]

    began = time.monotonic()
    counts = running.paste("4 too fast")
    took = time.monotonic() - began
    by_status = {status: int(n) for n, status in map(str.split, counts.stdout.splitlines())}
    assert by_status.keys() == {"200", "429"}, counts
    assert sum(by_status.values()) == 300
    assert counts.stderr == ""
    assert 50 <= by_status["200"] <= 50 + 100 * took + 5

    assert running.paste("why").returncode == 0
    assert "orders" in running.paste("why").stdout
    watch = running.paste("watch")
    assert watch.returncode == 0, watch
    assert "orders" in watch.stdout

    until(lambda: any("is back as process" in line for line in running.out), "orders-1")
    assert time.monotonic() - killed_at > 9.5
    until(lambda: route() or served == {"orders-1", "orders-2"}, "an answer of orders-1")
    events = "\n".join(running.out)
    assert re.search(r"\d\d:\d\d:\d\d  orders-1 \(process \d+\) ended; back in 10 s", events)
    until(
        lambda: re.search(r"orders 127\.0\.0\.1:\d+ up, 2 of 2", "\n".join(running.out)),
        "the endpoint's return in the events",
    )
    assert re.search(
        r"orders 127\.0\.0\.1:\d+ down \(connection refused\), 1 of 2 left", "\n".join(running.out)
    )
    assert running.err == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing(demo, signum):
    running = demo("--port", "0").ready()
    assert len(running.members()) > 8
    assert len(running.ports()) == 7
    assert running.end(signum) == 0
    running.nothing_is_left()
    assert running.err == []


def test_ctrl_c_reaches_the_whole_group_and_ends_it_all_the_same(demo):
    running = demo("--port", "0").ready()
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.wait() == 0
    running.nothing_is_left()
    assert running.err == []


def test_a_signal_during_the_start_leaves_nothing(demo, tmp_path):
    running = demo("--port", "0")
    until(lambda: list(tmp_path.iterdir()), "the directory of the demo")
    assert running.end() == 0
    running.nothing_is_left()


def test_no_process_outlives_a_demo_that_is_killed(demo):
    running = demo("--port", "0").ready()
    running.process.kill()
    running.wait()
    until(lambda: not running.members(), "the end of all its processes")


def test_a_demo_without_its_gateway_says_so_and_ends(demo):
    running = demo("--port", "0").ready()
    (gateway,) = [
        p.pid for p in psutil.Process(running.process.pid).children() if "run" in p.cmdline()
    ]
    os.kill(gateway, signal.SIGKILL)
    assert running.wait() == 1
    assert running.err[-1] == "gwd demo: the gateway has ended"
    until(lambda: not running.members(), "the end of all its processes")
    running.nothing_is_left()


def test_a_port_that_was_asked_for_and_is_taken_is_an_error_that_names_its_owner(demo):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        running = demo("--port", str(port))
        assert running.wait() == 4
    (line,) = running.err
    assert line.startswith(f"gwd demo: 127.0.0.1:{port} is in use by ")
    assert f"(process {os.getpid()}); choose another by --port" in line
    running.nothing_is_left()


def test_without_a_port_a_free_one_is_found(demo):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if other.connect_ex(("127.0.0.1", 8080)) != 0:
            other.close()
            other = socket.create_server(("127.0.0.1", 8080))
        with other:
            running = demo().ready()
            assert running.port != 8080
            assert running.err[0].startswith("gwd demo: port 8080 is in use by ")


def test_two_demos_run_side_by_side(tmp_path, demo):
    one, other = demo("--port", "0"), demo("--port", "0")
    one.ready()
    other.ready()
    assert not set(one.ports()) & set(other.ports())
