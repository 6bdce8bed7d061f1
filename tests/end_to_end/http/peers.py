"""What nginx and HAProxy do on the cases of the black-box suite: the tables of docs/http.md.

    PYTHONPATH=tests/end_to_end python tests/end_to_end/http/peers.py [--all]

Both run with their defaults, as plain reverse proxies in front of the same recording upstream. A
case that gwd refuses is reported by what the peer answers, and by whether the upstream got a
request of it; `--all` prints every case, otherwise only those are listed that one of them passes
on.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

from rig.client import Client
from rig.programs import Nginx, free_port, program, wait_until_it_listens
from rig.upstream import RecordingUpstream
from tables import chunks, connections, framing, heads, identities, targets
from tables.case import MAX_BODY, Case, Seen

GROUPS = {
    "framing": framing.CASES,
    "chunks": chunks.CASES,
    "head": heads.CASES,
    "target": targets.CASES,
    "connection": connections.CASES,
    "identity": identities.CASES,
}
PATIENCE = 0.5
"""Seconds after which a peer that says nothing is said to wait for more."""
GWDS_OWN = ("SEC-14", "SEC-30", "SEC-34", "SEC-35", "SEC-38")
"""Rules about identities and trust: a peer without such a config has nothing to hold."""

_NGINX = """
location / {{
    proxy_pass http://{upstream};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 2s;
    client_max_body_size {most};
}}
"""
_HAPROXY = """
defaults
    mode http
    timeout connect 2s
    timeout client 2s
    timeout server 2s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server up {upstream}
"""


@contextmanager
def nginx(upstream: RecordingUpstream, room: Path) -> Iterator[int]:
    locations = _NGINX.format(upstream=upstream.address, most=MAX_BODY)
    running = Nginx(room / "nginx", locations=locations)
    try:
        yield running.port
    finally:
        running.stop()


@contextmanager
def haproxy(upstream: RecordingUpstream, room: Path) -> Iterator[int]:
    port = free_port()
    config = room / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, upstream=upstream.address))
    running = Popen([program("haproxy"), "-f", str(config), "-db"], stdout=DEVNULL, stderr=DEVNULL)
    try:
        wait_until_it_listens(port, running, room / "none")
        yield port
    finally:
        running.terminate()
        running.wait(10)


PEERS: dict[str, Callable[..., object]] = {"nginx": nginx, "HAProxy": haproxy}


def outcome(case: Case, port: int, upstream: RecordingUpstream) -> tuple[str, bool]:
    """What a peer answered to `case`, and whether the upstream got a request of it."""
    upstream.forget()
    upstream.errors.clear()
    with Client(("127.0.0.1", port)) as client:
        client.send(case.sends)
        if case.half_closes:
            client.finish_sending()
        while b"\r\n" not in client.buffer and client.end(PATIENCE) == "open":
            if not client.buffer:
                break
        line = client.buffer.split(b"\r\n", 1)[0]
        if line.startswith(b"HTTP/1."):
            said = line.split(b" ")[1].decode()
        else:
            said = client.ended or ("waits" if not line else "other")
    return said, bool(upstream.requests or upstream.errors)


def main() -> None:
    everything = "--all" in sys.argv[1:]
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    cases = {f"{group}-{case.name}": case for group, some in GROUPS.items() for case in some}
    for name, peer in PEERS.items():
        upstream = RecordingUpstream()
        with tempfile.TemporaryDirectory() as room:
            Path(room).chmod(0o755)
            with peer(upstream, Path(room)) as port:  # type: ignore[attr-defined]
                found[name] = {key: outcome(case, port, upstream) for key, case in cases.items()}
        upstream.refuse()

    print("| group | cases | refused by gwd | of these refused by nginx | by HAProxy |")
    print("| --- | --- | --- | --- | --- |")
    for group, some in GROUPS.items():
        refused = [f"{group}-{c.name}" for c in some if not isinstance(c.sees, Seen)]
        held = Counter(n for n in PEERS for key in refused if not found[n][key][1])
        print(f"| {group} | {len(some)} | {len(refused)} | {held['nginx']} | {held['HAProxy']} |")
    print()
    print("| case | rule | gwd | nginx | HAProxy |")
    print("| --- | --- | --- | --- | --- |")
    for key, case in cases.items():
        results = [found[name][key] for name in PEERS]
        if isinstance(case.sees, Seen) or case.sec in GWDS_OWN:
            continue
        if everything or any(passed for _, passed in results):
            ours = "/".join(str(status) for status in case.status if status)
            cells = [f"passes it on, {said}" if passed else said for said, passed in results]
            print(f"| {key} | {case.sec} | {ours} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
