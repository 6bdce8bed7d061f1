"""Loading in a child: what comes out, and what cannot hurt."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from pathlib import Path

import pytest
from authority import Authority, Issued

from gwd.config.problems import ConfigError
from gwd.supervisor.loading import Loading, load_checked, renewed_checked

GOOD = """
[[routes]]
name = "a"
path = "/a/{x}"
respond = { redirect = "/b/{x}", status = 308 }
"""


@pytest.fixture
def config(tmp_path: Path):
    """Writes the text of a config; its path."""

    def write(text: str) -> str:
        file = tmp_path / "gwd.toml"
        file.write_text(text)
        return str(file)

    return write


def test_a_good_config_comes_out_as_a_snapshot_in_a_sealed_memfd(config):
    outcome = Loading(config(GOOD), {}).finish()
    assert outcome.errors == ()
    assert outcome.snapshot is not None
    assert outcome.snapshot.routes[0].name == "a"
    with pytest.raises(PermissionError):
        os.write(outcome.snapshot_fd, b"x")
    assert fcntl.fcntl(outcome.snapshot_fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    os.close(outcome.snapshot_fd)


def test_errors_come_out_as_lines(config):
    path = config("[server]\nworker = 1\nwatchdog = 3\n")
    outcome = Loading(path, {}).finish()
    assert outcome.snapshot is None
    assert [line.partition(": ")[0] for line in outcome.errors] == [f"{path}:2", f"{path}:3"]


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (lambda path, environ: os.abort(), "died of signal 6"),
        (lambda path, environ: os._exit(3), "ended with status 3"),
        (lambda path, environ: 1 // 0, "ended with status 70"),
    ],
)
def test_a_loader_that_crashes_is_a_refusal(config, capfd, loader, said: str):
    outcome = Loading(config(GOOD), {}, loader).finish()
    assert outcome.snapshot is None
    assert said in outcome.errors[0]
    capfd.readouterr()


def test_a_loader_that_takes_too_long_is_a_refusal(config):
    loading = Loading(config(GOOD), {}, lambda path, environ: signal.pause())
    loading.kill(timed_out=True)
    assert "not loaded within" in loading.finish().errors[0]


def test_endless_errors_are_cut_to_what_fits(config):
    text = "".join(f'[[routes]]\nname = "r{i}"\n' + f"x{'y' * 400} = 1\n" for i in range(3000))
    outcome = Loading(config(text), {}).finish()
    assert outcome.snapshot is None
    assert outcome.errors[-1] == "… and more of them"


def test_no_fd_is_left(config):
    before = len(os.listdir("/proc/self/fd"))
    Loading(config("nonsense"), {}).finish()
    outcome = Loading(config(GOOD), {}).finish()
    os.close(outcome.snapshot_fd)
    assert len(os.listdir("/proc/self/fd")) == before


def problems(path: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_checked(path, {})
    return [str(problem).removeprefix(f"{path}:") for problem in refused.value.problems]


def test_the_trial_finds_routes_that_no_request_can_tell_apart(config):
    again = GOOD.replace('"a"', '"again"').replace("{x}", "{y}")
    (problem,) = problems(config(GOOD + again))
    assert problem.startswith("9: routes[1].path: ")
    assert "GET /a/x" in problem


def test_the_trial_builds_what_workers_will_build(config):
    found = problems(config(GOOD.replace('"/b/{x}"', '"/b/{nobody}"')))
    assert len(found) == 1
    assert "nobody" in found[0]
    assert found[0].startswith("5: routes[0].respond.redirect: ")


def test_the_trial_reads_the_keys(config, tmp_path: Path):
    (tmp_path / "jwks.json").write_text('{"keys": [{"kty": "RSA", "n": "x"}]}')
    verifier = f"""
[auth.main]
type = "jwt"
issuer = "https://issuer.example"
audience = "api"
algorithms = ["RS256"]
jwks_file = "{tmp_path}/jwks.json"
"""
    (problem,) = problems(config(GOOD + verifier))
    assert "auth.main.jwks_file" in problem


def test_the_trial_asks_openssl_about_certificates(config, tmp_path: Path):
    """Of a chain's weak part only OpenSSL knows."""
    root = Authority()
    middle = Authority("in the middle", root, kind="rsa1024")
    issued = middle.issue("a.test")
    lines = Issued(issued.cert + middle.pem, issued.key).write(tmp_path, "a")
    (problem,) = problems(config(f"[server.tls]\n{lines}{GOOD}"))
    assert problem.startswith(
        "1: server.tls: OpenSSL does not take a certificate: ca key too small"
    )


def test_a_renewal_asks_openssl_too(config, tmp_path: Path):
    root = Authority()
    issued = root.issue("a.test")
    snapshot = load_checked(
        config(f"[server.tls]\n{issued.write(tmp_path, 'a')}{GOOD}"), {}
    ).snapshot
    assert renewed_checked(snapshot).snapshot == snapshot
    middle = Authority("in the middle", root, kind="rsa1024")
    weak = middle.issue("a.test")
    Issued(weak.cert + middle.pem, weak.key).write(tmp_path, "a")
    with pytest.raises(ConfigError) as refused:
        renewed_checked(snapshot)
    (problem,) = refused.value.problems
    assert str(problem) == f"{tmp_path}/a.pem: OpenSSL does not take it: ca key too small"


BOUND = "[server]\nworkers = 2\nmax_connections = {}\n"
UPSTREAM = '[upstreams.app]\nendpoints = ["127.0.0.1:1"]\nmax_connections = 500\n'


@pytest.mark.parametrize(
    ("text", "limit", "said"),
    [
        (BOUND.format(9000), 4096, "9000 connections are more than the descriptors are enough for"),
        (BOUND.format(9000), 4096, "8160 in 2 workers, at a hard limit of 4096 open files"),
        (BOUND.format(8000), 4096, ""),
        (BOUND.format(8000) + UPSTREAM, 4096, "7160 in 2 workers"),
        (BOUND.format('"${MOST}"'), 4096, '"${MOST}" connections are more than'),
        (BOUND.format(10_000_000), resource.RLIM_INFINITY, ""),
        ("[server]\nworkers = 1\n", 1024, ""),
    ],
)
def test_connections_that_the_descriptors_do_not_suffice_for_are_warned_of(
    config, monkeypatch: pytest.MonkeyPatch, text: str, limit: int, said: str
):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, limit))
    loaded = load_checked(config(text + GOOD), {"MOST": "1000000"})
    assert [w.key for w in loaded.warnings] == ["server.max_connections"] * bool(said)
    assert said in "".join(w.message for w in loaded.warnings)
    assert [w.severity for w in loaded.warnings] == ["warning"] * bool(said)
