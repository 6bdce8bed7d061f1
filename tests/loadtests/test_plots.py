"""Plots are well-formed XML, hold what the rounds say, and stay inside their frame."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import pytest

from loadtests.compare import plots
from loadtests.compare.rounds import Round, failure
from loadtests.compare.wrk import Load

SVG = "{http://www.w3.org/2000/svg}"


def made(peer: str, work: str, cpu: float) -> Round:
    return Round(peer, work, cpu, 40.0, Load(1000, 333.4, 1.234, 5.678, ""))


ROUNDS = [
    made("gwd", "repeat", 30.0),
    made("gwd", "repeat", 36.0),
    made("nginx", "repeat", 20.0),
    made("<odd> & co", "repeat", 1000.0),
    failure("envoy", "repeat", "it did not start"),
    made("gwd", "get1m", 400.0),
    made("nginx", "get1m", 0.5),
]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in Xml.fromstring(svg).iter(f"{SVG}text")]


def test_costs_are_told_in_figures_too() -> None:
    found = texts(plots.costs(ROUNDS))
    assert "30.0 to 36.0" in found
    assert "20.0 to 20.0" in found
    assert "failed" in found
    assert "<odd> & co" in found


def test_ratios_have_a_dot_per_work_and_peer() -> None:
    svg = plots.ratios(ROUNDS, [made("gwd", "repeat", 30.0), made("nginx", "repeat", 15.0)])
    dots = list(Xml.fromstring(svg).iter(f"{SVG}circle"))
    hollow = [dot for dot in dots if dot.get("fill") == "#ffffff"]
    legend = 3
    assert len(hollow) == 1
    assert len(dots) == 3 + len(hollow) + legend


@pytest.mark.parametrize("rounds", [[], ROUNDS, [failure("gwd", "repeat", "no")]])
def test_nothing_lies_outside_the_frame(rounds: list[Round]) -> None:
    for svg in (plots.costs(rounds), plots.ratios(rounds)):
        root = Xml.fromstring(svg)
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        for element in root:
            for name, most in (
                ("x", width),
                ("x1", width),
                ("x2", width),
                ("cx", width),
                ("y", height),
                ("y1", height),
                ("cy", height),
            ):
                assert 0 <= float(element.get(name, "0")) <= most, Xml.tostring(element)
