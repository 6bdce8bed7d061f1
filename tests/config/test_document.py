from __future__ import annotations

from pathlib import Path

from gwd.config.document import document

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_current() -> None:
    again = "python -m gwd.config.document > docs/configuration.md"
    assert PAGE.read_text() == document(), f"run {again}"


def test_every_table_has_its_section() -> None:
    page = document()
    for title in ("[server]", "[server.tls]", "[limits.per_ip]", "[upstreams.NAME.health]"):
        assert f"## `{title}`" in page
    for title in ("[[routes]]", "[[routes.parts]]", "[routes.respond]"):
        assert f"## `{title}`" in page


def test_what_is_not_built_is_in_no_table_of_keys() -> None:
    tables, _, rest = document().partition("## Not built yet")
    assert "| `ejection`" not in tables
    assert "| `token_file`" not in tables
    assert "| `rate_key` |" in tables
    assert "`upstreams.NAME.ejection` | warning" in rest
