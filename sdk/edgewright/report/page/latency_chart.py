"""Latency distributions: a lane for each row with its density, median, p90 and some raw samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.report.document import Row
from edgewright.report.shape import Reals, density
from edgewright.report.units import milliseconds
from edgewright.report.view import RowView

from .figure import INK, Figure, Palette, base_layout, label, lane_axis

#: Raw samples drawn as dots for each row.
DOTS = 150
#: The latency axis ends at this percentile of the slowest row; what lies beyond is counted in words.
_AXIS_END = 99.5
_CURVE_POINTS = 160


def distributions(shown: Sequence[RowView], palette: Palette) -> Figure | None:
    """One lane a row: the density of its samples, its median and p90, and some of the samples as dots."""
    lanes = [(view, _samples_ms(view.row)) for view in shown if view.row.latency_ms]
    if not lanes:
        return None
    low = min(float(samples.min()) for _, samples in lanes)
    high = max(float(np.percentile(samples, _AXIS_END)) for _, samples in lanes)
    low, high = low / 1.03, max(high, low * 1.05) * 1.03
    traces: list[Figure] = []
    for place, (view, samples) in enumerate(reversed(lanes)):
        traces += _lane(view, samples, float(place), (low, high), palette)
    layout = base_layout("latency of one inference, ms (logarithmic)", "")
    layout["xaxis"] |= {"type": "log", "range": [float(np.log10(low)), float(np.log10(high))]}
    layout["xaxis"] |= _log_ticks(low, high)
    layout["yaxis"] |= lane_axis([view for view, _ in reversed(lanes)], -0.45, len(lanes) - 0.05)
    layout["height"] = 110 + 46 * len(lanes)
    return {"data": traces, "layout": layout}


def _samples_ms(row: Row) -> Reals:
    pooled = [np.asarray(launch.latency_ns, dtype=np.float64) for launch in row.launches]
    return np.asarray(np.concatenate(pooled) / 1e6, dtype=np.float64)


def _lane(
    view: RowView, samples: Reals, place: float, ends: tuple[float, float], palette: Palette
) -> list[Figure]:
    row = view.row
    assert row.latency_ms
    colour = palette.colours[row.recipe]
    nanoseconds = np.asarray(samples * 1e6, dtype=np.int64)
    xs, heights = density(nanoseconds, ends[0] * 1e6, ends[1] * 1e6, points=_CURVE_POINTS)
    kept = np.flatnonzero(heights > 0.003)
    xs, heights = np.asarray(xs[kept] / 1e6), np.asarray(heights[kept] * 0.78)
    beyond = int(np.count_nonzero(samples > ends[1]))
    hover = [f"{label(row.recipe)} in {label(row.runtime)}: {row.latency_ms.count:,} samples"]
    hover += [
        f"{name} {value.text}" for name, value in (("p50", view.p50), ("p90", view.p90), ("p99", view.p99))
    ]
    hover.append(
        f"slowest {milliseconds(row.latency_ms.max)}"
        + (f"; {beyond} drawn beyond the edge" if beyond else "")
    )
    common = {"type": "scatter", "showlegend": False, "hoverinfo": "text", "hovertext": "<br>".join(hover)}
    base = {
        "mode": "lines",
        "x": _rounded(xs),
        "y": [place] * len(xs),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    curve = {
        "mode": "lines",
        "x": _rounded(xs),
        "y": [round(place + float(h), 4) for h in heights],
        "fill": "tonexty",
        "fillcolor": f"{colour}/0.28",
        "line": {"color": colour, "width": 1.4},
    }
    chosen = samples[:: max(1, -(-samples.size // DOTS))]
    chosen = chosen[chosen <= ends[1]]
    dots = {
        "mode": "markers",
        "x": _rounded(chosen),
        "y": [round(place - 0.12 - 0.16 * ((i * 0.618) % 1.0), 3) for i in range(chosen.size)],
        "marker": {"size": 3, "color": f"{colour}/0.45"},
    }
    marks = [
        {
            "mode": "lines",
            "x": [value.sort] * 2,
            "y": [place - 0.05, place + 0.82 * height],
            "line": {"color": INK, "width": w},
        }
        for value, height, w in ((view.p50, 1.0, 2), (view.p90, 0.4, 1.2))
        if value.sort is not None and value.sort <= ends[1]
    ]
    return [{**common, **trace} for trace in (base, curve, dots, *marks)]


def _log_ticks(low: float, high: float) -> Figure:
    """Ticks at round milliseconds: Plotly's own leave a span under a decade nearly bare."""
    steps = (
        (1, 2, 5) if high / low > 8 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if high / low > 1.8 else None
    )
    if steps is None:
        values = np.linspace(low, high, 6)[1:-1]
        decimals = max(0, 2 - int(np.floor(np.log10(high - low))))
        ticks = sorted({round(float(value), decimals) for value in values})
    else:
        decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        ticks = [
            step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high
        ]
    return {"tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:.4g}" for tick in ticks]}


def _rounded(values: Reals) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
