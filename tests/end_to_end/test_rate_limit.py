"""One limit per client address, counted over all workers."""

from __future__ import annotations

from collections import Counter

from rig.client import Client
from rig.configs import config
from rig.kinds import Connect, StartGateway, StartUpstream

LIMIT = """
[limits]
exempt = ["127.0.0.9/32"]
deny = ["127.0.0.66/32"]

[limits.per_ip]
rate = "10/m"
burst = 20
"""


def test_an_address_is_limited_over_all_workers_and_others_are_not(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, more=LIMIT), workers=2)

    def statuses(source: str, count: int) -> Counter[int]:
        found: Counter[int] = Counter()
        for _ in range(count):  # a connection each: the kernel spreads them over the workers
            with Client(running.address, source=source) as client:
                found[client.get("/x", "Connection: close").status] += 1
        return found

    one = statuses("127.0.0.5", 60)
    assert 20 <= one[200] <= 22, one
    assert one[200] + one[429] == 60
    assert statuses("127.0.0.6", 5) == {200: 5}
    assert statuses("127.0.0.9", 40) == {200: 40}
    assert statuses("127.0.0.66", 2) == {403: 2}

    refused = connect(running, source="127.0.0.5").get("/x")
    assert refused.status == 429
    assert refused.get("content-type") == "application/problem+json"
    assert int(refused.get("retry-after") or "") >= 1
    assert refused.get("ratelimit")
    assert refused.get("ratelimit-policy")


def test_a_limited_client_keeps_its_connection_and_malformed_heads_count(
    gateway: StartGateway, upstream: StartUpstream, connect: Connect
) -> None:
    running = gateway(config(upstream().address, more=LIMIT))
    statuses = []
    while 429 not in statuses:
        with Client(running.address, source="127.0.0.7") as client:
            statuses.append(client.request(b"nonsense\r\n\r\n").status)
    assert 20 <= statuses.count(400) <= 22
    client = connect(running, source="127.0.0.7")
    assert [client.get("/x").status for _ in range(3)] == [429, 429, 429]
