"""floods: what becomes of a neighbour, and of the gateway, while somebody does their worst.

Each flood has a fresh gateway with a limit per address and bans. The neighbour has an address of
its own and asks 50 times a second, by the clock, before the flood and during it. Flooder, neighbour
and gateway share the machine's cores, so the neighbour's latencies show what the flooder takes from
it as well.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gwd.segment.bans import RATE, Bans
from gwd.segment.processes import BANNED, BANS_MADE, COARSE, EVICTED, LIMITED, UNCOUNTED
from loadtests.limits import flooders, wrk
from loadtests.limits.beside import Beside
from loadtests.limits.gateway import Gateway, gateway
from loadtests.limits.neighbour import ASKS, NEIGHBOUR, lost, told
from loadtests.limits.paced import Told, pace
from loadtests.limits.report import Show

BAD = "127.66.0.1"
PROXY = "127.99.0.1"
BANNED_ADDRESSES = 10_000
PEERS = 20_000
LIMIT = '[limits.per_ip]\nrate = "100/s"\nburst = 50\n'
FILTER_PATIENCE = 2.0
"""Seconds in which the kernel's filter may follow the bans."""

Counts = Counter[str]


def _config(action: str = "drop", more: str = "") -> str:
    ban = f'[limits.ban]\nfor = "10m"\naction = "{action}"\n' if action != "none" else ""
    return f"{LIMIT}{ban}[segment]\nmax_workers = 2\n{more}"


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how much."""

    seconds: float = 3.0
    before: float = 1.5
    clients: int = 1_000_000
    clients_within: float = 50.0
    """Seconds after which the flood of new clients ends even if not all came."""


@dataclass(frozen=True, slots=True)
class Flood:
    name: str
    run: Callable[[tuple[str, int], Scale, Path], Counts]
    action: str = "drop"
    banned: tuple[str, ...] = ()
    """Who is banned before it begins."""
    server: str = ""


def _new_clients(address: tuple[str, int], scale: Scale, _room: Path) -> Counts:
    return flooders.speak_for(address, PROXY, scale.clients, scale.clients_within)


def _new_peers(address: tuple[str, int], scale: Scale, _room: Path) -> Counts:
    sources = flooders.addresses(PEERS)
    return flooders.connect(address, sources, scale.seconds, request=flooders.REQUEST)


def _full_speed(address: tuple[str, int], scale: Scale, room: Path) -> Counts:
    load = wrk.run(wrk.PLAIN, address[1], scale.seconds, room)
    told = Counter({"tried": load.requests, "429": load.bad, "200": load.requests - load.bad})
    for word, count in zip(load.broken.split()[::2], load.broken.split()[1::2], strict=True):
        told[f"{word} errors"] += int(count.strip(","))
    return told


def connecting(sources: Sequence[str], request: bytes) -> Callable[..., Counts]:
    def run(address: tuple[str, int], scale: Scale, _room: Path) -> Counts:
        return flooders.connect(address, sources, scale.seconds, request=request)

    return run


def _syns(address: tuple[str, int], scale: Scale, _room: Path) -> Counts:
    return flooders.syns(address, [BAD], scale.seconds)


_CROWD = tuple(flooders.scattered(BANNED_ADDRESSES))

FLOODS = (
    Flood(
        "new clients, all the time, behind a proxy",
        _new_clients,
        server=f'trusted_proxies = ["{PROXY}/32"]',
    ),
    Flood("20,000 peers, a connection and a request each", _new_peers),
    Flood("one address at full speed, no bans", _full_speed, action="none"),
    Flood("one address at full speed", _full_speed),
    Flood("one address at full speed, refuse", _full_speed, action="refuse"),
    Flood("10,000 banned addresses connect", connecting(_CROWD, flooders.REQUEST), banned=_CROWD),
    Flood("one address opens and closes connections", connecting([BAD], b"")),
    Flood(
        "20,000 addresses open and close connections", connecting(flooders.addresses(PEERS), b"")
    ),
    *(
        Flood(f"a banned address sends SYNs, {action}", _syns, action=action, banned=(BAD,))
        for action in ("drop", "close", "refuse")
    ),
)


@dataclass(slots=True)
class Outcome:
    before: Told
    during: Told
    counts: Counts
    """What the flooder met."""
    seconds: float
    cpu: float
    """Cores that the gateway took during the flood."""
    memory: tuple[float, float]
    """MiB before and after, shared memory included."""
    counted: Counts
    """What the gateway counted of it."""
    filter: str


def measure(flood: Flood, room: Path, scale: Scale) -> Outcome:
    with gateway(room, _config(flood.action), server=flood.server) as running:
        address = ("127.0.0.1", running.port)
        _ban(running, flood.banned)
        before = _neighbour(address, scale.before)
        memory, counted = _memory(running), _counted(running)
        begin, cpu = time.monotonic(), running.cpu()
        with Beside(flood.run, address, scale, room) as flooder:
            longest = scale.clients_within + 10
            during = _neighbour(address, longest, flooder.running)
            counts = flooder.result()
        seconds = time.monotonic() - begin
        spent = running.cpu() - cpu
        after = _counted(running)
        after.subtract(counted)
        memories = (memory, _memory(running))
        return Outcome(
            before, during, counts, seconds, spent / seconds, memories, after, running.filter()
        )


def _neighbour(
    address: tuple[str, int], seconds: float, going: Callable[[], bool] | None = None
) -> Told:
    """Each request on a new connection: who cannot connect is not served."""
    close = "Connection: close\r\n"
    sources = [NEIGHBOUR]
    return pace(address, ASKS, seconds, sources, connections=24, fields=close, going=going)


def _ban(running: Gateway, banned: Sequence[str]) -> None:
    """As `gwd ban` does it; and wait for the kernel's filter, if there is going to be one."""
    if not banned:
        return
    now = time.monotonic_ns() // 1000
    with running.writable() as segment:
        bans = Bans(segment)
        for address in banned:
            key = bytes(map(int, address.split(".")))
            if not bans.ban(key, 32, now, now + 600_000_000, RATE, peer=True):
                raise RuntimeError("somebody keeps the lock of the bans")
    view = Bans(running.segment)
    deadline = time.monotonic() + FILTER_PATIENCE
    while view.filter().sequence < view.sequence and time.monotonic() < deadline:
        time.sleep(0.05)


