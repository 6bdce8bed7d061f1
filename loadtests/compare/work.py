"""The works that every peer is given, as scripts for wrk, with what a good answer to each is.

Unless a work says otherwise, good means that every request got its 2xx or 3xx. The fields are
those of a browser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loadtests.compare.place import LIMITED, PARTS, PLAIN, TOKENS
from loadtests.compare.probe import Probe
from loadtests.compare.tokens import Keys

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
# wrk only knows bodies with a length, so the head is made here.
_CHUNKED = (
    _FIELDS
    + """
local lines = {"POST /stream HTTP/1.1", "Transfer-Encoding: chunked"}
for name, value in pairs(fields) do lines[#lines + 1] = name .. ": " .. value end
local chunk = "a00\\r\\n" .. string.rep("0123456789abcdef", 160) .. "\\r\\n"
local head = table.concat(lines, "\\r\\n") .. "\\r\\n\\r\\n"
local whole = head .. string.rep(chunk, 4) .. "0\\r\\n\\r\\n"
request = function() return whole end
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
_TOKENS = (
    _FIELDS
    + """
request = function()
  n = n + 1
  fields["Authorization"] = "Bearer " .. tokens[n % #tokens + 1]
  return wrk.format("GET", "/items/42", fields)
end
"""
)
_PARTS = _FIELDS + 'request = function() return wrk.format("GET", "/home/ada", fields) end\n'
_SMALL = (Probe("/items/42"),)


def _token_probes(keys: Keys) -> tuple[Probe, ...]:
    def probe(token: str, status: int) -> Probe:
        return Probe("/items/42", fields={"Authorization": f"Bearer {token}"}, status=status)

    return (
        probe(keys.valid[0], 200),
        probe(keys.valid[-1], 200),
        *(probe(token, 401) for token in keys.bad.values()),
        Probe("/items/42", status=401),
    )


@dataclass(frozen=True, slots=True)
class Work:
    """`good`: the only status that is good, counted one by one, 0 for every 2xx and 3xx; of others
    `spared` may come, all of them 200. `parts`: requests that the proxy makes for one."""

    name: str
    about: str
    connections: int
    script: str
    kind: str = PLAIN
    probes: tuple[Probe, ...] | Callable[[Keys], tuple[Probe, ...]] = _SMALL
    good: int = 0
    spared: int = 0
    parts: int = 1

    def checks(self, keys: Keys) -> tuple[Probe, ...]:
        return self.probes(keys) if callable(self.probes) else self.probes


WORKS = (
    Work("repeat", "the same GET again and again", 64, _REPEAT),
    Work("unique", "another URL and cookie every time", 64, _UNIQUE),
    Work("varied", "another URL, with query, and four other fields every time", 64, _VARIED),
    Work("post10k", "10 KiB up, a length", 64, _POST, probes=(Probe("/items", "POST"),)),
    Work(
        "chunked",
        "10 KiB up and down, in four chunks each",
        64,
        _CHUNKED,
        probes=(Probe("/stream", "POST", chunks=(b"0123456789abcdef" * 160,) * 4, chunked=True),),
    ),
    Work("get1m", "1 MiB down, 16 connections", 16, _BIG, probes=(Probe("/big"),)),
    Work("conns1000", "as unique, 1,000 connections", 1000, _UNIQUE),
    Work("close", "a connection per request, 32 at a time", 32, _CLOSE),
    Work(
        "jwt",
        "200 tokens in turn, RS256, verified",
        64,
        _TOKENS,
        kind=TOKENS,
        probes=_token_probes,
    ),
    Work(
        "aggregate",
        "one answer made of three",
        64,
        _PARTS,
        kind=PARTS,
        probes=(
            Probe(
                "/home/ada",
                parts={name: f"/{name}/ada" for name in ("profile", "orders", "cart")},
            ),
        ),
        parts=3,
    ),
    # A burst of one is one or two requests, by how a proxy counts fractions. nginx's slowest
    # rate lets one a minute through, which may fall into a round.
    Work(
        "refused",
        "a client over its limit: 429 is the good answer",
        64,
        _REPEAT,
        kind=LIMITED,
        probes=(Probe("/items/42"), Probe("/items/42", status=0), Probe("/items/42", status=429)),
        good=429,
        spared=2,
    ),
)
