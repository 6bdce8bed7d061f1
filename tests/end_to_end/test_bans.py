"""Bans through real processes: who is met by what, when it ends, and whom it never meets."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket

import pytest
from rig.client import Broken, Client, request
from rig.configs import config
from rig.gateway import Gateway, until
from rig.kinds import StartGateway, StartUpstream
from rig.network import in_own_network, set_filter_memory

LIMIT = """
[limits]
exempt = ["127.0.0.9"]
[limits.per_ip]
rate = "5/s"
burst = 5
mode = "{mode}"
"""
BAN = """
[limits.ban]
after = 2
for = "{span}"
action = "{action}"
"""
ABUSER, NEIGHBOUR, EXEMPT = "127.0.0.5", "127.0.0.6", "127.0.0.9"


def limits(action: str = "close", span: str = "60s", mode: str = "enforce") -> str:
    return LIMIT.format(mode=mode) + BAN.format(action=action, span=span)


def connects(running: Gateway, source: str, patience: float = 0.5) -> str:
    """What a connect and a request from `source` come to: "dropped", "closed", or a status."""
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET) as sock:
        sock.bind((source, 0))
        sock.settimeout(patience)
        try:
            sock.connect(running.address)
        except TimeoutError:
            return "dropped"
        except OSError:
            return "closed"
        sock.settimeout(10)
        try:
            sock.sendall(request("/x", "Connection: close"))
            head = sock.recv(65536)
        except TimeoutError:
            return "silent"
        except OSError:
            return "closed"
    return head[9:12].decode() if head else "closed"


def abuse(running: Gateway, source: str = ABUSER, *fields: str) -> list[int]:
    """Ask until nothing comes back any more, at most 200 times; the statuses seen."""
    statuses: list[int] = []
    with Client(running.address, source=source) as client:
        for _ in range(200):
            try:
                statuses.append(client.get("/x", *fields).status)
            except (OSError, Broken):
                break
    return statuses


def bans(running: Gateway) -> list[str]:
    done = running.command("bans", "--json")
    return [ban["address"] for ban in json.loads(done.stdout)["bans"]]


def kernel_drops(running: Gateway, source: str) -> bool:
    return until(lambda: connects(running, source, 0.3) == "dropped")


@pytest.mark.parametrize("action", ["drop", "close", "refuse"])
def test_who_goes_on_after_being_refused_is_shut_out_by_all_workers(
    gateway: StartGateway, upstream: StartUpstream, action: str
) -> None:
    running = gateway(config(upstream().address, more=limits(action)), workers=3)
    with Client(running.address, source=ABUSER) as kept:
        assert kept.get("/x").status == 200
        statuses = abuse(running)
        if action == "refuse":
            assert set(statuses) <= {200, 429}
            assert kept.get("/x").status == 429
        else:
            assert statuses.count(429) >= 5  # two seconds' worth of the rate, less the last one
            assert kept.end() in ("closed", "reset")
    assert bans(running) == [ABUSER]
    if action == "drop":
        assert kernel_drops(running, ABUSER)
    for _ in range(6):  # whichever worker it meets
        expected = {"drop": "dropped", "close": "closed", "refuse": "429"}[action]
        assert connects(running, ABUSER) == expected
        assert connects(running, NEIGHBOUR) in ("200", "429")
        assert connects(running, EXEMPT) == "200"
    if action == "refuse":
        with Client(running.address, source=ABUSER) as client:
            answer = client.get("/x")
        problem = json.loads(answer.body)
        assert problem["type"].endswith("#abnormal-usage-detected")
        assert 1 <= int(answer.get("retry-after") or "") <= 60
    status = json.loads(running.command("status", "--json").stdout)["limits"]
    assert status["bans_made"] == status["bans_running"] == 1
    assert status["banned"] >= 1
    told = f'"msg": "banned", "ip": "{ABUSER}"'
    assert until(lambda: told in running.said())


def test_a_ban_ends_by_itself_and_by_hand(gateway: StartGateway, upstream: StartUpstream) -> None:
    running = gateway(config(upstream().address, more=limits("drop", span="1500ms")), workers=2)
    abuse(running)
    assert kernel_drops(running, ABUSER)
    assert until(lambda: connects(running, ABUSER, 5) == "200")
    assert bans(running) == []

    done = running.command("ban", NEIGHBOUR, "--for", "2h")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"banned {NEIGHBOUR} for 2h: kernel drop\n")
    assert f"undo: gwd unban {NEIGHBOUR}" in done.stdout
    assert connects(running, NEIGHBOUR) == "dropped"
    listed = running.command("bans").stdout
    assert listed.startswith("1 banned  bans: kernel (1 of 1 addresses)\n")
    assert re.search(rf"{NEIGHBOUR} +by hand +\d+s +1h 59m +kernel\n", listed), listed
    assert running.command("unban", NEIGHBOUR).returncode == 0
    assert until(lambda: connects(running, NEIGHBOUR, 5) == "200", 5)
    again = running.command("unban", NEIGHBOUR)
    assert again.returncode == 1
    assert "is not banned" in again.stderr


def test_without_any_limit_an_operator_can_ban_all_the_same(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address), workers=2)
    with Client(running.address, source=ABUSER) as kept:
        assert kept.get("/x").status == 200
        assert running.command("ban", f"::ffff:{ABUSER}").returncode == 0
        assert kept.end() in ("closed", "reset")
    assert kernel_drops(running, ABUSER)
    assert running.command("unban", ABUSER).returncode == 0
    assert until(lambda: connects(running, ABUSER, 5) == "200")


def test_a_ban_outlives_crashes_and_reloads(gateway: StartGateway, upstream: StartUpstream) -> None:
    text = config(upstream().address, more=limits("drop"))
    running = gateway(text, workers=2)
    assert running.command("ban", ABUSER).returncode == 0
    assert kernel_drops(running, ABUSER)
    for pid in (running.workers()[0], running.controller()):
        os.kill(pid, signal.SIGKILL)
        assert until(lambda pid=pid: pid not in (family := running.family()) and len(family) == 3)
        assert connects(running, ABUSER) == "dropped"
    assert running.reload(text.replace('rate = "5/s"', 'rate = "6/s"')).returncode == 0
    assert connects(running, ABUSER) == "dropped"
    assert running.reload(text.replace('"drop"', '"close"')).returncode == 0
    assert until(lambda: connects(running, ABUSER) == "closed")
    killed = running.workers()[0]
    os.kill(killed, signal.SIGKILL)
    assert until(lambda: killed not in running.family() and len(running.workers()) == 2)
    for _ in range(6):  # the new one knows, too
        assert connects(running, ABUSER) == "closed"
    assert bans(running) == [ABUSER]
    assert running.reload(text).returncode == 0
    assert kernel_drops(running, ABUSER)
    # The new controller knows of the ban, and lets it end.
    assert running.command("unban", ABUSER).returncode == 0
    assert until(lambda: connects(running, ABUSER, 5) in ("200", "429"))


def test_behind_a_trusted_proxy_the_client_is_refused_and_the_proxy_never(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(
        config(
            upstream().address,
            server=['trusted_proxies = ["127.0.0.7"]'],
            more=limits("drop"),
        ),
        workers=2,
    )
    with Client(running.address, source="127.0.0.7") as proxy:
        statuses = [proxy.get("/x", "X-Forwarded-For: 203.0.113.7").status for _ in range(40)]
        assert set(statuses) == {200, 429}
        assert bans(running) == ["203.0.113.7"]
        assert proxy.get("/x", "X-Forwarded-For: 203.0.113.7").status == 429
        assert proxy.get("/x", "X-Forwarded-For: 203.0.113.8").status == 200
        for _ in range(60):  # the proxy itself, speaking for nobody
            proxy.get("/x")
    assert bans(running) == ["203.0.113.7"]
    refused = running.command("ban", "127.0.0.7")
    assert refused.returncode == 1
    assert "never banned: 127.0.0.7/32 is in server.trusted_proxies" in refused.stderr
    assert connects(running, "127.0.0.7") in ("200", "429")
    filtered = json.loads(running.command("bans", "--json").stdout)
    assert (filtered["enforced_by"], filtered["in_filter"]) == ("kernel", 0)
    assert filtered["bans"][0]["met_as"] == "client of a proxy"
    assert filtered["bans"][0]["enforced"] == "workers"


def test_the_exempt_are_never_banned_and_observing_bans_nobody(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    text = config(upstream().address, more=limits("drop"))
    running = gateway(text)
    assert set(abuse(running, EXEMPT)) == {200}
    assert running.command("ban", EXEMPT).returncode == 1
    observing = config(upstream().address, more=limits("drop", mode="observe"))
    assert running.reload(observing).returncode == 0
    assert set(abuse(running)) == {200}
    assert bans(running) == []


def test_another_action_ends_the_connections_that_the_last_one_left(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    text = config(upstream().address, more=limits("refuse"))
    running = gateway(text, workers=2)
    assert running.command("ban", ABUSER).returncode == 0
    with Client(running.address, source=ABUSER) as idle:
        assert running.reload(text.replace('"refuse"', '"close"')).returncode == 0
        assert idle.end() in ("closed", "reset")


def test_a_ban_of_ipv6_outlives_another_prefix(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    text = config(upstream().address, server=['bind = ["[::1]:0"]'], more=limits("close"))
    running = gateway(text, workers=2)

    def reachable() -> bool:
        try:
            with Client(running.address) as client:
                return client.get("/x").status == 200
        except (OSError, Broken):
            return False

    assert running.command("ban", "::1", "--for", "1h").returncode == 0
    assert until(lambda: not reachable())
    assert running.reload(text.replace("burst = 5", "burst = 5\nipv6_prefix = 56")).returncode == 0
    for _ in range(6):
        assert not reachable()
    assert running.command("unban", "::1").returncode == 0
    assert until(reachable)


def test_ipv6_is_banned_by_its_network(gateway: StartGateway, upstream: StartUpstream) -> None:
    running = gateway(config(upstream().address, server=['bind = ["[::1]:0"]']), workers=2)
    assert connects(running, "::1") == "200"
    done = running.command("ban", "::1", "--for", "1h")
    assert done.stdout.startswith("banned ::/64, the network of ::1, for 1h: "), done
    assert until(lambda: connects(running, "::1", 0.3) == "dropped")
    assert running.command("unban", "::2").returncode == 0  # the same network
    assert until(lambda: connects(running, "::1", 5) == "200")


def test_a_ban_says_why_the_kernel_does_not_keep_it(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    def act() -> None:
        set_filter_memory(100)
        running = gateway(config(upstream().address))
        done = running.command("ban", ABUSER)
        why = os.strerror(errno.ENOMEM)
        assert f": close at accept, as the kernel took no filter ({why})\n" in done.stdout
        assert f"bans: close at accept, workers only, as the kernel took no filter ({why})" in (
            running.command("bans").stdout
        )
        assert f"  bans: close (no filter: {why})\n" in running.command("status").stdout
        assert connects(running, ABUSER) == "closed"

    in_own_network(act)


def test_a_ban_does_not_wait_for_a_controller_that_stands_still(
    gateway: StartGateway, upstream: StartUpstream
) -> None:
    running = gateway(config(upstream().address))
    controller = running.controller()
    os.kill(controller, signal.SIGSTOP)
    try:
        done = running.command("ban", ABUSER)
        assert ": workers at once; kernel within a second\n" in done.stdout
        assert connects(running, ABUSER) == "closed"
    finally:
        os.kill(controller, signal.SIGCONT)
    assert kernel_drops(running, ABUSER)
