from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority

from gwd.config.load import load
from gwd.config.snapshot import Snapshot
from gwd.controller.certificates import AGAIN, CertificateWatch

ROUTE = '[[routes]]\nname = "r"\npath = "/*"\nrespond = { body = "x" }\n'


class Rig:
    """A watch whose supervisor is a list."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority()
        self.told: list[dict[str, Any]] = []
        self.listens = True
        self.now = 1000.0
        self.loop = asyncio.new_event_loop()
        self.logged: list[tuple[str, str, dict[str, object]]] = []
        self.watch = CertificateWatch(self.loop, self.tell, self.log, self.broken)
        (directory / "ca.pem").write_bytes(self.authority.pem)
        self.renew()

    def tell(self, message: dict[str, Any]) -> bool:
        if self.listens:
            self.told.append(message)
        return self.listens

    def log(self, level: str, event: str, **fields: object) -> None:
        self.logged.append((level, event, fields))

    def broken(self, error: BaseException) -> None:
        raise error

    def renew(self) -> None:
        """Other files in the same places."""
        self.lines = self.authority.issue("a.test").write(self.directory, "a")

    def load(self) -> Snapshot:
        file = self.directory / "gwd.toml"
        text = '[server]\nbind = [{ address = "127.0.0.1:0", client_auth = "optional" }]\n'
        text += f'[server.tls]\n{self.lines}client_ca = "{self.directory}/ca.pem"\n'
        file.write_text(text + ROUTE)
        return load(str(file), {}).snapshot

    def looks(self, times: int = 1) -> int:
        """Have it look so often, a second apart; how often it told."""
        before = len(self.told)
        for _ in range(times):
            self.now += 1.0
            self.watch.look(self.now)
        return len(self.told) - before


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.watch.configure(rig.load(), 7)
    yield rig
    rig.loop.close()


def test_files_that_stay_are_told_of_to_nobody(rig: Rig) -> None:
    assert rig.looks(5) == 0


def test_files_that_changed_are_told_once_they_have_come_to_rest(rig: Rig) -> None:
    rig.looks(2)
    rig.renew()
    assert rig.looks() == 0
    assert rig.looks() == 1
    assert rig.told == [{"op": "certificates_changed", "generation": 7}]


def test_files_that_go_on_changing_are_waited_for(rig: Rig) -> None:
    rig.looks(2)
    for _ in range(3):
        rig.renew()
        assert rig.looks() == 0
    assert rig.looks(2) == 1


def test_what_changed_before_the_first_look_is_seen(rig: Rig) -> None:
    rig.renew()
    assert rig.looks(2) == 1


def test_a_touch_is_no_change(rig: Rig) -> None:
    rig.looks(2)
    os.utime(rig.directory / "a.pem")
    assert rig.looks(3) == 0


def test_a_link_that_leads_elsewhere_is_a_change(rig: Rig) -> None:
    """As Kubernetes does it: data → generation, file → data/file."""
    for generation in ("one", "two"):
        (rig.directory / generation).mkdir()
        rig.authority.issue("a.test").write(rig.directory / generation, "a")
    (rig.directory / "data").symlink_to("one")
    rig.lines = f'cert = "{rig.directory}/data/a.pem"\nkey = "{rig.directory}/data/a.key"\n'
    rig.watch.configure(rig.load(), 8)
    assert rig.looks(3) == 0
    (rig.directory / "new").symlink_to("two")
    (rig.directory / "new").rename(rig.directory / "data")
    assert rig.looks(2) == 1


def test_the_client_authorities_are_watched_too(rig: Rig) -> None:
    rig.looks(2)
    (rig.directory / "ca.pem").write_bytes(Authority().pem)
    assert rig.looks(2) == 1


def test_what_is_refused_is_told_again_in_a_while_or_when_it_changes(rig: Rig) -> None:
    rig.looks(2)
    rig.renew()
    assert rig.looks(2) == 1
    assert rig.looks(10) == 0
    assert rig.looks(int(AGAIN)) == 1
    rig.renew()
    assert rig.looks(2) == 1


def test_a_supervisor_that_does_not_listen_is_told_at_the_next_look(rig: Rig) -> None:
    rig.looks(2)
    rig.renew()
    rig.listens = False
    assert rig.looks(3) == 0
    rig.listens = True
    assert rig.looks() == 1


def test_what_was_taken_is_the_new_measure(rig: Rig) -> None:
    rig.looks(2)
    rig.renew()
    assert rig.looks(2) == 1
    rig.watch.configure(rig.load(), 8)
    assert rig.looks(3 + int(AGAIN)) == 0


def test_files_that_are_gone_are_waited_for(rig: Rig) -> None:
    rig.looks(2)
    os.unlink(rig.directory / "a.pem")
    assert rig.looks(3) == 0
    rig.renew()
    assert rig.looks(2) == 1


def test_a_file_nobody_can_read_is_left_to_the_supervisors_judgement(rig: Rig) -> None:
    rig.looks(2)
    os.unlink(rig.directory / "a.key")
    (rig.directory / "a.key").mkdir()
    assert rig.looks(2) == 1


def test_without_tls_nothing_is_looked_at(rig: Rig) -> None:
    file = rig.directory / "plain.toml"
    file.write_text(ROUTE)
    rig.watch.configure(load(str(file), {}).snapshot, 8)
    rig.renew()
    assert rig.looks(3) == 0


def test_a_certificate_that_ends_soon_is_told_of_once_a_day(rig: Rig) -> None:
    start, clock = rig.loop.time(), time.time()
    for day in range(70):
        rig.watch.warn(start + 3600 + day * 86400, clock + day * 86400)
    (_, event, fields), *_ = rig.logged
    assert event == "certificate ends soon"
    assert fields == {"file": f"{rig.directory}/a.pem", "days": 29}
    assert [fields["days"] for _, _, fields in rig.logged] == list(range(29, 19, -1))
    rig.watch.warn(start + 200 * 86400, clock + 200 * 86400)
    assert rig.logged[-1][2]["days"] == 0
