"""wrk, told what to ask, and read.

A round is good or it has `errors`; it is never made good by leaving out what failed. Where other
statuses than 2xx and 3xx are good, wrk's own count of them says too little, so a script counts
each status. That costs wrk time, and the proxy nothing.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.compare.work import Work

_COUNT = """
local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function init(args) statuses = {} end
function response(status, headers, body)
  local key = tostring(status)
  statuses[key] = (statuses[key] or 0) + 1
end
function done(summary, latency, requests)
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      io.write(string.format("Status %s: %d\\n", status, count))
    end
  end
end
"""
_UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. `errors` is empty if every request got what is good for its work. A percentile
    is None where wrk told none, or none above zero: no answer takes no time."""

    requests: int
    rate: float
    p50_ms: float | None
    p99_ms: float | None
    errors: str


def run(work: Work, port: int, seconds: int, room: Path, tokens: Sequence[str] = ()) -> Load:
    script = room / f"{work.name}.lua"
    lines = ["tokens = {"] + [f'  "{token}",' for token in tokens] + ["}", work.script]
    script.write_text("\n".join(lines) + (_COUNT if work.good else ""))
    command = ["wrk", "-t1", f"-c{work.connections}", f"-d{seconds}s", "--latency", "--timeout"]
    command += ["5s", "-s", str(script), f"http://127.0.0.1:{port}/"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    return parse(done.stdout, done.stderr, work.good, work.spared)


def parse(text: str, stderr: str = "", good: int = 0, spared: int = 0) -> Load:
    """Read what wrk printed. `good` and `spared` are those of the work."""
    counted = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    errors = re.findall(r"Socket errors.*", text)
    if good:
        errors += _other_statuses(text, good, spared)
    else:
        errors += re.findall(r"Non-2xx.*", text)
    if stderr.strip():
        errors.append(stderr.strip())
    if counted is None or rate is None or counted[1] == "0":
        return Load(0, 0.0, None, None, " ".join(errors) or "no result")
    return Load(
        int(counted[1]),
        float(rate[1]),
        _percentile(text, "50"),
        _percentile(text, "99"),
        " ".join(errors),
    )


def _other_statuses(text: str, good: int, spared: int) -> list[str]:
    counts = {int(s): int(n) for s, n in re.findall(r"^Status (\d+): (\d+)$", text, re.MULTILINE)}
    if not counts.pop(good, 0):
        return [f"no {good}"]
    if counts.get(200, 0) <= spared:
        counts.pop(200, None)
    return [f"{count} x {status}" for status, count in sorted(counts.items())]


def _percentile(text: str, which: str) -> float | None:
    match = re.search(rf"^\s+{which}%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    return (float(match[1]) * _UNIT_MS[match[2]] or None) if match else None
