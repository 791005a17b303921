"""What the page's charts share: plain Plotly figures, computed here and drawn in the browser.

Plotly reads ``<b>``, ``<a>`` and the like in every label, so all text that is not ours is escaped
first. Colours are names of the page's CSS variables, which the page resolves for its light and dark
looks.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewright.report.document import Row
from edgewright.report.view import RowView

Figure = dict[str, Any]

INK, GRID, FAINT, BAND = "var(--ink)", "var(--grid)", "var(--faint)", "var(--band)"
#: A legend above the drawing whose entries do nothing when pressed.
LEGEND: Figure = {
    "orientation": "h",
    "y": 1.02,
    "yanchor": "bottom",
    "x": 0,
    "itemclick": False,
    "itemdoubleclick": False,
}
_COLOURS = 8
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon")


@dataclass(frozen=True)
class Palette:
    """Which colour a recipe has, and which marker a runtime, on every chart of a page."""

    colours: Mapping[str, str]
    symbols: Mapping[str, str]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Palette:
        """Colours and markers in the order of first appearance."""
        recipes = dict.fromkeys(row.recipe for row in rows)
        runtimes = dict.fromkeys(row.runtime for row in rows)
        return cls(
            {recipe: f"var(--c{i % _COLOURS})" for i, recipe in enumerate(recipes)},
            {runtime: _SYMBOLS[i % len(_SYMBOLS)] for i, runtime in enumerate(runtimes)},
        )


def label(text: str, limit: int = 44) -> str:
    """Text that Plotly shows as it is, cut to a length that fits beside an axis."""
    short = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return html.escape(short, quote=False)


def base_layout(x_title: str, y_title: str) -> Figure:
    """Axes, fonts and margins as every chart has them; nothing zooms or pans."""
    axis = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zerolinecolor": GRID,
        "tickcolor": GRID,
        "automargin": True,
    }
    return {
        "height": 360,
        "margin": {"l": 60, "r": 24, "t": 24, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "var(--font)", "size": 12, "color": INK},
        "hoverlabel": {
            "bgcolor": "var(--card)",
            "bordercolor": GRID,
            "font": {"color": INK},
            "align": "left",
        },
        "hovermode": "closest",
        "dragmode": False,
        "xaxis": {**axis, "title": {"text": x_title, "standoff": 12}, "fixedrange": True},
        "yaxis": {**axis, "title": {"text": y_title, "standoff": 12}, "fixedrange": True},
    }


def lane_axis(lanes: Sequence[RowView], low: float, high: float) -> Figure:
    """A vertical axis with one place a row, counted from below, each named by recipe and runtime."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(lanes))),
        "ticktext": [f"{label(v.row.recipe, 26)} · {label(v.row.runtime, 22)}" for v in lanes],
        "range": [low, high],
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
    }
