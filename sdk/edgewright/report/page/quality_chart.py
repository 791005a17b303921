"""Quality against latency."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.report.document import Quality
from edgewright.report.headline import TOLERANCE, quality_loss
from edgewright.report.units import milliseconds, score
from edgewright.report.view import RowView

from .figure import FAINT, LEGEND, Figure, Palette, base_layout, label
from .labels import Point, place_labels

#: The drawing in pixels at the page's usual width, and the longest label in it.
_WIDTH, _HEIGHT, _LABEL = 400.0, 250.0, 24


def scatter(shown: Sequence[RowView], palette: Palette) -> Figure | None:
    """Quality against median latency; None when no row has both. Hollow markers are not valid."""
    points = [(view, view.row.quality, view.p50.sort) for view in shown]
    drawn = [(view, quality, x) for view, quality, x in points if quality and x is not None]
    if not drawn:
        return None
    drawn.sort(key=lambda point: (point[0].status != "valid", point[2]))
    quality = drawn[0][1]
    accepted = TOLERANCE * max(1.0, abs(quality.baseline))
    floor = quality.baseline - (accepted if quality.higher_is_better else -accepted)
    values = [*(q.value for _, q, _ in drawn), quality.baseline, floor]
    margin = max(0.14 * (max(values) - min(values)), 0.25 * accepted)
    low, high = min(values) - margin, max(values) + margin
    right = max(x for _, _, x in drawn) * 1.12
    pixels = [
        Point(x / right * _WIDTH, (q.value - low) / (high - low) * _HEIGHT, view.row.recipe[:_LABEL])
        for view, q, x in drawn
    ]
    positions = place_labels(pixels, _WIDTH, _HEIGHT)
    traces = [_point(view, q, palette, at) for (view, q, _), at in zip(drawn, positions, strict=True)]
    layout = base_layout("median latency, ms", f"{label(quality.metric)} (score)")
    layout["xaxis"]["range"] = [0, right]
    layout["yaxis"]["range"] = [low, high]
    across = {"xref": "paper", "x0": 0, "x1": 1, "y0": quality.baseline}
    layout["shapes"] = [
        {
            **across,
            "type": "rect",
            "y1": floor,
            "layer": "below",
            "line": {"width": 0},
            "fillcolor": "var(--band)",
        },
        {
            **across,
            "type": "line",
            "y1": quality.baseline,
            "line": {"color": FAINT, "width": 1, "dash": "dash"},
        },
    ]
    layout["legend"] = LEGEND
    layout["margin"]["t"] = 44
    runtimes = dict.fromkeys(view.row.runtime for view, _, _ in drawn)
    return {"data": [*traces, *(_key(runtime, palette) for runtime in runtimes)], "layout": layout}


def _key(runtime: str, palette: Palette) -> Figure:
    """A legend entry alone: which marker means which runtime."""
    marker = {"symbol": palette.symbols[runtime], "size": 10, "color": FAINT}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "name": label(runtime),
        "marker": marker,
    }


def _point(view: RowView, quality: Quality, palette: Palette, position: str | None) -> Figure:
    row = view.row
    assert row.latency_ms and row.latency_ms.p50 is not None
    interval = row.latency_ms.interval
    valid = view.status == "valid"
    colour = palette.colours[row.recipe]
    loss = quality_loss(quality)
    low, high = milliseconds(interval.low), milliseconds(interval.high)
    against = (
        f"{abs(loss):.4g} {'worse' if loss > 0 else 'better'} than the baseline"
        if loss
        else "as the baseline"
    )
    lines = [
        f"{label(row.recipe)} in {label(row.runtime)}",
        f"{milliseconds(row.latency_ms.p50)} median ({low} to {high})",
        f"{label(quality.metric)} {score(quality.value)}, {against}",
        view.status,
    ]
    return {
        "type": "scatter",
        "mode": "markers+text" if position else "markers",
        "x": [row.latency_ms.p50],
        "y": [quality.value],
        "text": [label(row.recipe, _LABEL)],
        "textposition": position or "top center",
        "textfont": {"size": 11, "color": colour},
        "cliponaxis": False,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, interval.high - row.latency_ms.p50)],
            "arrayminus": [max(0.0, row.latency_ms.p50 - interval.low)],
            "color": colour,
            "thickness": 1.2,
            "width": 3,
        },
        "marker": {
            "symbol": palette.symbols[row.runtime] + ("" if valid else "-open"),
            "size": 12,
            "color": colour,
            "line": {"width": 1 if valid else 2, "color": "var(--card)" if valid else colour},
        },
        "hovertext": ["<br>".join(lines)],
        "hoverinfo": "text",
        "showlegend": False,
    }
