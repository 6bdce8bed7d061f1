"""The gateway as a user runs it: a process tree started by `python -m gwd run`.

Strategy. Each gateway lives in a directory of its own (config, runtime directory, what it says),
listens on port 0 and tells its addresses through `--ready-fd`. It is looked at from outside only:
sockets, signals, `/proc`, and the commands of `gwd`. When a test is done with it, `close` looks for
what it left: descriptors that a burst did not give back, a traceback, a wrong exit status, a
process that outlived the tree (found by a mark in its environment, so that nothing can hide by
changing its parent).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import gwd

ROOT = Path(gwd.__file__).resolve().parents[1]
"""Where the gwd under test is: the source tree, or where its compiled form is installed."""
PATIENCE = 20.0
"""Seconds for what should take a fraction of one: machines are busy."""
MARK = "GWD_TEST_MARK"
COMPLAINTS = (
    "Traceback (most recent call last)",
    "Exception ignored",
    "never retrieved",
    "never awaited",
    "ResourceWarning",
    "Fatal Python error",
    "when using ssl",  # asyncio's log, about what we do with TLS transports
    "SSL connection is closed",
)


class DidNotStart(Exception):
    """The gateway ended instead of getting ready."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"exit status {code}: {said}")
        self.code = code
        self.said = said


