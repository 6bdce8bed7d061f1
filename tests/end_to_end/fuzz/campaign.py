"""Executions in batches against one gateway, and the judgement over each batch.

    start gateway, upstreams, citizens
    for each batch: execute all at once → settle → judge wires, answers, process → forget

The upstreams, the hostile clients and the citizens live in one event loop of this process; the
gateway is a process tree of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from fuzz.clients import Attack, Citizen, Heard, attack, execute
from fuzz.judge import about_answers, about_passing, about_relaying, about_strangers, about_wire
from fuzz.upstream import Hostile, Taken, Upstream, hostile, token
from rig.configs import config, upstream
from rig.gateway import COMPLAINTS, Gateway

TOGETHER = 256
"""Hostile clients at once; that many executions are a batch."""
CITIZENS = 4
WARM = 3000
"""Executions after which memory is taken to be what it takes."""
MOST_GROWTH = 48 << 20
"""Bytes that the worker may grow by from then on."""
SETTLED = 3.0
"""Seconds within which the gateway has ended what it gave up."""
MOST_FINDINGS = 20

_METHODS = '["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]'
_ROUTES = f"""
[[routes]]
name = "app"
path = "/*"
methods = {_METHODS}
upstream = "app"

[[routes]]
name = "pieces"
path = "/hostile/pieces/*"
methods = {_METHODS}
upstream = "pieces"

[[routes]]
name = "keep"
path = "/keep/*"
methods = {_METHODS}
encoded_slash = "keep"
upstream = "app"

[[routes]]
name = "own"
path = "/own/*"
respond = {{ status = 200, body = "own" }}
"""
_SERVER = (
    'max_body = "64KiB"',
    'head_timeout = "2s"',
    'body_timeout = "2s"',
)


@dataclass
class Finding:
    number: int
    """The execution, -1 if it belongs to none alone."""
    what: str


@dataclass
class Report:
    seed: int
    executions: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    passed_on: int = 0
    """Requests that the upstreams got whole."""
    unfinished: int = 0
    """Requests that were given up after their head was passed on."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Of the first answer to each hostile client; "none" if there was none."""
    citizens: int = 0
    """Requests of the well-behaved clients."""
    posts_failed: int = 0
    memory: list[int] = field(default_factory=list)
    """The worker's resident bytes, after WARM executions and at the end."""
    findings: list[Finding] = field(default_factory=list)

    def text(self) -> str:
        lines = [
            f"seed {self.seed}: {self.executions} executions in {self.seconds:.0f} s"
            f" ({self.executions / max(self.seconds, 0.001):.0f}/s), by kind {dict(self.kinds)}",
            f"upstream: {self.passed_on} requests whole, {self.unfinished} given up unfinished",
            f"first answers: {dict(self.statuses.most_common())}",
            f"well-behaved clients: {self.citizens} requests, {self.posts_failed} POSTs got 502",
            f"worker's memory in MiB: {[round(m / 2**20, 1) for m in self.memory]}",
            f"findings: {len(self.findings)}",
        ]
        lines += [f"- execution {f.number}: {f.what[:3000]}" for f in self.findings]
        return "\n".join(lines)


