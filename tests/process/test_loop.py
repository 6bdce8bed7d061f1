"""Which event loop children run."""

from __future__ import annotations

import asyncio
import sys

import pytest

from gwd.process.loop import new_loop


@pytest.fixture
def made():
    """Closes the loop that the test makes."""
    loops: list[asyncio.AbstractEventLoop] = []
    yield loops
    for loop in loops:
        loop.close()
    asyncio.set_event_loop(None)


def test_uvloop_is_taken_where_it_is_installed(made, monkeypatch):
    pytest.importorskip("uvloop")
    monkeypatch.delenv("GWD_EVENT_LOOP", raising=False)
    made.append(new_loop())
    assert type(made[0]).__module__.startswith("uvloop")


def test_asyncio_can_be_asked_for(made, monkeypatch, capsys):
    monkeypatch.setenv("GWD_EVENT_LOOP", "asyncio")
    made.append(new_loop())
    assert type(made[0]).__module__.startswith("asyncio")
    assert capsys.readouterr().err == ""


def test_without_uvloop_there_is_one_warning_and_asyncio(made, monkeypatch, capsys):
    monkeypatch.delenv("GWD_EVENT_LOOP", raising=False)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    made.append(new_loop())
    assert type(made[0]).__module__.startswith("asyncio")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "uvloop is not usable" in said
