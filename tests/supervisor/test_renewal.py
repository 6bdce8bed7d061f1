"""Certificates that change in their files, from the controller's look to every process's config.

What clients see of it is tried in tests/tls and end_to_end; here it is what the log says and which
config the workers work by.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from authority import Authority, Issued
from echo_rig import Gateway, descendants, until


class Tls:
    """The certificate of a running echo gateway."""

    def __init__(self, gateway: Gateway, directory: Path) -> None:
        self.gateway = gateway
        self.directory = directory
        self.authority = Authority()
        self.lines = self.renew(self.authority.issue("a.test"))
        gateway.write(server=f"[server.tls]\n{self.lines}")

    def renew(self, issued: Issued) -> str:
        return issued.write(self.directory, "a")

    def renewed(self, times: int) -> None:
        """Wait until certificates were renewed so often."""
        until(
            lambda: len(self.gateway.events("certificates renewed")) >= times,
            "a renewal of certificates",
        )

    def generations(self) -> set[int]:
        return {answer["generation"] for answer in self.gateway.workers().values()}


@pytest.fixture
def tls(gateway: Gateway, tmp_path: Path) -> Tls:
    return Tls(gateway, tmp_path)


def test_new_files_reach_every_worker_and_keep_them(gateway: Gateway, tls: Tls) -> None:
    gateway.start("--controller")
    before = descendants(gateway.process.pid)
    with gateway.connect() as kept:
        tls.renew(tls.authority.issue("a.test", "b.test"))
        tls.renewed(1)
        assert tls.generations() == {2}
        assert descendants(gateway.process.pid) == before
        kept.sendall(b"who\n")
        assert kept.makefile("rb").readline()
    (event,) = gateway.events("certificates renewed")
    assert event["files"] == [f"{tls.directory}/a.pem"]
    assert gateway.events("reload begun") == []


def test_a_config_that_lies_there_half_edited_does_not_come_along(
    gateway: Gateway, tls: Tls
) -> None:
    gateway.start("--controller")
    gateway.write("two")
    tls.renew(tls.authority.issue("a.test"))
    tls.renewed(1)
    assert {answer["body"] for answer in gateway.workers().values()} == {"one"}
    gateway.config.write_text("[server\n")
    tls.renew(tls.authority.issue("a.test"))
    tls.renewed(2)
    assert tls.generations() == {3}


def test_half_a_renewal_is_told_once_and_taken_when_it_is_whole(gateway: Gateway, tls: Tls) -> None:
    gateway.start("--controller")
    new = tls.authority.issue("a.test")
    (tls.directory / "a.pem").write_bytes(new.cert)
    until(lambda: gateway.events("certificates not renewed"), "the refusal")
    (event,) = gateway.events("certificates not renewed")
    assert event["level"] == "error"
    assert event["detail"] == (
        f"{tls.directory}/a.key: does not belong to this certificate; name its own key"
    )
    assert tls.generations() == {1}
    # The same trouble, though the file has moved: nothing more is said.
    (tls.directory / "a.pem").write_bytes(new.cert)
    (tls.directory / "a.key").write_bytes(new.key)
    tls.renewed(1)
    assert tls.generations() == {2}
    assert len(gateway.events("certificates not renewed")) == 1


def test_a_reload_takes_them_too_and_nothing_is_renewed_again(gateway: Gateway, tls: Tls) -> None:
    gateway.start("--controller")
    tls.renew(tls.authority.issue("a.test"))
    assert gateway.reload()["msg"] == "reload done"
    first = max(tls.generations())
    settled = len(gateway.events("certificates renewed"))
    gateway.write("two")
    assert gateway.reload()["msg"] == "reload done"
    assert tls.generations() == {first + 1}
    assert len(gateway.events("certificates renewed")) == settled


def test_a_worker_that_starts_later_has_the_renewed_ones(gateway: Gateway, tls: Tls) -> None:
    gateway.start("--controller")
    tls.renew(tls.authority.issue("a.test"))
    tls.renewed(1)
    before = {worker["pid"] for worker in gateway.workers().values()}
    assert gateway.ask("exit") == {}
    until(lambda: gateway.events("child died"), "the end of a worker")
    assert {worker["pid"] for worker in gateway.workers().values()} != before
    assert tls.generations() == {2}


def test_tls_may_come_and_go_by_a_reload(gateway: Gateway, tls: Tls) -> None:
    gateway.write(server="")
    gateway.start("--controller")
    for server in (f"[server.tls]\n{tls.lines}", ""):
        gateway.write(server=server)
        assert gateway.reload()["msg"] == "reload done"
    with socket.create_connection(("127.0.0.1", gateway.port)):
        pass