def environment(home: Path, mark: str, extra: dict[str, str] | None = None) -> dict[str, str]:
    """What a process of ours is given, and nothing of the tester's own settings."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_RUNTIME_DIR": str(home),
        MARK: mark,
        **(extra or {}),
    }


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Wait for `condition`, looking often; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Gateway:
    """A running gateway. Make one by the fixture `gateway`, which closes it."""

    def __init__(
        self,
        directory: Path,
        config: str,
        *,
        workers: int = 1,
        arguments: Sequence[str] = (),
        environ: dict[str, str] | None = None,
    ) -> None:
        """`workers`: 0 for as many as the config says."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config = directory / "gwd.toml"
        self.config.write_text(config)
        self._mark = uuid.uuid4().hex
        self._run = directory / "run"
        self._run.mkdir(mode=0o700)
        self.admin = f"unix:{self._run}/admin.sock"
        self.environ = environment(directory, self._mark, environ)
        self._out, self._err = directory / "stdout", directory / "stderr"
        self._stopped = False
        reader, writer = os.pipe()
        try:
            with self._out.open("wb") as out, self._err.open("wb") as err:
                self.process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "gwd", "run"),
                        *("--config", str(self.config)),
                        *(("--workers", str(workers)) if workers else ()),
                        *("--admin", self.admin, "--ready-fd", str(writer)),
                        *arguments,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd=directory,
                    env=self.environ,
                    pass_fds=(writer,),
                )
            os.close(writer)
            writer = -1
            self.pid = self.process.pid
            self.addresses = self._wait_until_ready(reader)
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
        host, _, port = self.addresses[0].rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.url = f"http://{self.addresses[0]}"
        self._before = {pid: kinds(pid) for pid in self.family()}

    def _wait_until_ready(self, reader: int) -> list[str]:
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        line = os.read(reader, 65536) if ready else b""
        if line:
            addresses: list[str] = json.loads(line)["addresses"]
            return addresses
        if not ready:
            self.process.kill()
        code = self.process.wait(PATIENCE)
        until(lambda: not self.alive(), 5)
        raise DidNotStart(code, self.said() if ready else f"not ready in time: {self.said()}")

    # what one sees of it

    def said(self) -> str:
        """All of its stderr so far."""
        return self._err.read_text(errors="replace")

    def log(self) -> list[dict[str, object]]:
        """The access log so far: every line must be a JSON object."""
        lines = self._out.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def logged(self, count: int, **fields: object) -> list[dict[str, object]]:
        """Wait for `count` log lines that have these fields, and return them."""

        def matching() -> list[dict[str, object]]:
            return [line for line in self.log() if fields.items() <= line.items()]

        until(lambda: len(matching()) >= count, 5)
        return matching()

    def alive(self) -> list[int]:
        """Every process that descends from this gateway's start, whoever its parent is now."""
        return marked(self._mark)

    def family(self) -> list[int]:
        """The children of the supervisor."""
        return [pid for pid in self.alive() if parent(pid) == self.pid]

    def workers(self) -> list[int]:
        """The children that listen."""
        listening = listening_inodes(self.pid)
        return [pid for pid in self.family() if listening & socket_inodes(pid)]

    def controller(self) -> int:
        """The child that does not."""
        workers = self.workers()
        (pid,) = [pid for pid in self.family() if pid not in workers]
        return pid

    def rss(self) -> int:
        """Bytes of memory that the workers hold resident, together."""
        return sum(rss(pid) for pid in self.workers())

    # what one does to it

    def command(
        self, *arguments: str, timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        """Run `gwd ARGUMENTS` as another user process would, aimed at this gateway."""
        return subprocess.run(
            [sys.executable, "-m", "gwd", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=self.directory,
            env=self.environ | {"GWD_ADMIN": self.admin, MARK: ""},
        )

    def reload(self, config: str | None = None) -> subprocess.CompletedProcess[str]:
        """`gwd reload`, after writing `config` if one is given."""
        if config is not None:
            self.config.write_text(config)
        done = self.command("reload", timeout=60)
        for pid, before in self._before.items():
            # A new config may name other files: a log, for one. It opens no connections.
            before |= Counter({k: n for k, n in kinds(pid).items() if k.startswith("/")})
        return done

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by signal `number`; its exit status."""
        self._stopped = True
        self.kill(number)
        return self.process.wait(PATIENCE)

    def close(self, *, expect_leftovers: bool = False) -> None:
        """End it if nobody has, and raise AssertionError about what it leaves behind.

        Clients and upstreams must be gone before, so that no connection has a reason to stay.
        """
        problems: list[str] = []
        try:
            if self.process.poll() is None and not self._stopped:
                problems += self._kept_descriptors()
                code = self.stop()
                if code:
                    problems.append(f"exit status {code}")
        except subprocess.TimeoutExpired:
            problems.append(f"did not end within {PATIENCE} s of a TERM")
        until(lambda: not self.alive(), 5)
        left = self.alive()
        if left and not expect_leftovers:
            problems.append(f"processes left: {left}")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        said = self.said()
        problems += [f"stderr has {words!r}" for words in COMPLAINTS if words in said]
        if problems:
            raise AssertionError(f"the gateway: {'; '.join(problems)}\n{said}")

    def _kept_descriptors(self) -> list[str]:
        """Of the children that lived all the time: descriptors they have more than at the start."""
        living = [pid for pid in self._before if Path(f"/proc/{pid}").exists()]

        def kept() -> list[str]:
            return [
                f"process {pid} kept descriptors: {dict(more)}"
                for pid in living
                if (more := kinds(pid) - self._before[pid])
            ]

        until(lambda: not kept(), 8)
        return kept()


# what /proc tells


def fds(pid: int) -> list[str]:
    """What the open descriptors of `pid` lead to, sockets by their number."""
    found = []
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
            except FileNotFoundError:
                continue
    except (FileNotFoundError, ProcessLookupError):
        return []
    return found


def kinds(pid: int) -> Counter[str]:
    """How many descriptors of each kind `pid` has; the numbers of sockets come and go.

    What the event loop opens in its first turns, once, is left out: /dev/null, libuv's reserve for
    EMFILE, and the pair of Unix sockets by which it wakes itself.
    """
    table = Path(f"/proc/{pid}/net/unix")  # of its own network: not every gateway is in ours
    lines = table.read_text().splitlines()[1:] if table.exists() else []
    unix = {line.split()[6] for line in lines}
    return Counter(
        link.partition(":[")[0]
        for link in fds(pid)
        if link != "/dev/null" and not (link.startswith("socket:[") and link[8:-1] in unix)
    )


def rss(pid: int) -> int:
    """Resident bytes of `pid`."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time that `pid` has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def parent(pid: int) -> int:
    """The parent of `pid`, 0 if there is no such process (any more)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[1])


def marked(mark: str) -> list[int]:
    """The living processes whose environment bears `mark`."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if needle in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.append(int(name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return sorted(found)


def socket_inodes(pid: int) -> set[str]:
    """The inode numbers of the sockets that `pid` holds."""
    return {link[8:-1] for link in fds(pid) if link.startswith("socket:[")}


def listening_inodes(pid: int) -> set[str]:
    """The inode numbers of TCP sockets that listen, in the network that `pid` sees."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/{pid}/net/{table}")
        if path.exists():
            for line in path.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    found.add(fields[9])
    return found
