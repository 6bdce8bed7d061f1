"""Two plots of a run, as SVG made by hand: what each work costs, and gwd's cost over its peers'.

A figure is drawn as a bar up to the lowest round with a line on to the highest, so that nobody
reads more from a difference than the rounds allow. Works differ by a factor of fifty, so each has
an axis of its own; ratios share one, which is logarithmic: half as dear and twice as dear are
equally far from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from loadtests.compare import rounds as of_rounds
from loadtests.compare.rounds import OWN, Round

_COLOURS = {
    "gwd": "#c2410c",
    "nginx": "#15803d",
    "haproxy": "#1d4ed8",
    "envoy": "#7e22ce",
    "caddy": "#0e7490",
    "python": "#a16207",
}
_OTHER, _INK, _FAINT = "#475569", "#1e293b", "#cbd5e1"
_LEFT, _WIDTH, _LINE, _TITLE = 90, 720, 18, 30
_LEAST, _MOST = 0.1, 10.0
"""Ends of the axis of ratios; what lies beyond is drawn at its end."""


class _Drawing:
    def __init__(self, height: float, title: str) -> None:
        size = {"width": str(_WIDTH), "height": f"{height:.0f}"}
        view = {"viewBox": f"0 0 {_WIDTH} {height:.0f}", "role": "img", "aria-label": title}
        font = {"font-family": "sans-serif", "font-size": "12"}
        svg = {"xmlns": "http://www.w3.org/2000/svg"}
        self.root = Xml.Element("svg", svg | size | view | font)
        # A page may be dark; ink is not.
        self.box(0, 0, _WIDTH, height, "#ffffff")
        self.text(8, 20, title, bold=True)

    def box(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}"}
        size = {"width": f"{max(width, 0.5):.1f}", "height": f"{height:.1f}"}
        Xml.SubElement(self.root, "rect", place | size | {"fill": fill})

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str) -> None:
        start = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}"}
        end = {"x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
        Xml.SubElement(self.root, "line", start | end | {"stroke": stroke})

    def dot(self, x: float, y: float, colour: str, *, hollow: bool) -> None:
        place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "4", "stroke": colour}
        Xml.SubElement(self.root, "circle", place | {"fill": "#ffffff" if hollow else colour})

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False
    ) -> None:
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": _INK}
        if bold:
            place["font-weight"] = "bold"
        Xml.SubElement(self.root, "text", place).text = text

    def svg(self) -> str:
        Xml.indent(self.root)
        return Xml.tostring(self.root, encoding="unicode") + "\n"


def costs(rounds: Sequence[Round]) -> str:
    """CPU µs per request, a group of bars per work."""
    works, peers = of_rounds.names(rounds)
    groups = [(work, [p for p in peers if of_rounds.of(rounds, work, p)]) for work in works]
    height = _TITLE + sum(_LINE * (len(there) + 1.5) for _, there in groups) + 8
    drawing = _Drawing(height, "CPU µs per request: bar to the lowest round, line to the highest")
    y = float(_TITLE)
    for work, there in groups:
        y += _LINE
        drawing.text(8, y - 4, work, bold=True)
        found = [of_rounds.cost(rounds, work, peer) for peer in there]
        most = max((cost[1] for cost in found if cost), default=1.0)
        scale = (_WIDTH - _LEFT - 110) / most
        for peer, cost in zip(there, found, strict=True):
            drawing.text(_LEFT - 6, y + 13, peer, anchor="end")
            if cost is None:
                drawing.text(_LEFT + 4, y + 13, "failed")
            else:
                low, high = (value * scale for value in cost)
                drawing.box(_LEFT, y + 3, low, _LINE - 6, _COLOURS.get(peer, _OTHER))
                drawing.line(_LEFT, y + 9, _LEFT + high, y + 9, _INK)
                drawing.text(_LEFT + high + 6, y + 13, f"{cost[0]:.1f} to {cost[1]:.1f}")
            y += _LINE
        y += _LINE / 2
    return drawing.svg()


def ratios(rounds: Sequence[Round], before: Sequence[Round] = ()) -> str:
    """gwd ÷ peer, a line per work; hollow: the same in the report before."""
    works, peers = of_rounds.names(rounds)
    others = [peer for peer in peers if peer != OWN]
    drawing = _Drawing(
        _TITLE + _LINE * (len(works) + 3),
        "gwd's CPU per request ÷ the peer's"
        + (" (hollow: in the last kept report)" if before else ""),
    )
    top, bottom = float(_TITLE), float(_TITLE + _LINE * len(works))
    for mark in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        x = _place(mark)
        drawing.line(x, top, x, bottom, _INK if mark == 1.0 else _FAINT)
        drawing.text(x, bottom + 14, f"{mark:g}", anchor="middle")
    for number, work in enumerate(works):
        y = top + _LINE * (number + 0.5)
        drawing.text(_LEFT - 6, y + 4, work, anchor="end")
        for peer in others:
            colour = _COLOURS.get(peer, _OTHER)
            for source, hollow in ((before, True), (rounds, False)):
                value = of_rounds.ratio(source, work, peer)
                if value is not None:
                    drawing.dot(_place(value), y, colour, hollow=hollow)
    x = float(_LEFT)
    for peer in others:
        drawing.dot(x, bottom + 34, _COLOURS.get(peer, _OTHER), hollow=False)
        drawing.text(x + 8, bottom + 38, peer)
        x += 90
    return drawing.svg()


def _place(ratio: float) -> float:
    inside = min(max(ratio, _LEAST), _MOST)
    share = math.log(inside / _LEAST) / math.log(_MOST / _LEAST)
    return _LEFT + share * (_WIDTH - _LEFT - 30)
