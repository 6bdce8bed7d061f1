"""python -m loadtests.tls: TLS beside nginx and HAProxy, in one run, taking turns.

    python -m loadtests.tls                     # all figures, about three minutes
    python -m loadtests.tls --soak 30           # memory over half an hour, and nothing else

All load goes to processes started here, on loopback, and ends by itself. Nothing is comparable
across runs. A soak of 20 minutes or more fails, with status 1, if memory grows by 40 MiB an hour or
more over its second half.
"""

from __future__ import annotations

import argparse
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from loadtests.compare import machine
from loadtests.compare.proxies import nginx
from loadtests.compare.running import Running, free_port
from loadtests.limits.report import Show, keep
from loadtests.tls import certificates, findings, measure, peers, resumption
from loadtests.tls.soak import Soaked, soak

_SERVICE = """
  access_log off; root {room};
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /hello {{ return 200 'hello'; }}
    location = /16k {{ }}
  }}
}}
"""
SHOWS = ("costs", "memory", "resumption", "findings")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.tls",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shows", nargs="*", choices=(*SHOWS, []), help="which; all if none")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="of each measurement of costs")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="only that, of gwd")
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep a report there")
    options = parser.parse_args()
    meta = machine.meta(
        "loadtests.tls",
        machine.programs("nginx", "haproxy", "wrk") | {"openssl": ssl.OPENSSL_VERSION},
    )
    print(machine.words(meta), flush=True)
    shows: list[Show] = []
    with tempfile.TemporaryDirectory(prefix="gwd-tls-") as name, ExitStack() as stack:
        room = Path(name)
        room.chmod(0o755)  # nginx's workers are another user's
        for show in _shows(room, options, stack):
            shows.append(show)
            if options.report:
                keep(shows, options.report, meta, "TLS")
    print("\n" + "\n\n".join(show.markdown() for show in shows))
    sys.exit("; ".join(show.wrong for show in shows if show.wrong) or 0)


def _start_service(room: Path) -> Running:
    room.mkdir()
    room.chmod(0o755)
    (room / "16k").write_bytes(b"x" * 16384)
    port = free_port()
    (room / "nginx.conf").write_text(nginx.head(room) + _SERVICE.format(room=room, port=port))
    return Running(room, nginx.command(room), port)


def _shows(room: Path, options: argparse.Namespace, stack: ExitStack) -> Iterator[Show]:
    service = _start_service(room / "service")
    stack.callback(service.stop)
    pair = (room / "cert.pem", room / "key.pem")
    certificates.write(*pair)

    def start(peer: peers.Peer, name: str, workers: int = 1) -> Running:
        running = peers.start(peer, room / name, pair, service.port, workers)
        stack.callback(running.stop)
        return running

    own = peers.PEERS[0]
    if options.soak:
        yield show_soak(soak(start(own, "soak"), options.soak))
        return
    wanted = options.shows or SHOWS
    if {"costs", "memory", "findings"} & set(wanted):
        running = {peer.name: start(peer, peer.name) for peer in peers.installed()}
    if "costs" in wanted:
        yield show_costs(running, options.seconds, options.rounds, room)
    if "memory" in wanted:
        yield show_memory(running)
    if "resumption" in wanted:
        yield show_resumption(start(own, "two", workers=2), room / "two")
    if "findings" in wanted:
        yield show_findings(running)


def show_costs(running: dict[str, Running], seconds: float, rounds: int, room: Path) -> Show:
    table = Show(
        "costs",
        "What handshakes and requests cost",
        f"One worker each, the same P-256 certificate, {seconds:g} s each, the least CPU of "
        f"{rounds} rounds in which the peers take turns. A connection is a handshake, one small "
        "request through the proxy, and the end; one client makes one after the other, and bounds "
        "how many there are. Requests: wrk on 32 kept connections.",
        ("what", *(f"{name}: /s, CPU µs" for name in running), "gwd ÷ nginx"),
    )  # fmt: skip
    kinds = [(version, resume) for version in ("1.3", "1.2") for resume in (False, True)]
    for version, resume in kinds:
        found: dict[str, list[measure.Handshakes]] = {name: [] for name in running}
        for _ in range(rounds):
            for name, peer in running.items():
                found[name].append(measure.handshakes(peer, version, resume, seconds))
        best = {name: min(all_of, key=lambda h: h.cpu_us) for name, all_of in found.items()}
        words = f"connections, TLS {version}, {'resumed' if resume else 'full'}"
        cells = [
            f"{b.per_second:.0f}, {b.cpu_us:.0f}" + (f" ({b.resumed:.0%} resumed)" * resume)
            for b in best.values()
        ]
        table.add(words, *cells, _ratio({name: b.cpu_us for name, b in best.items()}))
    asked: dict[str, list[measure.Requests]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, peer in running.items():
            asked[name].append(measure.requests(peer, seconds, room))
    least = {name: min(all_of, key=lambda r: r.cpu_us) for name, all_of in asked.items()}
    table.add(
        "requests, kept connections",
        *(f"{r.per_second:.0f}, {r.cpu_us:.0f} {r.errors}".strip() for r in least.values()),
        _ratio({name: r.cpu_us for name, r in least.items()}),
    )
    return table


def _ratio(costs: dict[str, float]) -> str:
    return f"{costs['gwd'] / costs['nginx']:.1f}" if costs.get("nginx") else "-"


def show_memory(running: dict[str, Running]) -> Show:
    table = Show(
        "memory",
        "Memory per TLS connection",
        f"KiB of the proxy's processes per connection, {measure.CONNECTIONS} of them at once, "
        "TLS 1.3: after the handshake, and after an answer of 16 KiB.",
        ("peer", "idle", "active"),
    )
    for name, peer in running.items():
        found = measure.memory(peer)
        table.add(name, f"{found.idle:.1f}", f"{found.active:.1f}")
    return table


def show_resumption(running: Running, room: Path) -> Show:
    table = Show(
        "resumption",
        "Resumption over two workers, before and after new certificates",
        f"{resumption.TRIES} connections each with one session, by whichever worker; then new "
        "certificate files and a HUP, and the same session again.",
        ("TLS", "resumed before", "resumed after", "new certificate is shown"),
    )
    for version in ("1.3", "1.2"):
        found = resumption.look(running, room, version)
        table.add(
            version,
            f"{found.before}/{resumption.TRIES}",
            f"{found.after}/{resumption.TRIES}",
            "yes" if found.renewed else "no",
        )
    return table


def show_findings(running: dict[str, Running]) -> Show:
    table = Show(
        "findings",
        "What openssl s_client finds",
        "The certificate is for gw.test.",
        ("asked", *running),
    )
    for question in findings.QUESTIONS:
        table.add(question.what, *(findings.ask(question, peer.port) for peer in running.values()))
    return table


def show_soak(soaked: Soaked) -> Show:
    table = Show(
        "soak",
        f"{soaked.minutes:g} minutes of TLS",
        "Full handshakes (1.3), resumed ones (1.2), each with a request, and 50 connections that "
        "never end their handshake. MiB of all of gwd's processes.",
        ("after, s", "MiB"),
    )
    step = max(1, len(soaked.points) // 20)
    for at, size in [*soaked.points[::step], soaked.points[-1]]:
        table.add(f"{at:.0f}", f"{size:.1f}")
    done, resumed = soaked.told["done"], soaked.told["resumed"]
    table.note(
        f"{done:,} connections, {resumed:,} of them resumed; {soaked.growth:+.1f} MiB/h over the "
        f"second half, {soaked.verdict}."
    )
    table.wrong = soaked.wrong
    return table


if __name__ == "__main__":
    main()
