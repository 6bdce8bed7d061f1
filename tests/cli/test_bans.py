"""`gwd ban`, `unban`, `bans`: quick to load, and clear about whom, how and why not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from gwd.cli.shut_out import kept_by, those_that_hold
from gwd.http.addresses import limit_key
from gwd.segment.bans import BY_HAND, FILTER_FAILED, FILTER_OFF, FILTER_ON, RATE, Bans
from gwd.segment.memory import Segment, Sizes
from gwd.supervisor.pidfile import Found

LIMITS = """
[limits]
exempt = ["203.0.113.0/24", "2001:db8:0:1::7"]
[limits.per_ip]
rate = "10/s"
ipv6_prefix = {prefix}
[limits.ban]
action = "{action}"
"""
HEAVY = ("pydantic", "h11", "uvloop", "jwt", "asyncio")


def limit(running, action: str = "drop", prefix: int = 64) -> None:
    running.write(server='trusted_proxies = ["198.51.100.9"]')
    with running.config.open("a") as file:
        file.write(LIMITS.format(action=action, prefix=prefix))


@pytest.mark.parametrize("command", ["ban", "unban", "bans"])
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        "import sys\nfrom gwd.cli import main\n"
        f"try: main([{command!r}, '--help'])\nexcept SystemExit: pass\n"
        f"print([m for m in (*{HEAVY!r}, 'gwd.segment.bans') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert "Examples:" in done.stdout


def test_without_a_daemon_the_exit_code_is_3(running):
    assert running.gwd("ban", "203.0.113.7").returncode == 3
    assert running.gwd("unban", "203.0.113.7").returncode == 3
    assert running.gwd("bans").returncode == 3


def test_nothing_heavy_is_loaded_to_ban_either(running):
    running.start()
    for arguments in (["ban", "192.0.2.1"], ["bans"], ["unban", "192.0.2.1"], ["status"]):
        code = (
            "import sys\nfrom gwd.cli import main\n"
            f"try: main([*{arguments!r}, '--admin', {running.admin!r}])\n"
            "except SystemExit as end: print(end.code)\n"
            f"print([m for m in {HEAVY!r} if m in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=running.environ
        )
        assert done.stdout.endswith("\n0\n[]\n"), done


def test_a_ban_by_hand_is_listed_and_lifted(running):
    running.start()
    done = running.gwd("ban", "2001:db8::7", "--for", "90s")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("banned 2001:db8::/64, the network of 2001:db8::7, for 90s: ")
    assert second == "undo: gwd unban 2001:db8::7"
    header, _, titles, row = running.gwd("bans").stdout.splitlines()
    assert header.startswith("1 banned  bans: ")
    assert titles.split() == ["ADDRESS", "REASON", "SINCE", "LEFT", "ENFORCED"]
    assert row.split()[:3] == ["2001:db8::/64", "by", "hand"]
    assert "banned 1, turned away 0" in running.gwd("status").stdout
    assert running.gwd("unban", "2001:db8::/64").stdout == "unbanned 2001:db8::/64\n"
    assert running.gwd("bans").stdout.startswith("0 banned")
    again = running.gwd("unban", "2001:db8::7")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "gwd: 2001:db8::/64 is not banned; gwd bans lists who is\n"


def test_the_list_is_sorted_by_what_is_left(running):
    running.start()
    for address, span in (("192.0.2.1", "1m"), ("192.0.2.2", "2h"), ("192.0.2.3", "30m")):
        assert running.gwd("ban", address, "--for", span).returncode == 0
    found = json.loads(running.gwd("bans", "--json").stdout)
    assert [ban["address"][-1] for ban in found["bans"]] == ["2", "3", "1"]
    assert found["total"] == 3
    assert {ban["reason"] for ban in found["bans"]} == {"by hand"}
    assert 7190 < found["bans"][0]["left"] <= 7200


def test_an_operator_may_shorten_a_ban(running):
    running.start()
    running.gwd("ban", "192.0.2.1", "--for", "2h")
    running.gwd("ban", "192.0.2.1", "--for", "1m")
    (ban,) = json.loads(running.gwd("bans", "--json").stdout)["bans"]
    assert ban["left"] <= 60


def test_who_is_never_banned_is_refused_with_the_list_that_says_so(running):
    limit(running)
    running.start()
    for address, why in (
        ("203.0.113.7", "203.0.113.0/24 is in limits.exempt"),
        ("::ffff:203.0.113.7", "203.0.113.0/24 is in limits.exempt"),
        ("198.51.100.9", "198.51.100.9/32 is in server.trusted_proxies"),
        ("2001:db8:0:1::7", "2001:db8:0:1::7/128 is in limits.exempt"),
    ):
        done = running.gwd("ban", address)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"gwd: {address} is never banned: {why}\n"
    neighbour = running.gwd("ban", "2001:db8:0:1::8")
    assert "its network holds addresses that are never banned" in neighbour.stdout
    assert "2001:db8:0:1::/64" in running.gwd("bans").stdout


def test_another_config_is_known_after_a_reload(running):
    running.start()
    assert running.gwd("ban", "203.0.113.7").returncode == 0
    limit(running, "refuse", prefix=48)
    assert running.gwd("reload").returncode == 0
    assert running.gwd("ban", "203.0.113.7").returncode == 1
    assert running.gwd("unban", "203.0.113.7").returncode == 0
    done = running.gwd("ban", "2001:db8:7:7::1")
    assert done.stdout.startswith("banned 2001:db8:7::/48, the network of 2001:db8:7:7::1, for 10m")
    assert done.stdout.splitlines()[0].endswith(": 429")
    assert running.gwd("bans").stdout.startswith("1 banned  bans: refuse, 429\n")
    limit(running, "close")
    assert running.gwd("reload").returncode == 0
    done = running.gwd("ban", "2001:db8:7:7::1")
    assert done.stdout.splitlines()[0].endswith(": close at accept")
    lifted = running.gwd("unban", "2001:db8:7:7::1")  # of whichever size
    assert sorted(lifted.stdout.splitlines()) == [
        "unbanned 2001:db8:7:7::/64",
        "unbanned 2001:db8:7::/48",
    ]
    assert running.gwd("bans").stdout == "0 banned  bans: close at accept\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ban", "nonsense"], "'nonsense' is not an IP address"),
        (["ban", "203.0.113.0/24"], "one IPv4 address, or IPv6 by /64"),
        (["ban", "2001:db8::/48"], "one IPv4 address, or IPv6 by /64"),
        (["ban", "203.0.113.7", "--for", "soon"], "'soon' is not a duration"),
        (["ban", "203.0.113.7", "--for", "0s"], "--for"),
        (["ban", "203.0.113.7", "--for", "31d"], "30 days at most"),
        (["unban", "203.0.113.300"], "is not an IP address"),
        (["ban"], "Missing argument"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(running, arguments: list[str], said: str) -> None:
    running.start()
    done = running.gwd(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert json.loads(running.gwd("bans", "--json").stdout)["total"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_is_told_whose_gateway_it_is(running):
    running.start()
    code = (
        "import os, sys\nfrom gwd.supervisor.daemon import Daemon, NoDaemon\n"
        "from gwd.supervisor import pidfile\n"
        "found = pidfile.find(sys.argv[1], [], {})\nos.setgid(65534); os.setuid(65534)\n"
        "for writable in (False, True):\n"
        "    try: Daemon(found, writable=writable)\n"
        "    except NoDaemon as error: print(error)"
    )
    command = [sys.executable, "-c", code, running.admin]
    done = subprocess.run(command, capture_output=True, text=True, env=running.environ)
    assert [line.partition("but ")[2] for line in done.stdout.splitlines()] == [
        "only its own user and root may read its state",
        "only its own user and root may change its state",
    ], done


# who keeps them out


class Table:
    def __init__(self, action: str = "drop", **found: object) -> None:
        self.segment = Segment.create(
            Sizes(max_workers=2, max_ips=4096, max_endpoints=4, max_routes=4)
        )
        self.bans = Bans(self.segment)
        self.now = time.monotonic_ns() // 1000
        self.found = Found(
            pid=1, segment_fd=3, started=0, addresses=(), workers=1, ban_action=action, **found
        )

    def ban(self, ip: str, reason: int = RATE, peer: bool = True, prefix: int = 64) -> None:
        key = limit_key(ip, prefix)
        until = self.now + 60_000_000
        size = 32 if len(key) == 4 else prefix
        assert self.bans.ban(key, size, self.now, until, reason, peer=peer)

    def filter(self, state: int, addresses: int, errno: int = 0) -> None:
        self.bans.filter_is(state, errno, addresses, self.bans.sequence)

    def kept(self) -> dict[str, str]:
        running = self.bans.running(self.now)
        kept = kept_by(self.bans, running, self.now, self.found)
        families = {4: socket.AF_INET, 16: socket.AF_INET6}
        return {socket.inet_ntop(families[len(key)], key): who for key, who in kept.items()}


@pytest.fixture
def table():
    tables: list[Table] = []

    def make(*arguments: object, **options: object) -> Table:
        tables.append(Table(*arguments, **options))
        return tables[-1]

    yield make
    for each in tables:
        each.segment.close()


def test_the_kernel_keeps_peers_that_it_has_taken_note_of(table) -> None:
    it = table(never_banned={"limits.exempt": ("2001:db8:0:1::7",)})
    it.ban("192.0.2.1")
    it.ban("192.0.2.2", peer=False)
    it.ban("2001:db8:0:1::")
    it.filter(FILTER_ON, 1)
    it.ban("192.0.2.3")
    assert it.kept() == {
        "192.0.2.1": "kernel",
        "192.0.2.2": "workers",  # a proxy's client
        "2001:db8:0:1::": "workers",  # somebody in there is never banned
        "192.0.2.3": "workers",  # the filter is older
    }
    it.filter(FILTER_ON, 2)
    assert it.kept()["192.0.2.3"] == "kernel"


@pytest.mark.parametrize("state", [FILTER_OFF, FILTER_FAILED])
def test_without_a_filter_it_is_the_workers(table, state: int) -> None:
    it = table()
    it.ban("192.0.2.1")
    it.filter(state, 1)
    assert it.kept() == {"192.0.2.1": "workers"}


def test_a_full_filter_is_not_guessed_about(table) -> None:
    it = table()
    for number in range(5):
        it.ban(f"192.0.2.{number}")
    it.ban("198.51.100.1", BY_HAND)
    it.ban("198.51.100.2", BY_HAND)
    it.filter(FILTER_ON, 3)
    kept = it.kept()
    assert kept.pop("198.51.100.1") == kept.pop("198.51.100.2") == "kernel"  # they come first
    assert set(kept.values()) == {"kernel or workers"}
    it.filter(FILTER_ON, 1)
    assert set(it.kept().values()) == {"kernel or workers"}


def test_an_address_is_found_in_bans_of_every_size(table) -> None:
    it = table()
    it.ban("2001:db8:0:7::", prefix=64)
    it.ban("2001:db8::", prefix=48)
    it.ban("192.0.2.1")
    running = it.bans.running(it.now)

    def texts(text: str) -> set[str]:
        return {each.text for each in those_that_hold(text, running)}

    assert texts("2001:db8:0:7::9") == {"2001:db8:0:7::/64", "2001:db8::/48"}
    assert texts("2001:db8:0:7::/64") == {"2001:db8:0:7::/64"}
    assert texts("2001:db8:0:8::1") == {"2001:db8::/48"}
    assert texts("64:ff9b::192.0.2.1") == {"192.0.2.1"}
    assert texts("192.0.2.2") == texts("2001:db9::1") == set()