def run(directory: Path, seed: int, numbers: Iterable[int]) -> Report:
    """Execute `numbers` of `seed` against a gateway in `directory`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(directory, seed, list(numbers)))


async def _run(directory: Path, seed: int, numbers: list[int]) -> Report:
    serials = itertools.count(1)
    app, slow = Upstream(serials, by_pieces=False), Upstream(serials, by_pieces=True)
    await app.start()
    await slow.start()
    text = config(
        f"127.0.0.1:{app.port}",
        server=_SERVER,
        routes=_ROUTES,
        more=upstream("pieces", [f"127.0.0.1:{slow.port}"]),
    )
    gateway = await asyncio.to_thread(Gateway, directory, text)
    campaign = _Campaign(gateway, (app, slow), seed)
    try:
        await campaign.go(numbers)
    finally:
        app.close()
        slow.close()
        try:
            await asyncio.to_thread(gateway.close)
        except AssertionError as error:
            campaign.report.findings.append(Finding(-1, str(error)))
    return campaign.report


class _Campaign:
    def __init__(self, gateway: Gateway, upstreams: tuple[Upstream, ...], seed: int) -> None:
        self.report = Report(seed)
        self._gateway = gateway
        self._upstreams = upstreams
        self._workers = gateway.workers()
        self._log = (gateway.directory / "stdout").open("rb")
        self._log_rest = b""
        self._issued = {token(f"127.200.0.{n}").encode() for n in range(1, CITIZENS + 1)}
        for each in upstreams:
            each.script = self._script
        self._attacks: dict[str, Attack] = {}
        """Those of the present batch, by address."""

    def _script(self, target: bytes, address: str) -> Hostile | None:
        """What a hostile upstream answers to an attack of that kind, None for a good answer."""
        attack = self._attacks.get(address)
        if attack is None or attack.kind == "request":
            return None
        asked = target == f"/hostile/{attack.kind}/{attack.number}".encode()
        return self._hostile(attack) if asked else None

    def _hostile(self, attack: Attack) -> Hostile | None:
        if attack.kind == "request":
            return None
        small = attack.kind == "response"
        return hostile(self.report.seed, attack.number, token(attack.address), small=small)

    async def go(self, numbers: list[int]) -> None:
        report = self.report
        until = asyncio.Event()
        complaints: list[str] = []
        citizens = [
            Citizen(self._gateway.address, f"127.200.0.{n}") for n in range(1, CITIZENS + 1)
        ]
        lives = [asyncio.create_task(each.live(until, complaints)) for each in citizens]
        started = time.monotonic()
        try:
            for batch in _batches(numbers):
                await self._batch(batch)
                report.findings += [
                    Finding(-1, f"in the batch from {batch[0]}: {c}") for c in complaints
                ]
                complaints.clear()
                if report.executions >= WARM and not report.memory:
                    report.memory.append(self._gateway.rss())
                if len(report.findings) >= MOST_FINDINGS:
                    break
        finally:
            until.set()
            await asyncio.gather(*lives)
            self._log.close()
        report.seconds = time.monotonic() - started
        report.citizens = sum(each.asked for each in citizens)
        report.posts_failed = sum(each.posts_failed for each in citizens)
        report.memory.append(self._gateway.rss())
        if report.memory[-1] - report.memory[0] > MOST_GROWTH:
            report.findings.append(Finding(-1, f"the worker's memory grew: {report.memory}"))

    async def _batch(self, numbers: list[int]) -> None:
        attacks = [attack(self.report.seed, number) for number in numbers]
        self._attacks = {each.address: each for each in attacks}
        heard = await asyncio.gather(*map(self._execute, attacks))
        await self._settle()
        self.report.executions += len(attacks)
        await self._judge_wires()
        await self._judge_clients(attacks, heard)
        self._judge_process(numbers)

    async def _execute(self, attack: Attack) -> Heard:
        script = self._hostile(attack)
        answered = script is not None and script.end != "keep"
        return await execute(self._gateway.address, attack, answered=answered)

    async def _settle(self) -> None:
        """Wait until nothing unfinished is on a living connection any more, if that comes true."""
        deadline = time.monotonic() + SETTLED
        wires = [wire for each in self._upstreams for wire in each.wires]
        while any(w.tail and not (w.ended or w.closing) for w in wires):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.01)

    async def _judge_wires(self) -> None:
        for each in self._upstreams:
            wires, each.wires = each.wires, []
            for wire in wires:
                self.report.passed_on += len(wire.whole)
                self.report.unfinished += bool(wire.tail) and wire.ended
                self._found(-1, about_wire(wire))
                wire.whole.clear()
                if not (wire.ended or wire.closing):
                    each.wires.append(wire)
                await asyncio.sleep(0)  # the citizens live on

    async def _judge_clients(self, attacks: list[Attack], heard: list[Heard]) -> None:
        by_address: dict[str, list[Taken]] = defaultdict(list)
        by_serial: dict[int, Taken] = {}
        for each in self._upstreams:
            for taken in each.taken:
                by_address[taken.address].append(taken)
                by_serial[taken.serial] = taken
            each.taken = []
        self._issued |= {token(address).encode() for address in self._attacks}
        issued = self._issued
        for address, unasked in by_address.items():
            if token(address).encode() not in issued:
                self._found(-1, [f"requests from nobody: {address} {unasked}"])
        for one, said in zip(attacks, heard, strict=True):
            self.report.kinds[one.kind] += 1
            self.report.statuses[said.received[9:12].decode("latin-1") or "none"] += 1
            taken_of = sorted(by_address[one.address], key=lambda each: each.serial)
            if said.silent:
                self._found(one.number, [f"neither answer nor end: {one}"])
            script = self._hostile(one)
            if script is None:
                found = about_answers(
                    said.received, said.ended, one.address, by_serial, one.sent
                ) + about_passing(taken_of, one.sent)
            else:
                # Bytes behind one answer may come after the next request was sent: then nobody
                # could tell. The pieces are judged for their form alone.
                found = about_relaying(said.received, said.ended, one.method, script)
                if one.kind == "pieces":
                    found = [each for each in found if not each.startswith("relayed")]
            if one.kind != "pieces":
                found += about_strangers(said.received, one.address, issued.__contains__)
            self._found(one.number, found)
            await asyncio.sleep(0)

    def _judge_process(self, numbers: list[int]) -> None:
        if self._gateway.workers() != self._workers:
            self._found(-1, [f"the worker is another one in the batch from {numbers[0]}"])
            self._workers = self._gateway.workers()
        said = self._gateway.said()
        self._found(
            -1,
            [
                f"stderr has {c!r} in the batch from {numbers[0]}: {said}"
                for c in COMPLAINTS
                if c in said
            ],
        )
        lines = (self._log_rest + self._log.read()).split(b"\n")
        self._log_rest = lines.pop()
        for line in lines:
            try:
                json.loads(line)
            except ValueError:
                self._found(-1, [f"a line of the access log is no JSON: {line!r}"])

    def _found(self, number: int, what: list[str]) -> None:
        self.report.findings += [Finding(number, each) for each in what]


def _batches(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), TOGETHER):
        yield numbers[start : start + TOGETHER]
