from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authority import Authority

from gwd.config.problems import ConfigError
from gwd.config.snapshot import Snapshot, pack, unpack
from gwd.config.tls_files import renewed

ROUTE = '[[routes]]\nname = "r"\npath = "/*"\nrespond = { body = "x" }\n'


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def served(authority: Authority, tmp_path: Path, good: Any) -> Callable[[], Snapshot]:
    """A config with two certificates and a client authority, loaded."""
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    first = authority.issue("a.test").write(tmp_path, "a")
    second = authority.issue("b.test", "*.b.test").write(tmp_path, "b")
    text = (
        '[server]\nbind = [{ address = "127.0.0.1:0", client_auth = "required" }]\n'
        f'[server.tls]\n{first}client_ca = "{tmp_path}/ca.pem"\n'
        f"[[server.tls.certificates]]\n{second}{ROUTE}"
    )
    return lambda: good(text).snapshot


def test_certificates_come_with_their_names_in_the_order_of_the_file(served: Any) -> None:
    tls = served().server.tls
    assert tls is not None
    assert [c.names for c in tls.certificates] == [("a.test",), ("b.test", "*.b.test")]
    assert tls.client_ca.startswith(b"-----BEGIN CERTIFICATE")


def test_they_survive_the_way_to_a_child_and_no_key_is_shown(served: Any) -> None:
    snapshot = served()
    assert unpack(pack(snapshot)) == snapshot
    assert "PRIVATE KEY" not in repr(snapshot)


def test_other_certificates_are_not_another_config(
    served: Any, authority: Authority, tmp_path: Path
) -> None:
    before = served()
    authority.issue("a.test").write(tmp_path, "a")
    after = served()
    assert before != after
    assert before.digest == after.digest


def test_a_certificate_that_cannot_be_read_is_told_with_the_reason(
    wrong: Any, tmp_path: Path, authority: Authority
) -> None:
    authority.issue("a.test").write(tmp_path, "a")
    text = f'[server.tls]\ncert = "{tmp_path}/no.pem"\nkey = "{tmp_path}/a.key"\n{ROUTE}'
    (error,) = wrong(text)
    assert error.startswith("2: server.tls.cert: ")
    assert "cannot be read: no such file or directory" in error


def test_a_key_that_everybody_can_read_is_refused(
    wrong: Any, tmp_path: Path, authority: Authority
) -> None:
    lines = authority.issue("a.test").write(tmp_path, "a")
    (tmp_path / "a.key").chmod(0o644)
    (error,) = wrong(f"[server.tls]\n{lines}{ROUTE}")
    assert error.startswith("3: server.tls.key: ")
    assert "chmod o-rwx" in error


def test_a_mismatch_is_told_at_the_key_of_its_item(
    wrong: Any, tmp_path: Path, authority: Authority
) -> None:
    first = authority.issue("a.test").write(tmp_path, "a")
    authority.issue("b.test").write(tmp_path, "b")
    text = f'[server.tls]\n{first}[[server.tls.certificates]]\ncert = "{tmp_path}/b.pem"\n'
    (error,) = wrong(text + f'key = "{tmp_path}/a.key"\n{ROUTE}')
    assert error.startswith("6: server.tls.certificates[0].key: ")
    assert "does not belong" in error


def test_an_expired_certificate_is_served_with_a_warning(
    good: Any, tmp_path: Path, authority: Authority
) -> None:
    lines = authority.issue("a.test", begins=-9, days=-1).write(tmp_path, "a")
    loaded = good(f"[server.tls]\n{lines}{ROUTE}")
    (warning,) = loaded.warnings
    assert "server.tls.cert: warning: names a file that has expired" in str(warning)
    assert loaded.snapshot.server.tls is not None


def test_a_name_that_is_there_twice_is_warned_of(
    good: Any, tmp_path: Path, authority: Authority
) -> None:
    first = authority.issue("a.test").write(tmp_path, "a")
    second = authority.issue("b.test", "a.test").write(tmp_path, "b")
    text = f"[server.tls]\n{first}[[server.tls.certificates]]\n{second}{ROUTE}"
    (warning,) = good(text).warnings
    assert "has the name a.test as one before it has" in warning.message


def test_a_key_written_into_the_config_is_not_shown(
    wrong: Any, tmp_path: Path, authority: Authority
) -> None:
    key = authority.issue("a.test").key.decode()
    inline = key.replace("\n", "\\n")
    for value in (f'"""{key}"""', f'"{inline}"'):
        for error in wrong(f'[server.tls]\ncert = "{tmp_path}/no"\nkey = {value}\n{ROUTE}'):
            assert "BEGIN" not in error
            assert key.splitlines()[1][:12] not in error


# renewal


def test_a_renewal_takes_all_files_anew(served: Any, authority: Authority, tmp_path: Path) -> None:
    before = served()
    new = authority.issue("a.test", "new.test")
    new.write(tmp_path, "a")
    found = renewed(before)
    assert found.warnings == []
    tls = found.snapshot.server.tls
    assert tls is not None
    assert tls.certificates[0].names == ("a.test", "new.test")
    assert tls.certificates[0].key == new.key
    assert tls.certificates[1] == before.server.tls.certificates[1]
    assert found.snapshot.digest == before.digest


def test_a_renewal_without_changes_is_the_same_config(served: Any) -> None:
    before = served()
    assert renewed(before).snapshot == before


def test_half_a_renewal_is_refused(served: Any, authority: Authority, tmp_path: Path) -> None:
    before = served()
    new = authority.issue("a.test")
    (tmp_path / "a.pem").write_bytes(new.cert)
    with pytest.raises(ConfigError) as refused:
        renewed(before)
    (problem,) = refused.value.problems
    assert str(problem) == f"{tmp_path}/a.key: does not belong to this certificate; " + (
        "name its own key"
    )
    (tmp_path / "a.key").write_bytes(new.key)
    assert renewed(before).snapshot != before


def test_files_that_are_gone_are_told_together(served: Any, tmp_path: Path) -> None:
    before = served()
    os.unlink(tmp_path / "a.pem")
    os.unlink(tmp_path / "ca.pem")
    with pytest.raises(ConfigError) as refused:
        renewed(before)
    assert [p.file for p in refused.value.problems] == [f"{tmp_path}/a.pem", f"{tmp_path}/ca.pem"]
