"""The README is true: its shell blocks run, what it shows is what comes, its links lead somewhere.

Blocks that set up an environment are not run here: `make test`, which runs this, is one of them.
The others are run in the order of the page, against real processes, with the page's own
`gwd.toml`; only the two ports are exchanged for free ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gwd.demo.guide import Running, guide
from gwd.demo.ports import any_free

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("loadtests/*.md")])
SET_UP = ("make test", "make compare", "python3 -m venv")
"""How the blocks begin that are not run here."""
BIND = '\n[server]\nbind = ["127.0.0.1:8080"]\n'
"""What the page leaves to the default, so that it can be another port."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, "" for plain ones, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for found, text in fenced if found == language]


class Shell:
    """A directory like a reader's, in which `gwd` is a command."""

    def __init__(self, directory: Path, ports: dict[str, str]) -> None:
        self.directory = directory
        self._ports = ports
        program = directory / "bin" / "gwd"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gwd "$@"\n')
        program.chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GWD_")}
        self._environ = {
            **kept,
            "PATH": f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "RUNTIME_DIRECTORY": str(directory / "run"),
        }

    def here(self, text: str) -> str:
        """`text` with the page's ports exchanged for free ones."""
        for written, free in self._ports.items():
            text = text.replace(written, free)
        return text

    def start(self, command: str, sign: str) -> subprocess.Popen[str]:
        """A command that stays, once it has said `sign` on stdout or stderr."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {self.here(command)} 2>&1"],
            cwd=self.directory,
            env={**self._environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if sign in line:
                    return process
            raise AssertionError("".join(said))
        except BaseException:
            process.kill()
            process.wait()
            process.stdout.close()
            raise

    def run(self, command: str) -> str:
        """What a command that ends well prints."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(command)],
            cwd=self.directory,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "run").mkdir()
    return Shell(tmp_path, {"8080": str(any_free()), "9000": str(any_free())})


@contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """`process`, which is ended at the latest when the test is."""
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_own_service_works_as_it_is_written(shell: Shell) -> None:
    service, judge_and_run, ask = (b for b in blocks("sh") if not b.startswith(SET_UP))
    (config,) = blocks("toml")
    assert len(config.splitlines()) == 9
    (shell.directory / "gwd.toml").write_text(shell.here(config + BIND))
    (judge, run), asked = judge_and_run.splitlines(), ask.splitlines()
    verdict, listening = next(b for b in blocks("") if b.startswith("gwd.toml: good")).splitlines()

    with running(shell.start(service.strip(), "Serving HTTP")):
        told = shell.run(judge)
        # The digest differs with the ports.
        assert told.partition("(")[0] == verdict.partition("(")[0]
        with running(shell.start(run, shell.here(listening))) as gateway:
            answers = [shell.run(line) for line in asked]
            assert gateway.wait(20) == 0
    assert answers[0].startswith("HTTP/1.1 200 OK")
    assert 'route "app"' in answers[1]
    assert "workers" in answers[2]
    assert answers[3].startswith("reloaded")
    assert answers[4].startswith("gwd stopped")


def test_a_mistake_is_told_as_the_page_says(shell: Shell) -> None:
    (config,) = blocks("toml")
    shown = next(b for b in blocks("") if "unknown key" in b)
    (shell.directory / "gwd.toml").write_text(config.replace("upstream = ", "upstreem = "))
    with pytest.raises(AssertionError, match=re.escape(shown)):
        shell.run("gwd check --config gwd.toml")


def test_the_demo_prints_what_the_page_shows() -> None:
    shown = next(b for b in blocks("") if "In a second terminal" in b)

    def found(pattern: str) -> str:
        match = re.search(pattern, shown)
        assert match is not None, pattern
        return match.group(1)

    victim = int(found(r"kill (\d+)"))
    services = [
        (name, [int(first), int(second)], [victim, victim])
        for name, first, second in re.findall(r"(\w+) +127\.0\.0\.1:(\d+) :(\d+) +ready", shown)
    ]
    printed = guide(
        Running(
            services=services,
            port=int(found(r"gateway  http://127\.0\.0\.1:(\d+)")),
            workers=int(found(r"(\d+) workers")),
            config=found(r"config (\S+)"),
            admin=found(r"--admin (\S+)"),
            token=found(r"TOKEN=(\S+)"),
            program="gwd",
        )
    )
    assert shown == printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    for text, target in re.findall(r"\[([^\]]*)\]\(([^)]+)\)", _without_code(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"[{text}]({target})"
        if anchor:
            assert anchor in _anchors(place), f"[{text}]({target})"


def _without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
