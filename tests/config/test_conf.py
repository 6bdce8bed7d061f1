from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from authority import Authority

from gwd.config.load import load

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "conf/gwd.toml", *sorted(ROOT.glob("conf/examples/*.toml"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_shipped_file_is_good(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    loaded = load(str(file), {})
    assert loaded.warnings == []
    assert loaded.snapshot.routes


def test_the_start_file_is_still_good_with_its_comments_taken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "conf/gwd.toml").read_text()
    text = re.sub(r"^# (?=\[|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    text = text.replace("/var/log/gwd/access.log", "access.log")
    authority = Authority()
    for cert, key in ("fullchain.pem", "privkey.pem"), ("shop.pem", "shop.key"):
        issued = authority.issue(f"{cert}.test")
        (tmp_path / cert).write_bytes(issued.cert)
        (tmp_path / key).write_bytes(issued.key)
        (tmp_path / key).chmod(0o600)
    text = text.replace("/etc/gwd/tls", str(tmp_path))
    text = text.replace("conf/jwks.json", "conf/examples/jwks.json")
    assert "ready_path" in tomllib.loads(text)["server"]
    (tmp_path / "gwd.toml").write_text(text)
    loaded = load(str(tmp_path / "gwd.toml"), {})
    assert loaded.warnings == []
    assert loaded.snapshot.routes[0].auth == ("main",)
    assert loaded.snapshot.server.bind[0].tls
