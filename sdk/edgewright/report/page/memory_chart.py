"""Memory: what the runtime takes, what the model adds, what running adds."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.report.units import size
from edgewright.report.view import RowView

from .figure import LEGEND, Figure, base_layout, label, lane_axis


def memory(shown: Sequence[RowView]) -> Figure | None:
    """Stacked bars: what the runtime takes before the model, what loading adds, what running adds."""
    lanes = [view for view in reversed(shown) if view.row.memory_bytes]
    if not lanes:
        return None
    parts: dict[str, list[float]] = {
        "runtime alone": [],
        "model loaded": [],
        "while running, at the peak": [],
    }
    hover = []
    for view in lanes:
        found = view.row.memory_bytes
        assert found
        peak = f"peak {size(found.peak)}" if found.peak is not None else "no peak was observed"
        figures = f"runtime {size(found.baseline)}, with the model {size(found.loaded)}, {peak}"
        name = f"{label(view.row.recipe)} in {label(view.row.runtime)}"
        hover.append(f"{name}<br>{figures}<br>{label(found.peak_method, 90)}")
        highest = max(found.loaded, found.baseline)
        steps = (found.baseline, highest - found.baseline, max(0, (found.peak or 0) - highest))
        for values, step in zip(parts.values(), steps, strict=True):
            values.append(round(step / 1e6, 3))
    places = list(range(len(lanes)))
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": values,
            "y": places,
            "width": 0.62,
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertext": hover,
            "hoverinfo": "text",
        }
        for (name, values), colour in zip(parts.items(), ("var(--m0)", "var(--m1)", "var(--m2)"), strict=True)
    ]
    layout = base_layout("resident memory of the process, MB", "")
    layout["barmode"] = "stack"
    layout["legend"] = {**LEGEND, "traceorder": "normal"}
    layout["margin"]["t"] = 44
    layout["yaxis"] |= lane_axis(lanes, -0.6, len(lanes) - 0.4)
    layout["height"] = max(260, 120 + 26 * len(lanes))
    return {"data": traces, "layout": layout}