def _memory(running: Gateway) -> float:
    return running.memory() + running.shared_memory()


def _counted(running: Gateway) -> Counts:
    cells = {
        "limited": LIMITED,
        "banned": BANNED,
        "bans": BANS_MADE,
        "rows given away": EVICTED,
        "with neighbours": COARSE,
        "uncounted": UNCOUNTED,
    }
    return Counter({name: running.processes.total(cell) for name, cell in cells.items()})


def show(room: Path, scale: Scale, floods: Sequence[Flood] = FLOODS) -> Show:
    table = Show(
        "floods",
        "What a flood does to a neighbour",
        "Two workers, 100/s with burst 50 per address, bans after 3 s' worth of refusals, a fresh "
        f"gateway for each flood. The neighbour asks {ASKS}/s from its own address, on a new "
        "connection each; answered: 200 of all it asked; delays count from when a request was "
        "due. CPU: cores that the gateway's processes took. MiB: processes and shared memory, "
        "before and after.",
        (
            "flood", "tried/s", "what it met", "what gwd counted", "kernel filter", "CPU", "MiB",
            "answered before", "p50/p99 ms", "answered during", "p50/p99 ms ",
        ),
    )  # fmt: skip
    for number, flood in enumerate(floods):
        outcome = measure(flood, room / f"flood-{number}", scale)
        tried = outcome.counts.pop("tried", 0) or outcome.counts.pop("sent", 0)
        before, during = outcome.before, outcome.during
        table.add(
            flood.name,
            f"{tried / outcome.seconds:.0f}",
            told(outcome.counts),
            told(outcome.counted),
            outcome.filter,
            f"{outcome.cpu:.2f}",
            f"{outcome.memory[0]:.0f} → {outcome.memory[1]:.0f}",
            f"{before.good}/{before.wanted}{lost(before)}",
            f"{before.quantile_ms(0.5):.1f}/{before.quantile_ms(0.99):.1f}",
            f"{during.good}/{during.wanted}{lost(during)}",
            f"{during.quantile_ms(0.5):.1f}/{during.quantile_ms(0.99):.1f}",
        )
    return table
