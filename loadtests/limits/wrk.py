"""wrk, told what to ask and read as it answers: refusals and broken connections are figures here,
not failures."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

PLAIN = """
request = function() return wrk.format("GET", "/hello", {["Host"] = "gw.test"}) end
"""


def forwarded(addresses: int) -> str:
    """A script that speaks for one of so many clients at a time, from 10.0.0.0 on, at random."""
    return f"""
local fields = {{["Host"] = "gw.test"}}
math.randomseed(7)
request = function()
  local n = math.random(0, {addresses - 1})
  fields["X-Forwarded-For"] = string.format("10.%d.%d.%d", n / 65536, n / 256 % 256, n % 256)
  return wrk.format("GET", "/hello", fields)
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. `bad` are answers other than 2xx and 3xx; `broken` is its line on sockets, ""
    if there was none."""

    requests: int
    rate: float
    bad: int
    broken: str


def run(
    script: str,
    port: int,
    seconds: float,
    room: Path,
    *,
    connections: int = 64,
    scheme: str = "http",
) -> Load:
    """Raises RuntimeError if wrk says nothing that can be read."""
    path = room / "wrk.lua"
    path.write_text(script)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "5s"]
    command += ["-s", str(path), f"{scheme}://127.0.0.1:{port}/"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 30, check=False
    )
    text = done.stdout
    counted = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if counted is None or rate is None:
        raise RuntimeError(f"wrk: {text}{done.stderr}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: (.*)", text)
    return Load(
        int(counted[1]),
        float(rate[1]),
        int(bad[1]) if bad else 0,
        broken[1] if broken else "",
    )
