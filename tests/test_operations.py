"""docs/operations.md is true where a table can be held against the program."""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gwd.cli import exits
from gwd.segment.metrics import EDGES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text()
CONFIG = """
server.bind = ["127.0.0.1:0"]
server.workers = 1
server.access_log = "{log}"
segment.max_ips = 1024
[[routes]]
name = "hello"
path = "/hello"
respond = {{ body = "hello" }}
"""


def rows(heading: str) -> list[list[str]]:
    """The first table below a heading, as cells without their backquotes."""
    _, _, below = PAGE.partition(f"\n## {heading}\n")
    match = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert match is not None, heading
    lines = match[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def test_an_access_log_line_has_exactly_the_fields_of_the_table(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    config = tmp_path / "gwd.toml"
    config.write_text(CONFIG.format(log=log))
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "gwd", "run", "--config", str(config)]
    command += ["--admin", str(tmp_path / "run" / "admin.sock"), "--ready-fd", str(writer)]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as gateway:
        try:
            os.close(writer)
            with open(reader, "rb") as ready:
                (address,) = json.loads(ready.readline())["addresses"]
            client = http.client.HTTPConnection(address, timeout=20)
            client.request("GET", "/hello")
            assert client.getresponse().read() == b"hello"
            client.close()
            gateway.terminate()
            assert gateway.wait(20) == 0
        finally:
            gateway.kill()
    (line,) = log.read_text().splitlines()
    assert list(json.loads(line)) == [row[0] for row in rows("The access log")]


def test_every_reason_in_the_program_stands_in_the_table_with_its_status() -> None:
    table = {(row[0], int(row[1])) for row in rows("Reasons")}
    assert table == set(_reasons())


def _reasons() -> Iterator[tuple[str, int]]:
    """Reason and status of every refusal in the source, and of requests that end without one."""
    for path in (ROOT / "gwd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="Refusal" | "Fault") | ast.Attribute(attr="_excess"),
                    args=[ast.Constant(value=int(status)), ast.Constant(value=str(reason)), *_],
                ):
                    yield reason, status
                case ast.Call(
                    func=ast.Attribute(attr="kill" | "_abandon"),
                    args=[ast.Constant(value=str(reason))],
                ):
                    yield reason, 499
                case ast.Assign(targets=[ast.Name(id="_REFUSALS")], value=ast.Dict() as table):
                    for key, value in ast.literal_eval(table).items():
                        yield key, value[0]


def test_the_exit_codes_are_those_of_the_table() -> None:
    codes = {value for name, value in vars(exits).items() if name.isupper()}
    assert codes == {int(row[0]) for row in rows("Exit codes")}


def test_the_edges_of_latencies_are_those_of_the_page() -> None:
    match = re.search(r"Edges are ([\d., \n]+) ms, ([\d., \nand]+) s\.", PAGE)
    assert match is not None
    milliseconds, seconds = (
        [float(n) for n in re.findall(r"[\d.]+", part)] for part in match.groups()
    )
    assert [*(edge / 1000 for edge in milliseconds), *seconds] == list(EDGES)


def test_every_command_stands_on_the_page() -> None:
    from gwd.cli import COMMANDS

    named = {row[0].split()[1] for row in rows("Commands")}
    assert named == set(COMMANDS)
