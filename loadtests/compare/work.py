"""The work that every peer is given, by wrk."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_FIELDS = """
local fields = {
  ["Host"] = "api.example.com",
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  ["Accept-Language"] = "en-GB,en;q=0.5",
  ["Accept-Encoding"] = "gzip, deflate, br",
  ["Referer"] = "https://www.example.com/start",
  ["Cookie"] = "session=4f2a9c71e0b84d; theme=dark",
}
local n = 0
"""
_REPEAT = _FIELDS + 'request = function() return wrk.format("GET", "/items/42", fields) end\n'
_UNIQUE = (
    _FIELDS
    + """
request = function()
  n = n + 1
  fields["Cookie"] = "session=" .. n .. "; theme=dark"
  return wrk.format("GET", "/items/" .. n, fields)
end
"""
)
_VARIED = (
    _FIELDS
    + """
request = function()
  n = n + 1
  fields["Cookie"] = "session=" .. n
  fields["Referer"] = "https://www.example.com/page/" .. n
  fields["If-None-Match"] = '"' .. n .. '"'
  fields["traceparent"] = string.format("00-%032x-%016x-01", n, n)
  return wrk.format("GET", "/items/" .. n .. "?page=" .. n, fields)
end
"""
)
_POST = (
    _FIELDS
    + """
local body = string.rep("0123456789abcdef", 640)
request = function() return wrk.format("POST", "/items", fields, body) end
"""
)
_BIG = _FIELDS + 'request = function() return wrk.format("GET", "/big", fields) end\n'
_CLOSE = (
    _FIELDS
    + """
fields["Connection"] = "close"
request = function() return wrk.format("GET", "/items/42", fields) end
"""
)


@dataclass(frozen=True, slots=True)
class Work:
    name: str
    connections: int
    script: str


WORKS = (
    Work("repeat", 64, _REPEAT),
    Work("unique", 64, _UNIQUE),
    Work("varied", 64, _VARIED),
    Work("post10k", 64, _POST),
    Work("get1m", 16, _BIG),
    Work("conns1000", 1000, _UNIQUE),
    Work("close", 32, _CLOSE),
)


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. `errors` is empty if every request got its 2xx."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    errors: str


_UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


def run(work: Work, port: int, seconds: int, room: Path) -> Load:
    script = room / f"{work.name}.lua"
    script.write_text(work.script)
    command = ["wrk", "-t1", f"-c{work.connections}", f"-d{seconds}s", "--latency", "--timeout"]
    command += ["5s", "-s", str(script), f"http://127.0.0.1:{port}/"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    text = done.stdout
    errors = " ".join(re.findall(r"(?:Socket errors|Non-2xx).*", text)) or done.stderr.strip()
    counted = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if counted is None or rate is None:
        return Load(0, 0.0, 0.0, 0.0, errors or "no result")
    return Load(
        int(counted.group(1)),
        float(rate.group(1)),
        _percentile(text, "50"),
        _percentile(text, "99"),
        errors,
    )


def _percentile(text: str, which: str) -> float:
    match = re.search(rf"^\s+{which}%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    return float(match.group(1)) * _UNIT_MS[match.group(2)] if match else 0.0
